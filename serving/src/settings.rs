//! Settings of the server as a whole: `takt.toml`, overridden by the command line, then checked.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::monitor::{MonitorSettings, RawMonitorSettings};
use crate::rollout::{RawRolloutSettings, RolloutSettings};

/// Who decides which models are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlMode {
    /// All models at the start; later changes are not looked at.
    None,
    /// All models; changes in the repository are picked up.
    #[default]
    Poll,
    /// Only what is asked for, by `--load-model` or over the protocol.
    Explicit,
}

impl fmt::Display for ControlMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Poll => "poll",
            Self::Explicit => "explicit",
        })
    }
}

/// Which runtime runs models that leave it open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuntimeChoice {
    /// ONNX Runtime where it is found, else tract.
    #[default]
    Auto,
    /// tract, even where ONNX Runtime is there.
    Tract,
    /// ONNX Runtime; starting fails without it.
    Onnxruntime,
}

/// Settings as written: every one optional. The command line produces the same shape and goes before the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each is documented where it is checked, in ServerSettings")]
pub struct RawSettings {
    pub model_repository: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub host: Option<IpAddr>,
    pub grpc_port: Option<u16>,
    pub http_port: Option<u16>,
    pub metrics_port: Option<u16>,
    pub model_control_mode: Option<ControlMode>,
    pub load_model: Option<Vec<String>>,
    pub exit_timeout_secs: Option<u64>,
    pub poll_secs: Option<u64>,
    pub runtime: Option<RuntimeChoice>,
    pub intra_op_threads: Option<usize>,
    pub spinning: Option<bool>,
    pub decode_threads: Option<usize>,
    pub max_message_bytes: Option<usize>,
    pub max_in_flight_bytes: Option<usize>,
    pub max_connections: Option<usize>,
    pub max_streams_per_connection: Option<u32>,
    pub otlp_endpoint: Option<String>,
    pub monitor: Option<RawMonitorSettings>,
    pub rollout: Option<RawRolloutSettings>,
}

/// Checked settings.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerSettings {
    /// Where the models are.
    pub model_repository: PathBuf,
    /// What must survive the process; by default `takt/<name of the repository>` under the user's state folder.
    pub state_dir: PathBuf,
    /// gRPC address; port 8001.
    pub grpc: SocketAddr,
    /// HTTP address; port 8000.
    pub http: SocketAddr,
    /// Metrics address; port 8002.
    pub metrics: SocketAddr,
    /// Who decides which models are loaded.
    pub control_mode: ControlMode,
    /// Models loaded from the start in mode `explicit`.
    pub load_models: Vec<String>,
    /// How long requests in flight may take after SIGTERM; 30 s.
    pub exit_timeout: Duration,
    /// How often the repository is looked at in mode `poll`, beside file watching; 15 s.
    pub poll_interval: Duration,
    /// Which runtime runs models that leave it open.
    pub runtime: RuntimeChoice,
    /// Threads of the runtime's shared pool; 0 lets the runtime choose one per core.
    pub intra_op_threads: usize,
    /// Whether idle pool threads spin: faster by microseconds, and a core is never idle. Off.
    pub spinning: bool,
    /// Threads that decode images ahead; one per core.
    pub decode_threads: usize,
    /// Largest message both ways; `i32::MAX` (as Triton).
    pub max_message_bytes: usize,
    /// Bytes of all requests being received, queued or run; an eighth of the memory.
    pub max_in_flight_bytes: usize,
    /// Connections per protocol; 1024.
    pub max_connections: usize,
    /// Concurrent requests per gRPC connection; 1024.
    pub max_streams_per_connection: u32,
    /// OTLP gRPC receiver for traces; none.
    pub otlp_endpoint: Option<String>,
    /// How the server watches what it serves.
    pub monitor: MonitorSettings,
    /// How versions are rolled out.
    pub rollout: RolloutSettings,
}

/// Settings that cannot be used; all faults at once.
#[derive(Debug, thiserror::Error)]
#[error("{}", faults.join("\n"))]
pub struct SettingsError {
    /// What is wrong, each naming the setting, what was found and what to do.
    pub faults: Vec<String>,
}

impl RawSettings {
    /// Reads a `takt.toml`.
    ///
    /// # Errors
    /// It cannot be read, is not TOML, or has unknown keys; with line and column.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let fault = |fault: String| SettingsError { faults: vec![fault] };
        let text = std::fs::read_to_string(path)
            .map_err(|error| fault(format!("cannot read the configuration '{}': {error}", path.display())))?;
        toml::from_str(&text).map_err(|error| fault(format!("{}: {error}", path.display())))
    }

    /// These settings, and where they are silent, those of `file`.
    #[must_use]
    pub fn over(self, file: Self) -> Self {
        Self {
            model_repository: self.model_repository.or(file.model_repository),
            state_dir: self.state_dir.or(file.state_dir),
            host: self.host.or(file.host),
            grpc_port: self.grpc_port.or(file.grpc_port),
            http_port: self.http_port.or(file.http_port),
            metrics_port: self.metrics_port.or(file.metrics_port),
            model_control_mode: self.model_control_mode.or(file.model_control_mode),
            load_model: self.load_model.or(file.load_model),
            exit_timeout_secs: self.exit_timeout_secs.or(file.exit_timeout_secs),
            poll_secs: self.poll_secs.or(file.poll_secs),
            runtime: self.runtime.or(file.runtime),
            intra_op_threads: self.intra_op_threads.or(file.intra_op_threads),
            spinning: self.spinning.or(file.spinning),
            decode_threads: self.decode_threads.or(file.decode_threads),
            max_message_bytes: self.max_message_bytes.or(file.max_message_bytes),
            max_in_flight_bytes: self.max_in_flight_bytes.or(file.max_in_flight_bytes),
            max_connections: self.max_connections.or(file.max_connections),
            max_streams_per_connection: self.max_streams_per_connection.or(file.max_streams_per_connection),
            otlp_endpoint: self.otlp_endpoint.or(file.otlp_endpoint),
            monitor: self.monitor.or(file.monitor),
            rollout: self.rollout.or(file.rollout),
        }
    }
}

