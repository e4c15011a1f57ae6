//! Golden files to bytes and back.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::Dtype;
use safetensors::{SafeTensors, View};
use serde::{Deserialize, Serialize};

use super::{Golden, GoldenTensor};
use crate::DataType;
use crate::fault::{self, Document, DocumentError, Fault};
use crate::tolerance::Tolerances;

/// Schema number of golden files that this code reads and writes.
pub const SCHEMA: u32 = 1;

const NAME: &str = "golden.safetensors";
pub(super) const METADATA: &str = "takt";

impl Golden {
    /// Reads and checks a golden file.
    ///
    /// # Errors
    /// Not in the format, newer, or with tensors that mean nothing to us; all of these together.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let tensors = SafeTensors::deserialize(bytes).map_err(form)?;
        let mut faults = Vec::new();
        let mut reader =
            Reader { golden: Self { tolerances: tolerances(bytes)?, ..Self::default() }, images: BTreeMap::new() };
        for (name, tensor) in tensors.iter() {
            faults.extend(reader.take(name, &tensor).err());
        }
        let (golden, gaps) = reader.finish();
        faults.extend(gaps);
        faults.extend(golden.faults());
        sound(faults)?;
        Ok(golden)
    }

    /// As `golden.safetensors`; the same contents give the same bytes.
    ///
    /// # Errors
    /// Its faults, so that what is written can be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DocumentError> {
        sound(self.faults())?;
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
        let metadata = Metadata { schema: SCHEMA, tolerances: self.tolerances };
        let text = serde_json::to_string(&metadata).map_err(form)?;
        // One key: the map's order, and with it the file, would change from run to run with two.
        let metadata = HashMap::from([(METADATA.to_owned(), text)]);
        safetensors::serialize(tensors, Some(metadata)).map_err(form)
    }
}

/// A golden file that is being read, tensor by tensor.
struct Reader {
    golden: Golden,
    /// Images by input and row.
    images: BTreeMap<(String, usize), Vec<u8>>,
}

impl Reader {
    fn take(&mut self, name: &str, tensor: &safetensors::tensor::TensorView) -> Result<(), Fault> {
        let datatype = datatype(tensor.dtype()).ok_or_else(|| {
            Fault::new(
                name,
                format!("datatype {:?}", tensor.dtype()),
                "a datatype of the inference protocol",
                "convert the tensor",
            )
        })?;
        let (kind, of) = name.split_once('.').unwrap_or((name, ""));
        let (shape, data) = (tensor.shape().to_vec(), tensor.data().to_vec());
        match kind {
            "input" | "output" if !of.is_empty() => {
                let named = match kind {
                    "input" => &mut self.golden.inputs,
                    _ => &mut self.golden.outputs,
                };
                let tensor = GoldenTensor { datatype, shape, data };
                named.insert(of.to_owned(), tensor);
                Ok(())
            }
            "image" if !of.is_empty() && datatype == DataType::Uint8 && shape.len() == 1 => {
                let (input, row) = image_row(of);
                match self.images.insert((input.to_owned(), row), data) {
                    None => Ok(()),
                    Some(_) => Err(Fault::new(
                        name,
                        format!("row {row} a second time"),
                        "each row once",
                        "number the images of the batch from #0",
                    )),
                }
            }
            "image" if !of.is_empty() => Err(Fault::new(
                name,
                format!("{datatype} of shape {shape:?}"),
                "the bytes of an encoded image as one-dimensional UINT8",
                "store the file's bytes, or name a decoded image input.<name>",
            )),
            _ => Err(Fault::new(
                name,
                "a tensor of that name",
                "input.<name>, image.<name> or output.<name>",
                "rename or remove it",
            )),
        }
    }

    /// With the images in their rows, and the gaps between rows.
    fn finish(self) -> (Golden, Vec<Fault>) {
        let Self { mut golden, images } = self;
        let mut gaps = Vec::new();
        for ((input, row), data) in images {
            let path = format!("image.{input}");
            let rows = golden.images.entry(input).or_default();
            if row != rows.len() {
                gaps.push(Fault::new(
                    path,
                    format!("row {row} after {} rows", rows.len()),
                    "rows from #0 without gaps",
                    "number the images of the batch in order",
                ));
            }
            rows.push(data);
        }
        (golden, gaps)
    }
}

fn tolerances(bytes: &[u8]) -> Result<Tolerances, DocumentError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(form)?;
    match header.metadata().as_ref().and_then(|m| m.get(METADATA)) {
        Some(text) => Ok(fault::read::<Metadata>(text.as_bytes())?.tolerances),
        None => Ok(Tolerances::default()),
    }
}

fn sound(faults: Vec<Fault>) -> Result<(), DocumentError> {
    if faults.is_empty() {
        return Ok(());
    }
    Err(DocumentError::Faults { document: NAME, faults })
}

/// `("image", 3)` of `image#3`; row 0 without a number.
fn image_row(name: &str) -> (&str, usize) {
    name.rsplit_once('#').and_then(|(name, row)| Some((name, row.parse().ok()?))).unwrap_or((name, 0))
}

#[expect(clippy::needless_pass_by_value, reason = "so that map_err takes it as it is")]
fn form(message: impl ToString) -> DocumentError {
    DocumentError::Form { document: NAME, path: ".".to_owned(), message: message.to_string() }
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
pub(super) struct Stored<'a> {
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<usize>,
    pub(super) data: &'a [u8],
}

impl<'a> Stored<'a> {
    fn tensor(tensor: &'a GoldenTensor) -> Result<Self, DocumentError> {
        Ok(Self {
            dtype: dtype(tensor.datatype).ok_or_else(|| form("BYTES has no place in this format; store images"))?,
            shape: tensor.shape.clone(),
            data: &tensor.data,
        })
    }

    fn image(bytes: &'a [u8]) -> Self {
        Self { dtype: Dtype::U8, shape: vec![bytes.len()], data: bytes }
    }
}

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
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
    DataType::ALL.into_iter().find(|&datatype| dtype(datatype) == Some(wanted))
}
