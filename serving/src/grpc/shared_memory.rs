//! Shared memory regions as protobuf.

use takt_proto::inference::system_shared_memory_status_response::RegionStatus as ProtoStatus;
use takt_proto::inference::{SystemSharedMemoryRegisterRequest, SystemSharedMemoryStatusResponse};

use crate::protocol::shared_memory::RegionStatus;

/// The region a client wants registered.
pub(super) fn region(request: SystemSharedMemoryRegisterRequest) -> RegionStatus {
    RegionStatus { name: request.name, key: request.key, offset: request.offset, byte_size: request.byte_size }
}

/// Registered regions by name.
pub(super) fn status(regions: Vec<RegionStatus>) -> SystemSharedMemoryStatusResponse {
    let regions = regions.into_iter().map(|region| {
        let RegionStatus { name, key, offset, byte_size } = region;
        (name.clone(), ProtoStatus { name, key, offset, byte_size })
    });
    SystemSharedMemoryStatusResponse { regions: regions.collect() }
}
