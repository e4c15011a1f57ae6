//! `golden.safetensors`: a few inputs with the outputs they must give, run before a version serves.
//!
//! | tensor | holds |
//! |---|---|
//! | `input.<name>` | the input `<name>`, batch included |
//! | `image.<name>` | an encoded image (JPEG, PNG, BMP) as one-dimensional UINT8, for the input that `preprocess` fills |
//! | `image.<name>#<k>` | the same for row k of a batch, k from 0 without gaps |
//! | `output.<name>` | the output `<name>` that the inputs, or else the images, must give, batch included |
//!
//! Where both `input.<name>` and `image.<name>` are there, the image prepared must also give the input: training and
//! serving then provably see the same picture. Elements are little-endian, as the format says. The metadata key `takt`
//! may hold `{"schema": 1, "tolerances": {"fp32": {...}, ...}}`; what it leaves out is as in [`Tolerances::default`].

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::Dtype;
use safetensors::{SafeTensors, View};
use serde::{Deserialize, Serialize};

use crate::fault::{self, Document, DocumentError, Fault};
use crate::tolerance::{GoldenMismatch, MaxError, TensorView, Tolerance, Tolerances, compare};
use crate::{DataType, Signature, TensorSpec};

/// Schema number of golden files that this code reads and writes.
pub const SCHEMA: u32 = 1;

const NAME: &str = "golden.safetensors";
const METADATA: &str = "takt";

/// Inputs with the outputs they must give.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Golden {
    /// Input tensors by name.
    pub inputs: BTreeMap<String, GoldenTensor>,
    /// Encoded images by the name of the input they become, one per row of the batch.
    pub images: BTreeMap<String, Vec<Vec<u8>>>,
    /// Expected outputs by name; every number is finite.
    pub outputs: BTreeMap<String, GoldenTensor>,
    /// How far a run may be off.
    pub tolerances: Tolerances,
}

/// A tensor that owns its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoldenTensor {
    /// Element type; never [`DataType::Bytes`].
    pub datatype: DataType,
    /// Shape, batch included.
    pub shape: Vec<usize>,
    /// Elements, little-endian.
    pub data: Vec<u8>,
}

impl GoldenTensor {
    /// Borrowed.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        TensorView {
            datatype: self.datatype,
            shape: &self.shape,
            data: &self.data,
        }
    }
}

