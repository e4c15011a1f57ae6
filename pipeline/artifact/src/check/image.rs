//! Whether a preprocess makes sense, by itself and with the input it fills.

use super::{names_of, quoted};
use crate::DataType;
use crate::fault::Fault;
use crate::preprocess::{Layout, Preprocess, Resize};
use crate::signature::Signature;

/// Longest side of an input image; larger ones are a slip of the pen, not a model.
const MAX_SIDE: u32 = 16_384;

/// All faults of a preprocess over a signature.
pub(super) fn preprocess(p: &Preprocess, signature: &Signature) -> Vec<Fault> {
    let mut faults = numbers(p);
    let Some(spec) = signature.input(&p.input) else {
        faults.push(Fault::new(
            "input",
            quoted(&p.input),
            format!("an input of the signature: {}", names_of(&signature.inputs)),
            "name the input that takes the image",
        ));
        return faults;
    };
    let takes_image = [DataType::Fp32, DataType::Fp16, DataType::Uint8];
    if !takes_image.contains(&spec.datatype) {
        faults.push(Fault::new(
            "input",
            format!("'{}' of datatype {}", p.input, spec.datatype),
            "an input of FP32, FP16 or UINT8",
            "name the input that takes the image, or export the model with one of these",
        ));
    }
    let plain = p.scale == 1.0 && p.mean.is_empty() && p.std.is_empty();
    if spec.datatype == DataType::Uint8 && !plain {
        faults.push(Fault::new(
            "scale",
            format!("{}, mean {:?}, std {:?}", p.scale, p.mean, p.std),
            format!("scale 1 without mean and std, as '{}' takes UINT8", p.input),
            "set \"scale\": 1 and leave out mean and std",
        ));
    }
    if !agrees(&spec.shape, p) {
        let other = match p.layout {
            Layout::Nchw => Layout::Nhwc,
            Layout::Nhwc => Layout::Nchw,
        };
        let turned = Preprocess { layout: other, ..p.clone() };
        faults.push(Fault::new(
            "input",
            format!("'{}' of shape {:?}", p.input, spec.shape),
            format!(
                "[batch, {}] for {} of {} x {} pixels with {} channels",
                p.shape().map(|dim| dim.to_string()).join(", "),
                layout_name(p.layout),
                p.width,
                p.height,
                p.color.channels()
            ),
            if agrees(&spec.shape, &turned) {
                format!("set layout to {}", layout_name(other))
            } else {
                "correct width, height, color or layout".to_owned()
            },
        ));
    }
    faults
}

/// Faults of a preprocess that need no signature to be seen.
fn numbers(p: &Preprocess) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (key, side) in [("width", p.width), ("height", p.height)] {
        if !(1..=MAX_SIDE).contains(&side) {
            faults.push(Fault::new(
                key,
                side.to_string(),
                format!("1 to {MAX_SIDE} pixels"),
                "give the size of the model's input",
            ));
        }
    }
    if let Resize::ShorterSideCrop { shorter } = p.resize
        && (shorter < p.width.max(p.height) || shorter > MAX_SIDE)
    {
        faults.push(Fault::new(
            "resize.shorter",
            shorter.to_string(),
            format!("{} (the longer of width and height) to {MAX_SIDE}", p.width.max(p.height)),
            "else the crop would reach outside the image",
        ));
    }
    if !p.scale.is_finite() || p.scale == 0.0 {
        faults.push(Fault::new(
            "scale",
            p.scale.to_string(),
            "a finite number other than 0",
            "1/255 (0.003921569) where the model expects 0 to 1",
        ));
    }
    let channels = p.color.channels();
    for (key, values) in [("mean", &p.mean), ("std", &p.std)] {
        if !values.is_empty() && values.len() != channels {
            faults.push(Fault::new(
                key,
                format!("{} numbers", values.len()),
                format!("{channels}, one per channel, or none"),
                "give one number per channel in the tensor's order",
            ));
        }
        if values.iter().any(|v| !v.is_finite() || (key == "std" && *v == 0.0)) {
            faults.push(Fault::new(
                key,
                format!("{values:?}"),
                "finite numbers, for std none of them 0",
                "correct the number",
            ));
        }
    }
    faults
}

fn agrees(shape: &[i64], p: &Preprocess) -> bool {
    shape.len() == 4
        && shape[1..].iter().zip(p.shape()).all(|(&dim, wanted)| dim == -1 || usize::try_from(dim) == Ok(wanted))
}

const fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Nchw => "nchw",
        Layout::Nhwc => "nhwc",
    }
}
