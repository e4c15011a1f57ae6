//! The listening sockets: bound once, by whoever lives longest.
//!
//! The supervisor binds them and every worker inherits the same ones, so that while a worker is replaced new connections
//! wait in the kernel's backlog instead of being refused. They are passed as systemd passes sockets (`sd_listen_fds(3)`):
//! descriptors from 3 on, `LISTEN_FDS` and `LISTEN_FDNAMES`. `LISTEN_PID` is left unset, as the parent cannot know it
//! before the fork; the worker side (crate `listenfd`) accepts that.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::SuperviseError;

/// Named listening sockets.
#[derive(Debug, Default)]
pub struct Listeners {
    named: Vec<(String, TcpListener)>,
}

impl Listeners {
    /// Binds every address (port 0 lets the system choose), with `SO_REUSEADDR`, so that connections of an earlier life in
    /// TIME_WAIT do not stand in the way.
    ///
    /// # Errors
    /// The first that cannot be bound, with the reason; none is kept then.
    pub fn bind<N: Into<String>>(addresses: impl IntoIterator<Item = (N, SocketAddr)>) -> Result<Self, SuperviseError> {
        let mut listeners = Self::default();
        for (name, address) in addresses {
            let name = name.into();
            match TcpListener::bind(address) {
                Ok(listener) => listeners.push(name, listener),
                Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                    return Err(match listeners.on_port(address.port()) {
                        Some(first) => SuperviseError::SameAddress { first, second: name, address },
                        None => SuperviseError::AddressInUse { name, address },
                    });
                }
                Err(source) => {
                    return Err(SuperviseError::Listen { name, address, source });
                }
            }
        }
        Ok(listeners)
    }

    /// Where a listener listens; `None` if there is none of that name.
    #[must_use]
    pub fn address(&self, name: &str) -> Option<SocketAddr> {
        let (_, listener) = self.named.iter().find(|(n, _)| n == name)?;
        listener.local_addr().ok()
    }

    /// Hands a listener over; `None` if there is none of that name, or it was taken.
    pub fn take(&mut self, name: &str) -> Option<TcpListener> {
        let index = self.named.iter().position(|(n, _)| n == name)?;
        Some(self.named.swap_remove(index).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &TcpListener)> {
        self.named.iter().map(|(name, listener)| (name.as_str(), listener))
    }

    pub(super) fn push(&mut self, name: String, listener: TcpListener) {
        self.named.push((name, listener));
    }

    fn on_port(&self, port: u16) -> Option<String> {
        let listens = |listener: &TcpListener| listener.local_addr().is_ok_and(|at| at.port() == port);
        let (name, _) = self.named.iter().find(|(_, listener)| listens(listener))?;
        Some(name.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn listeners_are_found_and_taken_by_name() {
        let mut listeners = Listeners::bind([("grpc", any_port()), ("http", any_port())]).unwrap();
        let http = listeners.address("http").unwrap();
        assert_ne!(listeners.address("grpc").unwrap(), http);
        assert_eq!(listeners.take("http").unwrap().local_addr().unwrap(), http);
        assert!(listeners.take("http").is_none() && listeners.address("metrics").is_none());
        assert!(listeners.take("grpc").is_some());
    }

    #[test]
    fn an_address_in_use_names_the_listener_and_what_to_do() {
        let taken = Listeners::bind([("grpc", any_port())]).unwrap();
        let address = taken.address("grpc").unwrap();
        let error = Listeners::bind([("http", address)]).unwrap_err();
        assert_eq!(error.kind(), "address_in_use");
        let text = error.to_string();
        for part in ["http", &address.to_string(), "--http-port"] {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn two_of_our_own_listeners_on_one_address_are_told_from_a_stranger() {
        let probe = Listeners::bind([("grpc", any_port())]).unwrap();
        let free = probe.address("grpc").unwrap();
        drop(probe);
        let error = Listeners::bind([("grpc", free), ("http", free)]).unwrap_err();
        assert_eq!(error.kind(), "same_address", "{error}");
    }

    #[test]
    fn an_address_this_machine_does_not_have_is_named() {
        // 192.0.2.0/24 is reserved for documentation (RFC 5737).
        let address = SocketAddr::from(([192, 0, 2, 1], 0));
        let error = Listeners::bind([("grpc", address)]).unwrap_err();
        assert!(error.to_string().contains("192.0.2.1:0"), "{error}");
        assert_eq!(error.kind(), "listen");
    }
}