impl Golden {
    /// Reads and checks a golden file.
    ///
    /// # Errors
    /// Not in the format, newer, or with tensors that mean nothing to us; all of these together.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| form(error.to_string()))?;
        let (_, header) =
            SafeTensors::read_metadata(bytes).map_err(|error| form(error.to_string()))?;
        let metadata = header.metadata().as_ref().and_then(|m| m.get(METADATA));
        let mut golden = Self::default();
        if let Some(text) = metadata {
            golden.tolerances = fault::read::<Metadata>(text.as_bytes())?.tolerances;
        }
        let mut faults = Vec::new();
        let mut images = Vec::new();
        for (name, tensor) in tensors.iter() {
            let Some(datatype) = datatype(tensor.dtype()) else {
                faults.push(Fault::new(
                    name,
                    format!("datatype {:?}", tensor.dtype()),
                    "a datatype of the inference protocol",
                    "convert the tensor",
                ));
                continue;
            };
            let owned = GoldenTensor {
                datatype,
                shape: tensor.shape().to_vec(),
                data: tensor.data().to_vec(),
            };
            match name.split_once('.') {
                Some(("input", input)) if !input.is_empty() => {
                    golden.inputs.insert(input.to_owned(), owned);
                }
                Some(("output", output)) if !output.is_empty() => {
                    golden.outputs.insert(output.to_owned(), owned);
                }
                Some(("image", input)) if !input.is_empty() => {
                    if datatype != DataType::Uint8 || owned.shape.len() != 1 {
                        faults.push(Fault::new(
                            name,
                            format!("{datatype} of shape {:?}", owned.shape),
                            "the bytes of an encoded image as one-dimensional UINT8",
                            "store the file's bytes, or name a decoded image input.<name>",
                        ));
                    }
                    let (input, row) = image_row(input);
                    images.push((input.to_owned(), row, owned.data));
                }
                _ => faults.push(Fault::new(
                    name,
                    "a tensor of that name",
                    "input.<name>, image.<name> or output.<name>",
                    "rename or remove it",
                )),
            }
        }
        images.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        for (input, row, data) in images {
            let rows: &mut Vec<_> = golden.images.entry(input.clone()).or_default();
            if row != rows.len() {
                faults.push(Fault::new(
                    format!("image.{input}"),
                    format!("row {row} after {} rows", rows.len()),
                    "rows from #0 without gaps or repetitions",
                    "number the images of the batch in order",
                ));
            }
            rows.push(data);
        }
        faults.extend(golden.faults());
        golden.or(faults)
    }

    /// As `golden.safetensors`; the same contents give the same bytes.
    ///
    /// # Errors
    /// Its faults, so that what is written can be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DocumentError> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(DocumentError::Faults {
                document: NAME,
                faults,
            });
        }
        let mut tensors: Vec<(String, Stored)> = Vec::new();
        for (prefix, named) in [("input", &self.inputs), ("output", &self.outputs)] {
            for (name, tensor) in named {
                tensors.push((format!("{prefix}.{name}"), Stored::tensor(tensor)?));
            }
        }
        for (name, rows) in &self.images {
            let numbered = rows.len() > 1;
            tensors.extend(rows.iter().enumerate().map(|(k, bytes)| match numbered {
                true => (format!("image.{name}#{k}"), Stored::image(bytes)),
                false => (format!("image.{name}"), Stored::image(bytes)),
            }));
        }
        let metadata = Metadata {
            schema: SCHEMA,
            tolerances: self.tolerances,
        };
        let text = serde_json::to_string(&metadata).map_err(|error| form(error.to_string()))?;
        // One key: the map's order, and with it the file, would change from run to run with two.
        let metadata = HashMap::from([(METADATA.to_owned(), text)]);
        safetensors::serialize(tensors, Some(metadata)).map_err(|error| form(error.to_string()))
    }

    /// Everything in which it disagrees with the version's signature.
    #[must_use]
    pub fn disagreements(&self, signature: &Signature) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (prefix, named, specs) in [
            ("input", &self.inputs, &signature.inputs),
            ("output", &self.outputs, &signature.outputs),
        ] {
            for (name, tensor) in named {
                let path = format!("{prefix}.{name}");
                faults.extend(disagreement(
                    path,
                    tensor,
                    specs.iter().find(|s| s.name == *name),
                ));
            }
        }
        for spec in &signature.inputs {
            let name = &spec.name;
            if !self.inputs.contains_key(name) && !self.images.contains_key(name) {
                faults.push(Fault::new(
                    format!("input.{name}"),
                    "nothing",
                    format!("the input '{name}' or an image for it"),
                    "every input must be given to run the model",
                ));
            }
        }
        for name in self
            .images
            .keys()
            .filter(|name| signature.input(name).is_none())
        {
            faults.push(Fault::new(
                format!("image.{name}"),
                format!("an image for '{name}'"),
                "an input of the signature",
                "rename the tensor",
            ));
        }
        faults
    }

    /// Holds what a run gave against every expected output. `actual` looks an output up by name.
    ///
    /// # Errors
    /// The first number that is further off than `tolerance` allows, or an output of another type or shape.
    pub fn compare<'a>(
        &self,
        mut actual: impl FnMut(&str) -> Option<TensorView<'a>>,
        tolerance: Tolerance,
    ) -> Result<MaxError, GoldenMismatch> {
        let mut worst = MaxError::default();
        for (name, expected) in &self.outputs {
            let actual = actual(name).ok_or_else(|| GoldenMismatch::NoOutput {
                output: name.clone(),
            })?;
            worst = worst.max(compare(name, expected.view(), actual, tolerance)?);
        }
        Ok(worst)
    }

    fn or(self, faults: Vec<Fault>) -> Result<Self, DocumentError> {
        if faults.is_empty() {
            return Ok(self);
        }
        Err(DocumentError::Faults {
            document: NAME,
            faults,
        })
    }

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        for (prefix, named) in [("input", &self.inputs), ("output", &self.outputs)] {
            for (name, tensor) in named {
                let path = format!("{prefix}.{name}");
                faults.extend(wrong_length(&path, tensor));
                if prefix == "output" {
                    faults.extend(not_finite(&path, tensor));
                }
            }
        }
        let given = [
            ("input.", !self.inputs.is_empty() || !self.images.is_empty()),
            ("output.", !self.outputs.is_empty()),
        ];
        for (prefix, _) in given.iter().filter(|(_, given)| !given) {
            faults.push(Fault::new(
                *prefix,
                "none",
                "at least one input or image, and at least one output",
                "run the model on a few inputs and store both",
            ));
        }
        faults.extend(self.tolerances.faults());
        faults
    }
}

