//! Models on disk: where they lie, what their configuration says, and when either changes.
//!
//! ```text
//! <repository>/<model>/model.toml          how the model is run (see [`toml`]); or
//! <repository>/<model>/config.pbtxt        Triton's, read when there is no model.toml (see [`pbtxt`]); or neither
//! <repository>/<model>/<n>/model.onnx      version n, a positive integer; a bare ONNX file is a whole version
//! <repository>/<model>/<n>/manifest.json   what a packaged version says of itself
//! ```
//!
//! [`scan`] looks at all of it without loading anything; [`watch`] says when to look again; [`check`] finds every fault
//! before a server does. Nothing here decides what runs: that is the registry.

pub mod agree;
pub mod batching;
pub mod check;
pub mod config;
pub mod fault;
pub mod fingerprint;
mod labels;
pub mod memory;
pub mod pbtxt;
pub mod policy;
pub mod scan;
pub mod to_proto;
pub mod toml;
pub mod watch;

pub use check::{CheckOptions, CheckReport, check};
pub use config::ModelConfig;
pub use fault::{ConfigFault, ConfigFaults, ConfigWarning, Position};
pub use fingerprint::Fingerprint;
pub use policy::VersionPolicy;
pub use scan::{FoundModel, FoundVersion, Scan, ScanError, scan};
pub use to_proto::to_proto;
pub use watch::{WatchOptions, Watcher};
