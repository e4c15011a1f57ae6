//! Every kind of file, resize mode, filter, colour and layout against Pillow and NumPy.
//! `tests/reference/image/make.py` made the images and the expectations.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{data, read};
use safetensors::SafeTensors;
use serde::Deserialize;
use takt_artifact::preprocess::{Filter, Preprocess};
use takt_image::{DecodeScale, Format, Limits, Preprocessor, Scratch};

#[derive(Deserialize)]
struct Case {
    name: String,
    file: String,
    compare: Compare,
    preprocess: Preprocess,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
enum Compare {
    Exact,
    Resampled,
    Jpeg,
    ScaledJpeg,
    ReducedJpeg,
    Tensor,
}

/// How far samples in 0-255 may be from Pillow's: the worst one, and all on average.
#[derive(Clone, Copy)]
struct Tolerance {
    worst: f64,
    mean: f64,
}

impl Tolerance {
    /// Lossless formats at their own size have one right answer.
    const EXACT: Self = Self { worst: 0.0, mean: 0.0 };
    /// Both sides round to 8 bits after each of two passes; Pillow goes along the rows first, `fast_image_resize` along
    /// the columns.
    const RESAMPLED: Self = Self { worst: 1.0, mean: 0.2 };
    /// Filters with negative lobes overshoot at edges, and what is cut off after the first pass depends on its direction.
    const OVERSHOT: Self = Self { worst: 8.0, mean: 0.3 };
    /// T.81 leaves the rounding of the inverse DCT open, and says nothing about how chroma is upsampled; decoders differ
    /// where colour changes sharply. A resize follows.
    const JPEG: Self = Self { worst: 4.0, mean: 0.5 };
    /// As `JPEG`; and libjpeg-turbo rounds luma and chroma to 8 bits before it makes colours of them, which biases flat
    /// blocks by up to half a level.
    const SCALED_JPEG: Self = Self { worst: 4.0, mean: 0.7 };
    /// Against the average of the full picture, whose chroma was upsampled smoothly; here it is reconstructed as it is.
    const REDUCED_JPEG: Self = Self { worst: 10.0, mean: 0.6 };
    /// Normalised values: `RESAMPLED`, in units of the tensor, with room for the rounding of f32.
    const TENSOR_LEVELS: f32 = 1.001;

    fn of(case: &Case) -> Self {
        match case.compare {
            Compare::Exact => Self::EXACT,
            Compare::Resampled if matches!(case.preprocess.filter, Filter::Bicubic | Filter::Lanczos3) => {
                Self::OVERSHOT
            }
            Compare::Resampled | Compare::Tensor => Self::RESAMPLED,
            Compare::Jpeg => Self::JPEG,
            Compare::ScaledJpeg => Self::SCALED_JPEG,
            Compare::ReducedJpeg => Self::REDUCED_JPEG,
        }
    }
}

#[test]
fn every_reference_case_is_within_its_tolerance() {
    let cases: Vec<Case> = serde_json::from_slice(&data("cases.json")).unwrap();
    let expected = data("expected.safetensors");
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let mut scratch = Scratch::new();
    let mut failures = Vec::new();
    for case in &cases {
        let preprocessor = Preprocessor::new(&case.preprocess, Limits::default()).unwrap();
        let expected = expected.tensor(&case.name).unwrap();
        let bytes = read(&case.file);
        let tolerance = Tolerance::of(case);
        let mut note = |what: String| {
            failures.push(format!("{} {} {:?}: {what}", case.name, case.file, case.compare));
        };
        if case.compare == Compare::Tensor {
            let expected: Vec<f32> =
                expected.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
            let mut out = vec![f32::NAN; preprocessor.elements()];
            preprocessor.preprocess(&bytes, &mut out, &mut scratch).unwrap();
            let spec = &case.preprocess;
            let level = spec.std.iter().fold(1.0_f32, |least, s| least.min(*s)).recip() * spec.scale;
            let worst = out.iter().zip(&expected).map(|(a, b)| (a - b).abs() / level).fold(0.0, f32::max);
            if out.len() != expected.len() || out.iter().any(|v| v.is_nan()) || worst > Tolerance::TENSOR_LEVELS {
                note(format!("off by {worst} levels"));
            }
            continue;
        }
        let (_, pixels) = preprocessor.decode(&bytes, &mut scratch).unwrap();
        assert_eq!(pixels.data.len(), expected.data().len(), "{} {}", case.name, case.file);
        let distances = pixels.data.iter().zip(expected.data()).map(|(a, b)| f64::from(a.abs_diff(*b)));
        let worst = distances.clone().fold(0.0, f64::max);
        let mean = distances.sum::<f64>() / pixels.data.len() as f64;
        if worst > tolerance.worst || mean > tolerance.mean {
            note(format!("worst {worst}, mean {mean:.3}, {:?}", case.preprocess));
        }
    }
    assert!(cases.len() > 60, "only {} cases", cases.len());
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn a_uint8_tensor_holds_the_pixels_themselves() {
    let spec = common::spec(r#"{"input":"x","width":20,"height":10,"scale":1.0,"layout":"nhwc"}"#);
    let preprocessor = Preprocessor::new(&spec, Limits::default()).unwrap();
    let mut scratch = Scratch::new();
    let mut out = vec![0_u8; preprocessor.elements()];
    preprocessor.preprocess(&read("420.jpg"), &mut out, &mut scratch).unwrap();
    assert_eq!(out, scratch.pixels());
    let mut signed = vec![0_i8; preprocessor.elements()];
    let centred = Preprocess { mean: vec![128.0; 3], ..spec };
    let centred = Preprocessor::new(&centred, Limits::default()).unwrap();
    centred.preprocess(&read("420.jpg"), &mut signed, &mut scratch).unwrap();
    assert!(signed.iter().zip(&out).all(|(s, u)| i16::from(*s) == i16::from(*u) - 128));
}

#[test]
fn what_was_done_is_reported() {
    let at = |name: &str, side: u32| {
        let spec = common::spec(&format!(r#"{{"input":"x","width":{side},"height":{side}}}"#));
        Preprocessor::new(&spec, Limits::default()).unwrap().decode(&read(name), &mut Scratch::new()).unwrap().0
    };
    let info = at("frame-420.jpg", 70);
    assert_eq!((info.format, info.width, info.height, info.decoded_at), (Format::Jpeg, 397, 291, DecodeScale::Quarter));
    assert_eq!(at("frame-420.jpg", 300).decoded_at, DecodeScale::Full);
    assert_eq!(at("progressive.jpg", 10).decoded_at, DecodeScale::Full);
    assert_eq!(at("rgb.jpg", 10).decoded_at, DecodeScale::Full);
    // EXIF says to turn it; that is ignored.
    let info = at("exif-rotated.jpg", 10);
    assert_eq!((info.width, info.height), (157, 121));
    assert_eq!(at("rgb.png", 2).decoded_at, DecodeScale::Full);
}
