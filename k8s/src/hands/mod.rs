//! What touches the world: the API server, the devices and Prometheus. Everything here may be done twice.

pub mod cluster;
pub mod devices;
pub mod events;
pub mod metrics;

pub use cluster::{Cluster, ClusterError};
pub use devices::{Address, Devices, PATIENCE, Refused};
