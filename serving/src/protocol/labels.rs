//! What both protocols ask of labels.

use takt_artifact::fault::Document as _;
use takt_monitoring::events::Label;

/// Most labels of a request.
pub const MOST_LABELS: usize = 1000;

/// A label that makes sense.
///
/// # Errors
/// All its faults.
pub fn check(label: Label) -> Result<Label, String> {
    let faults = label.faults();
    if faults.is_empty() {
        return Ok(label);
    }
    Err(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
