//! From a finished inference to the outputs that a client asked for: the tensor, its top classes, or shared memory.

use takt_monitoring::events::Arm;

use crate::error::{ErrorKind, InferError};
use crate::infer::InferResponse;
use crate::infer::classify::top_k;
use crate::protocol::parameters::{OutputOption, RegionSlice};
use crate::protocol::shared_memory::SharedMemory;
use crate::registry::version::ServedVersion;
use crate::request::NamedTensor;
use crate::route::Route;

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

/// Which prediction an answer is and who gave it: metadata keys or header names with their values.
pub fn provenance(response: &InferResponse) -> impl Iterator<Item = (&'static str, String)> {
    let own = [
        ("x-takt-prediction-id", response.prediction.to_string()),
        ("x-takt-route", Route::label(response.arm).to_owned()),
        ("x-takt-version", response.version.id.version.to_string()),
    ];
    let failed = response.instead_of_canary.then(|| ("x-takt-instead-of", Route::label(Arm::Canary).to_owned()));
    own.into_iter().chain(failed).chain(identity(&response.version))
}

/// Which version this is and what runs it, in the same form.
#[must_use]
pub fn identity(version: &ServedVersion) -> [(&'static str, String); 2] {
    [("x-takt-version-digest", version.id.digest.clone()), ("x-takt-provider", version.placement.provider.clone())]
}

/// The verdicts as JSON, for the answer's parameter `takt_decision`.
///
/// # Errors
/// The version gave none.
pub fn decision(response: &InferResponse) -> Result<String, InferError> {
    serde_json::to_string(response.judgements.as_ref().map_err(Clone::clone)?)
        .map_err(|error| InferError::new(ErrorKind::Internal, format!("verdicts can't be written as JSON: {error}")))
}