impl TryFrom<RawSettings> for ServerSettings {
    type Error = SettingsError;

    fn try_from(raw: RawSettings) -> Result<Self, SettingsError> {
        let mut faults = Vec::new();
        let repository = raw.model_repository.unwrap_or_else(|| {
            faults.push("no model repository: give --model-repository DIR or model_repository in takt.toml".into());
            PathBuf::new()
        });
        if !repository.as_os_str().is_empty() && !repository.is_dir() {
            faults.push(format!(
                "model repository '{}' is not a folder; create it or name another",
                repository.display()
            ));
        }
        let mode = raw.model_control_mode.unwrap_or_default();
        let load_models = raw.load_model.unwrap_or_default();
        if mode != ControlMode::Explicit && !load_models.is_empty() {
            faults.push(format!("--load-model needs --model-control-mode explicit, found {mode}"));
        }
        let host = raw.host.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let address = |port: Option<u16>, default| SocketAddr::new(host, port.unwrap_or(default));
        let at_least_one = |faults: &mut Vec<String>, name: &str, value: Option<usize>, default: usize| {
            if value == Some(0) {
                faults.push(format!("{name} is 0, expected at least 1"));
            }
            value.unwrap_or(default)
        };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        let monitor = MonitorSettings::check(&raw.monitor.unwrap_or_default(), &mut faults);
        let rollout = RolloutSettings::check(&raw.rollout.unwrap_or_default(), &mut faults);
        let state_dir = raw.state_dir.unwrap_or_else(|| default_state_dir(&repository));
        let settings = Self {
            state_dir,
            model_repository: repository,
            grpc: address(raw.grpc_port, 8001),
            http: address(raw.http_port, 8000),
            metrics: address(raw.metrics_port, 8002),
            control_mode: mode,
            load_models,
            exit_timeout: Duration::from_secs(raw.exit_timeout_secs.unwrap_or(30)),
            poll_interval: Duration::from_secs(at_least_one(
                &mut faults,
                "poll_secs",
                raw.poll_secs.map(|secs| secs as usize),
                15,
            ) as u64),
            runtime: raw.runtime.unwrap_or_default(),
            intra_op_threads: raw.intra_op_threads.unwrap_or(0),
            spinning: raw.spinning.unwrap_or(false),
            decode_threads: at_least_one(&mut faults, "decode_threads", raw.decode_threads, cores),
            max_message_bytes: at_least_one(&mut faults, "max_message_bytes", raw.max_message_bytes, i32::MAX as usize),
            max_in_flight_bytes: at_least_one(
                &mut faults,
                "max_in_flight_bytes",
                raw.max_in_flight_bytes,
                default_in_flight_bytes(),
            ),
            max_connections: at_least_one(&mut faults, "max_connections", raw.max_connections, 1024),
            max_streams_per_connection: raw.max_streams_per_connection.unwrap_or(1024),
            otlp_endpoint: raw.otlp_endpoint,
            monitor,
            rollout,
        };
        if faults.is_empty() { Ok(settings) } else { Err(SettingsError { faults }) }
    }
}

/// `<state root>/<folder name>-<hash of its path>`, so that two repositories never share quarantines.
fn default_state_dir(repository: &Path) -> PathBuf {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let full = repository.canonicalize().unwrap_or_else(|_| repository.to_owned());
    let mut hasher = DefaultHasher::new();
    full.hash(&mut hasher);
    let name = full.file_name().map_or_else(|| "repository".into(), |name| name.to_string_lossy().into_owned());
    default_state_root().join(format!("{name}-{:08x}", hasher.finish() as u32))
}

/// Where state directories lie unless told otherwise: `$XDG_STATE_HOME/takt`, else `~/.local/state/takt`, else
/// `/var/lib/takt`.
#[must_use]
pub fn default_state_root() -> PathBuf {
    let base = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    base.unwrap_or_else(|| PathBuf::from("/var/lib")).join("takt")
}

/// An eighth of the memory.
fn default_in_flight_bytes() -> usize {
    usize::try_from(takt_backend::memory::total().unwrap_or(2 << 30) / 8).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_file() {
        let file: RawSettings = toml::from_str("grpc_port = 1\nhttp_port = 2").unwrap();
        let both = RawSettings { grpc_port: Some(3), ..RawSettings::default() }.over(file);
        assert_eq!((both.grpc_port, both.http_port), (Some(3), Some(2)));
    }

    #[test]
    fn every_fault_is_reported_at_once() {
        let raw =
            RawSettings { load_model: Some(vec!["m".into()]), max_connections: Some(0), ..RawSettings::default() };
        let error = ServerSettings::try_from(raw).unwrap_err();
        assert_eq!(error.faults.len(), 3, "{error}");
    }

    #[test]
    fn an_unknown_key_names_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("takt.toml");
        std::fs::write(&path, "grpc_port = 1\ngprc_port = 2\n").unwrap();
        let error = RawSettings::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("gprc_port"), "{error}");
    }
}
