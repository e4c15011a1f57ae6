//! Parameters of requests, inputs and outputs: those of the protocol's extensions, Triton's and ours.

use std::time::Duration;

use crate::error::InferError;
use crate::request::{InferRequest, Origin, VersionRef};

/// A parameter's value, from whichever protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// true or false
    Bool(bool),
    /// A signed integer; also any unsigned one that fits.
    Int(i64),
    /// An unsigned integer.
    Uint(u64),
    /// A floating-point number.
    Double(f64),
    /// Text.
    Text(String),
}

/// What the parameters ask of the answer itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ResponseOptions {
    /// Streaming: mark the final response (`triton_enable_empty_final_response`).
    pub mark_final: bool,
    /// Put the verdicts into the answer's parameters (`takt_decision`).
    pub decision: bool,
}

/// Bytes of a registered shared memory region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegionSlice {
    /// Name under which the region was registered.
    pub region: String,
    /// Offset in the region.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
}

/// How one output is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputOption {
    /// Output name.
    pub name: String,
    /// As the k largest classes.
    pub classification: Option<usize>,
    /// Written to shared memory.
    pub region: Option<RegionSlice>,
    /// HTTP: as binary data (`Some`) or as the request's default says.
    pub binary: Option<bool>,
}

impl OutputOption {
    /// The output as it is.
    #[must_use]
    pub fn plain(name: String) -> Self {
        Self { name, classification: None, region: None, binary: None }
    }
}

/// A version as text: empty lets the server choose.
///
/// # Errors
/// Neither a positive integer nor a label.
pub fn parse_version(text: &str) -> Result<Option<VersionRef>, InferError> {
    match text {
        "" | "-1" => Ok(None),
        "stable" => Ok(Some(VersionRef::Stable)),
        "canary" => Ok(Some(VersionRef::Canary)),
        text => text.parse().ok().filter(|&number| number > 0).map(|number| Some(VersionRef::Number(number))).ok_or_else(|| {
            InferError::invalid(format!(
                "failed to get model version from specified version string '{text}': versions are integers from 1, 'stable' or \
                 'canary'; leave it empty to let the server choose"
            ))
        }),
    }
}

/// Applies the request's own parameters.
///
/// # Errors
/// A parameter of the wrong type, or an unknown `triton_` one.
pub fn apply<'a>(
    request: &mut InferRequest,
    parameters: impl IntoIterator<Item = (&'a str, Parameter)>,
) -> Result<ResponseOptions, InferError> {
    let mut options = ResponseOptions::default();
    for (key, value) in parameters {
        match key {
            "priority" => request.priority = unsigned(key, &value)?,
            "timeout" => {
                let micros = unsigned(key, &value)?;
                request.timeout = (micros > 0).then(|| Duration::from_micros(micros));
            }
            "triton_enable_empty_final_response" => options.mark_final = boolean(key, &value)?,
            "takt_decision" => options.decision = boolean(key, &value)?,
            "x-part-id" | "part_id" => request.origin.part_id = Some(text(key, value)?),
            "x-station-id" | "station_id" => request.origin.station = Some(text(key, value)?),
            "x-product" | "product" => request.origin.product = Some(text(key, value)?),
            _ if key.starts_with("triton_") => {
                return Err(InferError::invalid(format!(
                    "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified: \
                     '{key}' is not one that is known here"
                )));
            }
            // Sequence parameters mean nothing to a stateless model; other keys belong to the client.
            _ => {}
        }
    }
    Ok(options)
}

/// Fills what the parameters left open from metadata or headers, found by `header`.
pub fn apply_headers(origin: &mut Origin, header: impl Fn(&str) -> Option<String>) {
    let fill = |slot: &mut Option<String>, key| {
        if slot.is_none() {
            *slot = header(key);
        }
    };
    fill(&mut origin.part_id, "x-part-id");
    fill(&mut origin.station, "x-station-id");
    fill(&mut origin.product, "x-product");
}

/// The shared memory region that a tensor's parameters name, if any.
///
/// # Errors
/// A parameter of the wrong type, or a region without size.
pub fn region<'a>(
    tensor: &str,
    parameters: impl IntoIterator<Item = (&'a str, Parameter)>,
) -> Result<Option<RegionSlice>, InferError> {
    let (mut region, mut offset, mut len) = (None, 0, None);
    for (key, value) in parameters {
        match key {
            "shared_memory_region" => region = Some(text(key, value)?),
            "shared_memory_offset" => offset = size(key, &value)?,
            "shared_memory_byte_size" => len = Some(size(key, &value)?),
            _ => {}
        }
    }
    let Some(region) = region else { return Ok(None) };
    let len = len.ok_or_else(|| {
        InferError::invalid(format!(
            "'shared_memory_region' of tensor '{tensor}' needs 'shared_memory_byte_size' beside it"
        ))
    })?;
    Ok(Some(RegionSlice { region, offset, len }))
}

