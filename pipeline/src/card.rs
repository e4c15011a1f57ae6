//! What a model file says of itself beside its graph: how images become its input, and what its outputs are called.
//!
//! Kept in the ONNX file's `metadata_props`, so that a model in the making is one file and no runtime minds.

use serde::{Serialize, de::DeserializeOwned};
use takt_artifact::{Decision, Preprocess};
use takt_graph::Model;
use takt_graph::shape::ShapeError;

const PREPROCESS: &str = "takt.preprocess";
const LABELS: &str = "takt.labels";
const DECISION: &str = "takt.decision";
const WEIGHT_BITS: &str = "takt.weight_bits";

/// Mean and deviation of ImageNet's pixels per channel, with which torchvision's models were trained.
const IMAGENET: ([f32; 3], [f32; 3]) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);

/// What a model file says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Card {
    /// From an encoded image to the input.
    pub preprocess: Preprocess,
    /// Names of the classes, in the order of the outputs.
    pub labels: Vec<String>,
    /// From outputs to a verdict.
    pub decision: Option<Decision>,
}

/// Why a model's card cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CardError {
    /// An entry that is no longer what we wrote.
    #[error("the model's metadata '{key}' cannot be read ({reason}); remove the entry or give the file that made it")]
    Entry {
        /// Which.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// An input that no image becomes.
    #[error(
        "the model's input is {found}, expected [batch, 3, height, width] or [batch, 1, height, width] with known sizes; export it \
             with a fixed image size"
    )]
    Input {
        /// What it is.
        found: String,
    },
    /// A graph that cannot take the input it declares.
    #[error("the model's shapes do not fit together: {0}; export it again, for images as [batch, 3, height, width]")]
    Shapes(#[from] ShapeError),
}

impl Card {
    /// A card for a model that has none: its input's size, ImageNet's normalisation (grey: none), and the labels given.
    ///
    /// # Errors
    /// The input is no image of known size, or the graph cannot take it.
    pub fn of_input(model: &Model, labels: Vec<String>) -> Result<Self, CardError> {
        let facts = takt_graph::shape::infer(model)?;
        let initialised = |name: &str| model.graph().initializer_named(name).is_some();
        let input = model.graph().input.iter().find(|input| !initialised(input.name()));
        let Some(input) = input else { return Err(CardError::Input { found: "none".to_owned() }) };
        let fact = facts.get(input.name());
        let size = |axis: usize| {
            let dim = fact.shape.as_ref().filter(|shape| shape.len() == 4)?.get(axis)?.known()?;
            u32::try_from(dim).ok().filter(|&dim| dim > 0)
        };
        let (Some(channels @ (1 | 3)), Some(height), Some(width)) = (size(1), size(2), size(3)) else {
            return Err(CardError::Input { found: fact.to_string() });
        };
        let preprocess = serde_json::json!({
            "input": input.name(),
            "width": width,
            "height": height,
            "color": if channels == 1 { "gray" } else { "rgb" },
            "mean": if channels == 1 { Vec::new() } else { IMAGENET.0.to_vec() },
            "std": if channels == 1 { Vec::new() } else { IMAGENET.1.to_vec() },
        });
        let bad = |error: serde_json::Error| CardError::Entry { key: PREPROCESS, reason: error.to_string() };
        Ok(Self { preprocess: serde_json::from_value(preprocess).map_err(bad)?, labels, decision: None })
    }

    /// The card that a model carries; `None` for a model from elsewhere.
    ///
    /// # Errors
    /// An entry cannot be read.
    pub fn read(model: &Model) -> Result<Option<Self>, CardError> {
        let Some(preprocess) = entry(model, PREPROCESS)? else { return Ok(None) };
        Ok(Some(Self {
            preprocess,
            labels: entry(model, LABELS)?.unwrap_or_default(),
            decision: entry(model, DECISION)?,
        }))
    }

    /// Writes the card into a model.
    ///
    /// # Errors
    /// A number in it is none.
    pub fn write(&self, model: &mut Model) -> Result<(), CardError> {
        put(model, PREPROCESS, &self.preprocess)?;
        put(model, LABELS, &self.labels)?;
        self.decision.as_ref().map_or(Ok(()), |decision| put(model, DECISION, decision))
    }
}

/// Bits of a quantised model's weights, where it says so. With 7, sums of two products with bytes never leave 16 bits, so that
/// a runtime needs no exact kernels.
#[must_use]
pub fn weight_bits(model: &Model) -> Option<u8> {
    model.metadata(WEIGHT_BITS)?.parse().ok().filter(|bits| (1..=8).contains(bits))
}

/// Writes down how many bits a quantised model's weights have.
pub fn set_weight_bits(model: &mut Model, bits: u8) {
    model.set_metadata(WEIGHT_BITS, &bits.to_string());
}

pub(crate) fn entry<T: DeserializeOwned>(model: &Model, key: &'static str) -> Result<Option<T>, CardError> {
    let Some(text) = model.metadata(key) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| CardError::Entry { key, reason: error.to_string() })
}

pub(crate) fn put(model: &mut Model, key: &'static str, value: &impl Serialize) -> Result<(), CardError> {
    let text = serde_json::to_string(value).map_err(|error| CardError::Entry { key, reason: error.to_string() })?;
    model.set_metadata(key, &text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use takt_graph::onnx::tensor_proto::DataType;
    use takt_graph::shape::{Dim, Fact};

    use super::*;
    use crate::testing::{class_names, network};

    #[test]
    fn a_card_survives_the_file() {
        let mut model = network(1);
        assert_eq!(Card::read(&model), Ok(None));
        let card = Card::of_input(&model, class_names()).unwrap();
        assert_eq!((card.preprocess.width, card.preprocess.input.as_str()), (16, "image"));
        card.write(&mut model).unwrap();
        let folder = tempfile::tempdir().unwrap();
        model.save(folder.path().join("m.onnx")).unwrap();
        let read = Model::load(folder.path().join("m.onnx")).unwrap();
        assert_eq!(Card::read(&read), Ok(Some(card)));
    }

    #[test]
    fn a_graph_that_cannot_take_its_input_is_told_apart_from_an_input_that_is_no_image() {
        for dims in [[16_usize, 16, 3], [2, 16, 16]] {
            let dims = std::iter::once(Dim::symbol("batch")).chain(dims.map(Dim::from)).collect();
            let mut model = network(1);
            model.graph_mut().input[0] = Fact::new(Some(DataType::Float), dims).declare("image");
            let told = Card::of_input(&model, class_names()).unwrap_err().to_string();
            assert!(told.starts_with("the model's shapes do not fit together: Conv 'conv1': found"), "{told}");
            assert!(told.ends_with("; export it again, for images as [batch, 3, height, width]"), "{told}");
        }
    }

    #[test]
    fn weight_bits_are_read_where_they_make_sense() {
        let mut model = network(1);
        assert_eq!(weight_bits(&model), None);
        set_weight_bits(&mut model, 7);
        assert_eq!(weight_bits(&model), Some(7));
        for spoilt in ["", "seven", "0", "32", "-7"] {
            model.set_metadata("takt.weight_bits", spoilt);
            assert_eq!(weight_bits(&model), None, "{spoilt}");
        }
    }

    #[test]
    fn a_spoilt_card_names_its_entry() {
        let mut model = network(1);
        model.set_metadata("takt.preprocess", "{");
        let error = Card::read(&model).unwrap_err().to_string();
        assert!(error.contains("takt.preprocess"), "{error}");
    }
}
