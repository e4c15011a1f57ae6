//! What touches the world: the API server and the devices. Everything here may be done twice.

pub mod cluster;
pub mod devices;
pub mod events;

pub use cluster::{Cluster, ClusterError};
pub use devices::{Address, Devices, Refused};