/// What an output's parameters ask for.
///
/// # Errors
/// A parameter of the wrong type, or two that exclude each other.
pub fn output_option(name: String, parameters: &[(&str, Parameter)]) -> Result<OutputOption, InferError> {
    let region = region(&name, parameters.iter().cloned())?;
    let find = |key| parameters.iter().find(|(found, _)| *found == key).map(|(_, value)| value);
    let classification = match find("classification").map(|value| size("classification", value)).transpose()? {
        Some(0) => {
            return Err(InferError::invalid(format!(
                "'classification' of output '{name}' must be at least 1, got 0; leave it out for the tensor itself"
            )));
        }
        other => other,
    };
    if classification.is_some() && region.is_some() {
        return Err(InferError::invalid(format!(
            "output '{name}' can't use shared memory when 'classification' is set; choose one"
        )));
    }
    let binary = find("binary_data").map(|value| boolean("binary_data", value)).transpose()?;
    Ok(OutputOption { name, classification, region, binary })
}

fn unsigned(key: &str, value: &Parameter) -> Result<u64, InferError> {
    match value {
        Parameter::Int(value) if *value >= 0 => Ok(*value as u64),
        Parameter::Uint(value) => Ok(*value),
        other => Err(wrong(key, other, "an integer of at least 0")),
    }
}

fn size(key: &str, value: &Parameter) -> Result<usize, InferError> {
    usize::try_from(unsigned(key, value)?).map_err(|_| wrong(key, value, "a size that fits in memory"))
}

fn boolean(key: &str, value: &Parameter) -> Result<bool, InferError> {
    match value {
        Parameter::Bool(value) => Ok(*value),
        other => Err(wrong(key, other, "true or false")),
    }
}

fn text(key: &str, value: Parameter) -> Result<String, InferError> {
    match value {
        Parameter::Text(value) => Ok(value),
        other => Err(wrong(key, &other, "text")),
    }
}

fn wrong(key: &str, found: &Parameter, expected: &str) -> InferError {
    let found = match found {
        Parameter::Bool(value) => format!("the boolean {value}"),
        Parameter::Int(value) => format!("the integer {value}"),
        Parameter::Uint(value) => format!("the integer {value}"),
        Parameter::Double(value) => format!("the number {value}"),
        Parameter::Text(value) => format!("the text '{value}'"),
    };
    InferError::invalid(format!("parameter '{key}' must be {expected}, got {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> InferRequest {
        InferRequest::new("m".into(), None)
    }

    #[test]
    fn priority_and_timeout_come_as_either_integer() {
        let mut request = request();
        apply(&mut request, [("priority", Parameter::Uint(2)), ("timeout", Parameter::Int(1500))]).unwrap();
        assert_eq!((request.priority, request.timeout), (2, Some(Duration::from_micros(1500))));
    }

    #[test]
    fn versions_are_positive_integers_or_left_open() {
        assert_eq!(parse_version("3").unwrap(), Some(VersionRef::Number(3)));
        assert_eq!(parse_version("").unwrap(), None);
        assert_eq!(parse_version("canary").unwrap(), Some(VersionRef::Canary));
        assert!(parse_version("two").unwrap_err().message().contains("'two'"));
        assert!(parse_version("0").is_err());
    }

    #[test]
    fn an_unknown_triton_key_is_refused_and_a_foreign_one_is_not() {
        let error = apply(&mut request(), [("triton_magic", Parameter::Bool(true))]).unwrap_err();
        assert!(error.message().contains("triton_magic"));
        apply(&mut request(), [("line_speed", Parameter::Double(1.5)), ("sequence_id", Parameter::Int(3))]).unwrap();
    }

    #[test]
    fn parameters_win_over_headers() {
        let mut request = request();
        apply(&mut request, [("station_id", Parameter::Text("s1".into()))]).unwrap();
        apply_headers(&mut request.origin, |key| Some(format!("header {key}")));
        assert_eq!(request.origin.station.as_deref(), Some("s1"));
        assert_eq!(request.origin.part_id.as_deref(), Some("header x-part-id"));
    }

    #[test]
    fn classification_excludes_shared_memory() {
        let parameters = [
            ("classification", Parameter::Int(2)),
            ("shared_memory_region", Parameter::Text("r".into())),
            ("shared_memory_byte_size", Parameter::Int(8)),
        ];
        assert!(output_option("out".into(), &parameters).unwrap_err().message().contains("choose one"));
        assert_eq!(output_option("out".into(), &parameters[..1]).unwrap().classification, Some(2));
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_with_what_was_expected() {
        let error = apply(&mut request(), [("priority", Parameter::Text("high".into()))]).unwrap_err();
        assert_eq!(error.message(), "parameter 'priority' must be an integer of at least 0, got the text 'high'");
    }
}
