//! Triton's `config.pbtxt`, read as it is: a Triton repository of ONNX models loads unchanged.
//!
//! What a field means here is what it means there, with these liberties: an instance group without kind or of KIND_GPU
//! prefers CUDA and falls back to the processor, and says so, where there is no GPU; a warm-up runs every batch size
//! with zeros whatever the samples are; a model without `max_batch_size` gets [`MaxBatch::AUTO`] where Triton's
//! auto-completion would give 4. Every other field that is set and not acted on is a warning that names it.
//!
//! [`MaxBatch::AUTO`]: super::config::MaxBatch::AUTO

mod colons;
mod map;
mod places;
mod scheduling;
mod tokens;
mod unsupported;

use std::path::Path;

use miette::Diagnostic as _;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage as _};
use takt_proto::inference;

use self::colons::Completed;
use self::map::Reading;
use self::tokens::Tokens;
use super::config::ModelConfig;
use super::fault::{ConfigFault, ConfigFaults, Position, closest, read_text};
use crate::protocol::descriptors::descriptor;

/// File name in the model's folder.
pub const FILE: &str = "config.pbtxt";

/// The message that the file holds.
const MESSAGE: &str = "inference.ModelConfig";

/// Reads the `config.pbtxt` in the folder of the model `name`.
///
/// # Errors
/// The first fault of form, or all of meaning.
pub fn read(name: &str, folder: &Path) -> Result<ModelConfig, ConfigFaults> {
    let file = folder.join(FILE);
    let text = read_text(&file)?;
    parse(name, &file, &text)
}

/// Reads the text of the `config.pbtxt` at `file`.
///
/// # Errors
/// The first fault of form, or all of meaning.
pub fn parse(name: &str, file: &Path, text: &str) -> Result<ModelConfig, ConfigFaults> {
    let message = message(file, text)?;
    let config: inference::ModelConfig = message.transcode_to().map_err(|error| unreadable(file, error.to_string()))?;
    let places = places::places(text, &message.descriptor());
    let warnings = unsupported::warnings(file, &message, &places);
    Reading::new(name, file, places).finish(&config, warnings)
}

fn message(file: &Path, text: &str) -> Result<DynamicMessage, ConfigFaults> {
    let model_config = descriptor(MESSAGE).ok_or_else(|| unreadable(file, "no descriptor for it".to_owned()))?;
    let completed = Completed::new(text);
    DynamicMessage::parse_text_format(model_config, &completed.text).map_err(|error| {
        let label = error.labels().and_then(|mut labels| labels.next());
        let offset = label.map_or(text.len(), |label| completed.original(label.offset()));
        ConfigFault {
            at: Some(Position::of(text, offset)),
            ..ConfigFault::of_file(
                file,
                format!("'{error}'"),
                "a ModelConfig in protobuf text format",
                fix(text, offset),
            )
        }
        .into()
    })
}

/// What the word at `offset` was most likely meant to be, if it is the name of no field.
fn fix(text: &str, offset: usize) -> String {
    let word = text.get(offset..).and_then(|rest| Tokens::of(rest).next()).map_or("", |(_, word)| word);
    let pool = descriptor(MESSAGE).map(|message| message.parent_pool().clone());
    let messages = pool.iter().flat_map(DescriptorPool::all_messages);
    let names: Vec<String> = messages
        .flat_map(|message| message.fields().map(|field| field.name().to_owned()).collect::<Vec<_>>())
        .collect();
    match closest(word, names.iter().map(String::as_str)) {
        Some(known) if known != word => format!("did you mean '{known}'?"),
        _ => "correct the line; field names are those of Triton's model_config.proto".to_owned(),
    }
}

fn unreadable(file: &Path, why: String) -> ConfigFault {
    ConfigFault::of_file(file, why, "a ModelConfig", "report this as a bug, with the file")
}

#[cfg(test)]
mod tests;
