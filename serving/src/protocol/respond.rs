//! From a finished inference to the outputs that a client asked for: the tensor, its top classes, or shared memory.

use crate::error::InferError;
use crate::infer::InferResponse;
use crate::infer::classify::top_k;
use crate::protocol::parameters::{OutputOption, RegionSlice};
use crate::protocol::shared_memory::SharedMemory;
use crate::request::NamedTensor;

/// Where an output's elements went.
pub enum Delivered {
    /// In the answer.
    Inline(NamedTensor),
    /// In shared memory; the tensor's own data is empty.
    Shared(NamedTensor, RegionSlice),
}

/// Turns one output into what was asked for.
///
/// # Errors
/// It cannot be ranked, or does not fit into the region.
pub fn deliver(
    output: NamedTensor,
    option: Option<&OutputOption>,
    response: &InferResponse,
    memory: &SharedMemory,
) -> Result<Delivered, InferError> {
    let Some(option) = option else { return Ok(Delivered::Inline(output)) };
    if let Some(k) = option.classification {
        let version = &response.version;
        let ranked = top_k(&output, k, version.labels_of(&output.name), version.batches())
            .map_err(|error| InferError::invalid(format!("classification of output '{}': {error}", output.name)))?;
        return Ok(Delivered::Inline(ranked));
    }
    let Some(region) = &option.region else { return Ok(Delivered::Inline(output)) };
    memory.write(region, &output.data, &output.name)?;
    let written = RegionSlice { len: output.data.len(), ..region.clone() };
    Ok(Delivered::Shared(NamedTensor { data: bytes::Bytes::new(), ..output }, written))
}
