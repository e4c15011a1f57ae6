//! What pixels and outputs of a version mean: its manifest's word, or for a bare ONNX file its configuration's.

use std::sync::Arc;

use takt_artifact::{Judge, Signature, VersionDir};
use takt_image::Preprocessor;

use super::image_input::ImageRows;
use super::version::{ImageInput, OutputJudge};
use crate::repository::ModelConfig;
use crate::repository::agree::Vision;

/// Preprocessing, labels and decision of one version, wherever they were written.
pub struct Meaning<'a> {
    vision: Vision,
    packaged: bool,
    config: &'a ModelConfig,
}

impl<'a> Meaning<'a> {
    /// The meaning of a version under that configuration.
    #[must_use]
    pub fn of(dir: &'a VersionDir, config: &'a ModelConfig) -> Self {
        Self { vision: config.vision(dir.manifest()), packaged: dir.manifest().is_some(), config }
    }

    /// The input that takes encoded images, with its decoder.
    ///
    /// # Errors
    /// The preprocessing does not fit the model; says what each has.
    pub fn image_input(&self, model: &str, signature: &Signature) -> Result<Option<ImageInput>, String> {
        let Some(preprocess) = &self.vision.preprocess else { return Ok(None) };
        let index = signature.inputs.iter().position(|spec| spec.name == preprocess.input).ok_or_else(|| {
            let names: Vec<&str> = signature.inputs.iter().map(|spec| spec.name.as_str()).collect();
            format!("preprocess.input is '{}', but the model's inputs are {names:?}", preprocess.input)
        })?;
        let preprocessor =
            Preprocessor::new(preprocess, self.config.limits.images).map_err(|error| error.to_string())?;
        let datatype = signature.inputs[index].datatype;
        preprocessor.check_datatype(datatype).map_err(|error| error.to_string())?;
        let shape = preprocess.shape();
        let expected = &signature.inputs[index].shape;
        let fits = expected.len() == 4
            && expected[1..].iter().zip(shape).all(|(&dim, have)| dim < 0 || usize::try_from(dim) == Ok(have));
        if !fits {
            return Err(format!(
                "preprocess makes an image of shape {shape:?}, but input '{}' has shape {expected:?}; set width, height, color \
                 and layout to match",
                preprocess.input
            ));
        }
        let label = format!("image for input '{}' of model '{model}'", preprocess.input);
        let decoder = Arc::new(ImageRows::new(preprocessor, datatype, label));
        Ok(Some(ImageInput { index, shape, decoder }))
    }

    /// Class names of each output, in signature order. A manifest's labels belong to the output it decides by.
    #[must_use]
    pub fn labels(&self, signature: &Signature) -> Vec<Vec<String>> {
        let decided = self.vision.decision.as_ref().map(|decision| decision.output.as_str());
        let only = signature.outputs.len() == 1;
        let of = |name: &str| match self.packaged {
            true if only || decided == Some(name) => self.vision.labels.clone(),
            true => Vec::new(),
            false => self.config.labels_of(name).to_vec(),
        };
        signature.outputs.iter().map(|spec| of(&spec.name)).collect()
    }

    /// What turns an output into verdicts.
    ///
    /// # Errors
    /// The decision does not fit the model's outputs or the labels.
    pub fn judge(&self, signature: &Signature) -> Result<Option<OutputJudge>, String> {
        let Some(decision) = &self.vision.decision else { return Ok(None) };
        let output = signature.outputs.iter().position(|spec| spec.name == decision.output).ok_or_else(|| {
            let names: Vec<&str> = signature.outputs.iter().map(|spec| spec.name.as_str()).collect();
            format!("decision.output is '{}', but the model's outputs are {names:?}", decision.output)
        })?;
        let labels = &self.labels(signature)[output];
        let fixed = signature.outputs[output].shape.last().and_then(|&dim| usize::try_from(dim).ok());
        let judge = Judge::new(decision, labels, fixed.unwrap_or(labels.len())).map_err(|error| error.to_string())?;
        Ok(Some(OutputJudge { output, judge }))
    }
}
