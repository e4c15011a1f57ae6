//! Golden inputs must give golden outputs, through the very decoder and session that will serve.
//!
//! Input tensors are run and held against the outputs by the tolerance of the artefact's precision. Images are decoded and
//! held against the input tensors by [`Picture`]; where a file has images alone, they are run instead.

use std::borrow::Cow;
use std::fmt;

use takt_artifact::golden::{Golden, GoldenTensor};
use takt_artifact::manifest::Precision;
use takt_artifact::tolerance::{MaxError, TensorView};
use takt_artifact::{DataType, Signature, TensorSpec, VersionDir};
use takt_backend::{InputView, Session};

use super::version::ImageInput;
use crate::batch::buffer::AlignedBuffer;

/// How far a decoded image may lie from the tensor that training saw, as shares of that tensor's range.
///
/// JPEG decoders agree to a few levels of 255 (ITU-T T.83 allows that much between conforming decoders), scaled decoding
/// adds rounding at edges; another size, channel order or normalisation is an order of magnitude further off on average.
struct Picture;

impl Picture {
    /// Mean distance: two and a half levels of 255.
    const MEAN: f32 = 0.01;
    /// Greatest distance of a single sample, at a sharp edge.
    const WORST: f32 = 0.25;
}

/// Shape and bytes of one input.
type Input<'a> = (Cow<'a, [usize]>, AlignedBuffer);

/// Runs the version's golden file, where it has one.
///
/// # Errors
/// The file is broken, does not fit the model, or something is further off than its tolerance.
pub fn check(
    dir: &VersionDir,
    precision: Precision,
    session: &mut dyn Session,
    signature: &Signature,
    image: Option<&ImageInput>,
) -> Result<Option<MaxError>, String> {
    let Some(path) = dir.golden() else { return Ok(None) };
    let in_file = |fault: &dyn fmt::Display| format!("{}: {fault}", path.display());
    let bytes = std::fs::read(&path).map_err(|error| in_file(&error))?;
    let golden = Golden::parse(&bytes).map_err(|error| in_file(&error))?;
    let disagreements = golden.disagreements(signature);
    if !disagreements.is_empty() {
        let list: Vec<String> = disagreements.iter().map(ToString::to_string).collect();
        return Err(in_file(&format!("does not fit the model:\n  {}", list.join("\n  "))));
    }
    let inputs = signature
        .inputs
        .iter()
        .enumerate()
        .map(|(index, spec)| input(&golden, spec, image.filter(|image| image.index == index)))
        .collect::<Result<Vec<_>, String>>()
        .map_err(|fault| in_file(&fault))?;
    let views: Vec<InputView<'_>> = signature
        .inputs
        .iter()
        .zip(&inputs)
        .map(|(spec, (shape, data))| InputView { datatype: spec.datatype, shape, data: data.bytes() })
        .collect();
    let outputs = session.run(&views).map_err(|error| format!("the golden inputs can't be run: {error}"))?;
    let actual = |name: &str| {
        let index = signature.outputs.iter().position(|spec| spec.name == name)?;
        let output = outputs.get(index)?;
        Some(TensorView { datatype: output.datatype, shape: &output.shape, data: &output.data })
    };
    golden.compare(actual, golden.tolerances.of(precision)).map(Some).map_err(|mismatch| in_file(&mismatch))
}

/// What to run for one input: its tensor, which its images must give, or else its images.
fn input<'a>(golden: &'a Golden, spec: &TensorSpec, image: Option<&ImageInput>) -> Result<Input<'a>, String> {
    let name = &spec.name;
    let decoded = match (golden.images.get(name), image) {
        (Some(images), Some(image)) => Some(decode(image, images)?),
        (Some(_), None) => return Err(format!("image.{name} is for an input that takes no images; add preprocess")),
        (None, _) => None,
    };
    match (golden.inputs.get(name), decoded) {
        (Some(tensor), Some((_, picture))) => {
            same_picture(name, tensor, picture.bytes())?;
            Ok((Cow::Borrowed(&tensor.shape), aligned(tensor)))
        }
        (Some(tensor), None) => Ok((Cow::Borrowed(&tensor.shape), aligned(tensor))),
        (None, Some(decoded)) => Ok(decoded),
        (None, None) => Err(format!("there is no input.{name} and no image.{name}")),
    }
}

fn aligned(tensor: &GoldenTensor) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::zeroed(tensor.data.len());
    buffer.bytes_mut().copy_from_slice(&tensor.data);
    buffer
}

fn decode<'a>(image: &ImageInput, images: &[Vec<u8>]) -> Result<Input<'a>, String> {
    let row_bytes = image.decoder.row_bytes();
    let mut buffer = AlignedBuffer::zeroed(row_bytes * images.len());
    let mut aligned = AlignedBuffer::zeroed(row_bytes);
    for (encoded, row) in images.iter().zip(buffer.bytes_mut().chunks_exact_mut(row_bytes)) {
        image.decoder.decode(encoded, aligned.bytes_mut(), false).map_err(|error| format!("golden image: {error}"))?;
        row.copy_from_slice(aligned.bytes());
    }
    let [a, b, c] = image.shape;
    Ok((vec![images.len(), a, b, c].into(), buffer))
}

/// Holds a decoded picture against the tensor that training saw.
fn same_picture(name: &str, expected: &GoldenTensor, decoded: &[u8]) -> Result<(), String> {
    let decoded = TensorView { datatype: expected.datatype, shape: &expected.shape, data: decoded };
    if expected.datatype == DataType::Bytes || expected.data.len() != decoded.data.len() {
        return Err(format!(
            "image.{name} gives {} bytes, input.{name} has {}; store one image per row",
            decoded.data.len(),
            expected.data.len()
        ));
    }
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let (mut sum, mut worst, mut count) = (0.0, 0f64, 0usize);
    for (want, have) in expected.view().numbers().zip(decoded.numbers()) {
        (low, high) = (low.min(want), high.max(want));
        sum += (want - have).abs();
        worst = worst.max((want - have).abs());
        count += 1;
    }
    let range = (high - low).max(f64::MIN_POSITIVE);
    let (mean, worst) = (sum / count.max(1) as f64 / range, worst / range);
    if mean <= f64::from(Picture::MEAN) && worst <= f64::from(Picture::WORST) {
        return Ok(());
    }
    Err(format!(
        "image.{name} decodes to another picture than input.{name}: {:.1} % of its range off on average and {:.0} % at worst, \
         allowed are {:.0} % and {:.0} %; preprocess differs from what training did",
        mean * 100.0,
        worst * 100.0,
        Picture::MEAN * 100.0,
        Picture::WORST * 100.0
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32]) -> GoldenTensor {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        GoldenTensor { datatype: DataType::Fp32, shape: vec![1, values.len()], data }
    }

    #[test]
    fn a_picture_a_level_off_passes_and_one_in_another_channel_order_does_not() {
        let expected: Vec<f32> = (0..300).map(|index| (index % 100) as f32 / 100.0).collect();
        let near: Vec<f32> = expected.iter().map(|value| value + 1.0 / 255.0).collect();
        same_picture("x", &tensor(&expected), &tensor(&near).data).unwrap();
        let mut other = expected.clone();
        other.rotate_left(33);
        let error = same_picture("x", &tensor(&expected), &tensor(&other).data).unwrap_err();
        assert!(error.contains("another picture"), "{error}");
        assert!(same_picture("x", &tensor(&expected), &[0; 4]).unwrap_err().contains("one image per row"));
    }
}
