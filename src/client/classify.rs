//! Encoded images to predictions.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use takt_proto::inference::model_metadata_response::TensorMetadata;
use takt_proto::inference::{InferParameter, ModelInferRequest, ModelMetadataRequest};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tonic::Request;

use super::failure::{Failure, told};
use super::prediction::Prediction;
use super::{Grpc, ServerUrl, connect};

/// Images that are on their way at once: enough to fill a batch, and their bytes fit on any machine.
const AT_ONCE: usize = 16;

/// Bytes before an element of a BYTES tensor.
const LENGTH_BYTES: usize = 4;

/// What to ask of every image.
#[derive(Debug, Clone)]
pub struct Question {
    /// The model.
    pub model: String,
    /// Its version; `None` lets the server choose.
    pub version: Option<u64>,
    /// The input that takes images; `None` takes the only one that can.
    pub input: Option<String>,
    /// How many classes to name.
    pub top: u32,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Where the images come from.
    pub origin: Origin,
}

/// Where a part comes from, for routing and monitoring.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Origin {
    /// The part that the images show
    #[arg(long, value_name = "ID")]
    pub part_id: Option<String>,
    /// The station that took them
    #[arg(long, value_name = "ID")]
    pub station_id: Option<String>,
    /// What is produced
    #[arg(long, value_name = "NAME")]
    pub product: Option<String>,
}

/// Asks one model about images.
#[derive(Debug, Clone)]
pub struct Classifier {
    grpc: Grpc,
    /// A request that lacks only the image.
    template: ModelInferRequest,
    timeout: Duration,
}

impl Classifier {
    /// Connects and finds out what the model takes and gives.
    ///
    /// # Errors
    /// No server answers, it does not serve the model, or the model takes no images.
    pub async fn connect(url: &ServerUrl, question: Question) -> anyhow::Result<Self> {
        let mut grpc = connect(url).await?;
        let version = question.version.map(|number| number.to_string()).unwrap_or_default();
        let mut request = Request::new(ModelMetadataRequest { name: question.model.clone(), version: version.clone() });
        request.set_timeout(question.timeout);
        let metadata = grpc.model_metadata(request).await.map_err(told)?.into_inner();
        let input = image_input(&question, &metadata.inputs)?;
        let template = ModelInferRequest {
            model_name: question.model,
            model_version: version,
            parameters: parameters(&question.origin),
            inputs: vec![InferInputTensor {
                name: input,
                datatype: "BYTES".to_owned(),
                shape: vec![1],
                ..InferInputTensor::default()
            }],
            outputs: ranked_outputs(&metadata.outputs, question.top),
            ..ModelInferRequest::default()
        };
        Ok(Self { grpc, template, timeout: question.timeout })
    }

    /// Asks about every file, several at a time. Await the answers in order.
    pub fn classify_files(&self, files: &[PathBuf]) -> Vec<JoinHandle<Result<Prediction, Failure>>> {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let ask = |file: &PathBuf| {
            let (this, file, permits) = (self.clone(), file.clone(), Arc::clone(&permits));
            tokio::spawn(async move {
                // Files are read when it is their turn, so that only a few are in memory. Nobody closes the semaphore.
                let _permit = permits.acquire().await;
                this.classify_file(&file).await
            })
        };
        files.iter().map(ask).collect()
    }

    /// Asks about one file.
    ///
    /// # Errors
    /// The file can't be read, or the server did not answer.
    pub async fn classify_file(&self, file: &Path) -> Result<Prediction, Failure> {
        let mut message = self.template.clone();
        message.raw_input_contents = vec![element(file).map_err(|error| Failure::file(&error))?.into()];
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        let sent = Instant::now();
        let answer = self.grpc.clone().model_infer(request).await?;
        let latency = sent.elapsed();
        Prediction::read(answer.metadata(), answer.get_ref(), latency)
    }
}