/// `("image", 3)` of `image#3`; row 0 without a number.
fn image_row(name: &str) -> (&str, usize) {
    name.rsplit_once('#')
        .and_then(|(name, row)| Some((name, row.parse().ok()?)))
        .unwrap_or((name, 0))
}

fn wrong_length(path: &str, tensor: &GoldenTensor) -> Option<Fault> {
    let wanted = tensor.view().expected_len();
    (wanted != Some(tensor.data.len())).then(|| {
        Fault::new(
            path,
            format!("{} bytes", tensor.data.len()),
            format!("{} of shape {:?}", tensor.datatype, tensor.shape),
            "store the whole tensor",
        )
    })
}

fn not_finite(path: &str, tensor: &GoldenTensor) -> Option<Fault> {
    let view = tensor.view();
    let mut numbers = view.numbers();
    let at = numbers.position(|number| !number.is_finite())?;
    Some(Fault::new(
        path,
        format!("a number that is not finite at {at}"),
        "finite numbers",
        "choose other inputs, or repair the model",
    ))
}

fn disagreement(path: String, tensor: &GoldenTensor, spec: Option<&TensorSpec>) -> Option<Fault> {
    let found = format!("{} of shape {:?}", tensor.datatype, tensor.shape);
    let expected = match spec {
        None => "a tensor of the signature".to_owned(),
        Some(spec) if spec.datatype == tensor.datatype && spec.admits(&tensor.shape) => {
            return None;
        }
        Some(spec) => format!("{} of shape {:?}", spec.datatype, spec.shape),
    };
    Some(Fault::new(
        path,
        found,
        expected,
        "record the golden file with this model",
    ))
}

fn form(message: String) -> DocumentError {
    DocumentError::Form {
        document: NAME,
        path: ".".to_owned(),
        message,
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    schema: u32,
    #[serde(default)]
    tolerances: Tolerances,
}

impl Document for Metadata {
    const NAME: &'static str = "golden.safetensors, metadata 'takt'";
    const SCHEMA: u32 = SCHEMA;

    fn faults(&self) -> Vec<Fault> {
        Vec::new() // told with those of the whole file
    }
}

/// A tensor on its way to the file.
struct Stored<'a> {
    dtype: Dtype,
    shape: Vec<usize>,
    data: &'a [u8],
}

impl<'a> Stored<'a> {
    fn tensor(tensor: &'a GoldenTensor) -> Result<Self, DocumentError> {
        Ok(Self {
            dtype: dtype(tensor.datatype).ok_or_else(|| {
                form("BYTES has no place in this format; store images".to_owned())
            })?,
            shape: tensor.shape.clone(),
            data: &tensor.data,
        })
    }

    fn image(bytes: &'a [u8]) -> Self {
        Self {
            dtype: Dtype::U8,
            shape: vec![bytes.len()],
            data: bytes,
        }
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        self.data.into()
    }

    fn data_len(&self) -> usize {
        self.data.len()
    }
}

fn dtype(datatype: DataType) -> Option<Dtype> {
    Some(match datatype {
        DataType::Bool => Dtype::BOOL,
        DataType::Uint8 => Dtype::U8,
        DataType::Uint16 => Dtype::U16,
        DataType::Uint32 => Dtype::U32,
        DataType::Uint64 => Dtype::U64,
        DataType::Int8 => Dtype::I8,
        DataType::Int16 => Dtype::I16,
        DataType::Int32 => Dtype::I32,
        DataType::Int64 => Dtype::I64,
        DataType::Fp16 => Dtype::F16,
        DataType::Bf16 => Dtype::BF16,
        DataType::Fp32 => Dtype::F32,
        DataType::Fp64 => Dtype::F64,
        DataType::Bytes => return None,
    })
}

fn datatype(wanted: Dtype) -> Option<DataType> {
    DataType::ALL
        .into_iter()
        .find(|&datatype| dtype(datatype) == Some(wanted))
}
