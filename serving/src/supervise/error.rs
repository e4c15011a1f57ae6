//! Why the server could not start, or be kept running.

use std::io;
use std::net::SocketAddr;

use crate::state::StateError;

/// A fault of listeners, supervisor or the worker's inheritance.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// Somebody else listens there.
    #[error(
        "cannot listen for {name} on {address}: another process already does (`ss -ltnp 'sport = :{}'` shows which); \
         stop it or choose another --{name}-port",
        address.port()
    )]
    AddressInUse {
        /// Which listener.
        name: String,
        /// Where.
        address: SocketAddr,
    },
    /// Two of our own listeners want the same place.
    #[error("{first} and {second} both want to listen on {address}: choose another --{second}-port")]
    SameAddress {
        /// One listener.
        first: String,
        /// The other.
        second: String,
        /// Where.
        address: SocketAddr,
    },
    /// The system does not allow it.
    #[error("cannot listen for {name} on {address}: {source}; {}", listen_advice(source, *address))]
    Listen {
        /// Which listener.
        name: String,
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The worker's program cannot be run.
    #[error("cannot start the worker {program}: {source}; check that the file exists and may be executed")]
    Spawn {
        /// The program.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The supervisor lacks something of the system.
    #[error("cannot {action}: {source}; the system may be out of processes or file descriptors (see `ulimit -a`)")]
    System {
        /// What failed.
        action: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// What a worker should have inherited is not there.
    #[error(
        "{variable} is set, as for a worker of a supervisor, but {found}; that variable is not for people: unset it"
    )]
    Inheritance {
        /// The variable that says so.
        variable: &'static str,
        /// What is wrong.
        found: String,
    },
    /// The state directory cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
}

impl SuperviseError {
    /// Stable label for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::AddressInUse { .. } => "address_in_use",
            Self::SameAddress { .. } => "same_address",
            Self::Listen { .. } => "listen",
            Self::Spawn { .. } => "spawn",
            Self::System { .. } => "system",
            Self::Inheritance { .. } => "inheritance",
            Self::State(error) => error.kind(),
        }
    }

    /// For `map_err`.
    pub(super) fn system(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { action, source }
    }
}

fn listen_advice(error: &io::Error, address: SocketAddr) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: choose a higher one"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: use 0.0.0.0 or one that `ip address` lists"
        }
        _ => "check the address and the limits of this user",
    }
}