/// A file as the only element of a BYTES tensor.
fn element(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut element = vec![0; LENGTH_BYTES];
    std::fs::File::open(file)?.read_to_end(&mut element)?;
    let length = u32::try_from(element.len() - LENGTH_BYTES)
        .map_err(|_| std::io::Error::other("larger than 4 GB, which no request can carry"))?;
    element[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(element)
}

/// The input that takes images: the named one, or the only one of four dimensions.
fn image_input(question: &Question, inputs: &[TensorMetadata]) -> anyhow::Result<String> {
    let model = &question.model;
    let all =
        || inputs.iter().map(|input| format!("'{}' {:?}", input.name, input.shape)).collect::<Vec<_>>().join(", ");
    if let Some(named) = &question.input {
        if inputs.iter().any(|input| input.name == *named) {
            return Ok(named.clone());
        }
        bail!("model '{model}' has no input '{named}'; its inputs are {}", all());
    }
    let images: Vec<&TensorMetadata> = inputs.iter().filter(|input| input.shape.len() == 4).collect();
    match images[..] {
        [only] => Ok(only.name.clone()),
        [] => bail!(
            "model '{model}' takes no images: expected an input of four dimensions, found {}; send it tensors with a client \
             library",
            all()
        ),
        _ => bail!("model '{model}' has several inputs that could take the image; name one with --input: {}", all()),
    }
}

/// Every output that can be ranked, as its greatest values.
fn ranked_outputs(outputs: &[TensorMetadata], top: u32) -> Vec<InferRequestedOutputTensor> {
    let rankable = outputs.iter().filter(|output| !matches!(output.datatype.as_str(), "BYTES" | "BOOL"));
    let classification = parameter(ParameterChoice::Int64Param(top.into()));
    rankable
        .map(|output| InferRequestedOutputTensor {
            name: output.name.clone(),
            parameters: [("classification".to_owned(), classification.clone())].into(),
        })
        .collect()
}

fn parameters(origin: &Origin) -> std::collections::HashMap<String, InferParameter> {
    let named = [("x-part-id", &origin.part_id), ("x-station-id", &origin.station_id), ("x-product", &origin.product)];
    let named = named
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), parameter(ParameterChoice::StringParam(value.clone()?)))));
    named.chain([("takt_decision".to_owned(), parameter(ParameterChoice::BoolParam(true)))]).collect()
}

fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(name: &str, shape: &[i64]) -> TensorMetadata {
        TensorMetadata { name: name.to_owned(), datatype: "FP32".to_owned(), shape: shape.to_vec() }
    }

    fn question(input: Option<&str>) -> Question {
        Question {
            model: "m".to_owned(),
            version: None,
            input: input.map(str::to_owned),
            top: 3,
            timeout: Duration::from_secs(1),
            origin: Origin::default(),
        }
    }

    #[test]
    fn the_only_input_of_four_dimensions_takes_the_image() {
        let inputs = [input("size", &[-1, 2]), input("image", &[-1, 3, 8, 8])];
        assert_eq!(image_input(&question(None), &inputs).unwrap(), "image");
    }

    #[test]
    fn where_no_input_or_several_could_take_it_all_are_named() {
        let none = image_input(&question(None), &[input("x", &[-1, 2])]).unwrap_err().to_string();
        assert!(none.contains("'x' [-1, 2]") && none.contains("four dimensions"), "{none}");
        let two = [input("left", &[-1, 3, 8, 8]), input("right", &[-1, 3, 8, 8])];
        assert!(image_input(&question(None), &two).unwrap_err().to_string().contains("--input: 'left'"));
        assert_eq!(image_input(&question(Some("right")), &two).unwrap(), "right");
        assert!(image_input(&question(Some("up")), &two).unwrap_err().to_string().contains("no input 'up'"));
    }

    #[test]
    fn a_file_becomes_one_element() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.jpg");
        std::fs::write(&file, b"abc").unwrap();
        assert_eq!(element(&file).unwrap(), b"\x03\0\0\0abc");
    }
}
