//! Golden inputs must give golden outputs, through the very decoder and session that will serve.

use std::borrow::Cow;

use takt_artifact::golden::{Golden, GoldenTensor};
use takt_artifact::manifest::Precision;
use takt_artifact::tolerance::{MaxError, TensorView};
use takt_artifact::{Signature, VersionDir};
use takt_backend::{InputView, Session};
use tracing::warn;

use super::version::ImageInput;
use crate::batch::buffer::AlignedBuffer;

/// How far a golden image, prepared, may be off the golden input, as a share of the input's greatest magnitude: a scaled
/// decode is up to 10 of 255 grey levels off, and numbers centred on zero have half the range as their magnitude.
const PREPARED: f64 = 0.1;

/// Runs the version's golden file, where it has one. Where it has both an image and the input that the image becomes, the
/// image is run, and the outputs decide: an image that gives another input and yet the right outputs is worth a warning.
///
/// # Errors
/// The file is broken, does not fit the model, or an output is further off than the tolerance of this precision.
pub fn check(
    dir: &VersionDir,
    precision: Precision,
    session: &mut dyn Session,
    signature: &Signature,
    image: Option<&ImageInput>,
) -> Result<Option<MaxError>, String> {
    let Some(path) = dir.golden() else { return Ok(None) };
    let bytes = std::fs::read(&path).map_err(|error| format!("cannot read '{}': {error}", path.display()))?;
    let golden = Golden::parse(&bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    let disagreements = golden.disagreements(signature);
    if !disagreements.is_empty() {
        let list: Vec<String> = disagreements.iter().map(ToString::to_string).collect();
        return Err(format!("{} does not fit the model:\n  {}", path.display(), list.join("\n  ")));
    }
    let inputs = signature
        .inputs
        .iter()
        .enumerate()
        .map(|(index, spec)| match (golden.inputs.get(&spec.name), golden.images.get(&spec.name)) {
            (_, Some(images)) => match image.filter(|image| image.index == index) {
                Some(image) => decoded(image, images).map(|(shape, data)| (Cow::Owned(shape), data)),
                None => Err(format!("golden images for input '{}', which takes no images; add preprocess", spec.name)),
            },
            (Some(tensor), None) => Ok((Cow::Borrowed(&tensor.shape), aligned(tensor))),
            (None, None) => Err(format!("{} has no input.{} and no image.{}", path.display(), spec.name, spec.name)),
        })
        .collect::<Result<Vec<(Cow<'_, Vec<usize>>, AlignedBuffer)>, String>>()?;
    let views: Vec<InputView<'_>> = signature
        .inputs
        .iter()
        .zip(&inputs)
        .map(|(spec, (shape, data))| InputView { datatype: spec.datatype, shape, data: data.bytes() })
        .collect();
    let outputs = session.run(&views).map_err(|error| format!("the golden inputs can't be run: {error}"))?;
    let skew = skew(&golden, signature, &views);
    let actual = |name: &str| {
        let index = signature.outputs.iter().position(|spec| spec.name == name)?;
        let output = outputs.get(index)?;
        Some(TensorView { datatype: output.datatype, shape: &output.shape, data: &output.data })
    };
    match (golden.compare(actual, golden.tolerances.of(precision)), skew) {
        (Ok(error), None) => Ok(Some(error)),
        (Ok(error), Some(skew)) => {
            warn!(golden = %path.display(), "the outputs are right, but {skew}");
            Ok(Some(error))
        }
        (Err(mismatch), None) => Err(mismatch.to_string()),
        (Err(mismatch), Some(skew)) => Err(format!("{mismatch}; {skew}, so look at preprocess first")),
    }
}

/// Where a golden image, prepared, is not the golden input beside it.
fn skew(golden: &Golden, signature: &Signature, prepared: &[InputView<'_>]) -> Option<String> {
    signature.inputs.iter().zip(prepared).find_map(|(spec, view)| {
        let expected = golden.inputs.get(&spec.name).filter(|_| golden.images.contains_key(&spec.name))?;
        let found = TensorView { datatype: view.datatype, shape: view.shape, data: view.data };
        let scale = expected.view().numbers().map(f64::abs).fold(0.0, f64::max);
        let off = expected.view().numbers().zip(found.numbers()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        (expected.shape != view.shape || off > PREPARED * scale).then(|| {
            format!(
                "the golden image for input '{}', prepared, is not the golden input: {:?} off by up to {off:.3e}, expected {:?} \
                 of magnitude {scale:.3e}",
                spec.name, view.shape, expected.shape
            )
        })
    })
}

fn aligned(tensor: &GoldenTensor) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::zeroed(tensor.data.len());
    buffer.bytes_mut().copy_from_slice(&tensor.data);
    buffer
}

fn decoded(image: &ImageInput, images: &[Vec<u8>]) -> Result<(Vec<usize>, AlignedBuffer), String> {
    let row_bytes = image.decoder.row_bytes();
    let mut buffer = AlignedBuffer::zeroed(row_bytes * images.len());
    for (encoded, row) in images.iter().zip(buffer.bytes_mut().chunks_exact_mut(row_bytes)) {
        let mut aligned = AlignedBuffer::zeroed(row_bytes);
        image.decoder.decode(encoded, aligned.bytes_mut()).map_err(|error| format!("golden image: {error}"))?;
        row.copy_from_slice(aligned.bytes());
    }
    let [a, b, c] = image.shape;
    Ok((vec![images.len(), a, b, c], buffer))
}
