//! Which size an image is scaled to, and where that lands on the tensor's canvas. Integers only; no pixels.

use takt_artifact::preprocess::{Preprocess, Resize};

use crate::decode::DecodeScale;

/// Size in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub width: u32,
    pub height: u32,
}

/// The picture is scaled to `scaled`; of that, `from` onwards is copied to `to` onwards on the canvas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placement {
    pub scaled: Size,
    /// First column and row of the scaled picture that is kept.
    pub from: (u32, u32),
    /// Where it lands on the canvas.
    pub to: (u32, u32),
    /// Border value of a letterbox.
    pub fill: u8,
}

/// The size after scaling, before cropping, which for an extreme aspect ratio may be absurd: hence u64.
pub(crate) fn scaled_size(spec: &Preprocess, width: u32, height: u32) -> (u64, u64) {
    let (target_w, target_h) = (u64::from(spec.width), u64::from(spec.height));
    let (w, h) = (u64::from(width), u64::from(height));
    match spec.resize {
        Resize::Stretch => (target_w, target_h),
        // The tighter axis fills its side exactly, the other rounds to the nearest pixel.
        Resize::Letterbox { .. } if target_w * h <= target_h * w => (target_w, div_round(h * target_w, w).max(1)),
        Resize::Letterbox { .. } => (div_round(w * target_h, h).max(1), target_h),
        // The longer side is rounded down, as torchvision's `Resize(int)` does.
        Resize::ShorterSideCrop { shorter } if w <= h => (u64::from(shorter), u64::from(shorter) * h / w),
        Resize::ShorterSideCrop { shorter } => (u64::from(shorter) * w / h, u64::from(shorter)),
    }
}

/// Where a picture of `scaled` pixels lies on the canvas of `spec`.
pub(crate) fn place(spec: &Preprocess, scaled: Size) -> Placement {
    let centre = |outer: u32, inner: u32| outer.saturating_sub(inner) / 2;
    let origin = (0, 0);
    match spec.resize {
        Resize::Stretch => Placement { scaled, from: origin, to: origin, fill: 0 },
        Resize::Letterbox { fill } => {
            let to = (centre(spec.width, scaled.width), centre(spec.height, scaled.height));
            Placement { scaled, from: origin, to, fill }
        }
        Resize::ShorterSideCrop { .. } => {
            let cut = |outer: u32, inner: u32| half_to_even(outer.saturating_sub(inner));
            let from = (cut(scaled.width, spec.width), cut(scaled.height, spec.height));
            Placement { scaled, from, to: origin, fill: 0 }
        }
    }
}

/// The coarsest scale at which a JPEG still has at least the pixels it will be resized to, on both axes.
pub(crate) fn decode_scale(spec: &Preprocess, width: u32, height: u32) -> DecodeScale {
    if !spec.scaled_decode {
        return DecodeScale::Full;
    }
    let (target_w, target_h) = scaled_size(spec, width, height);
    [DecodeScale::Eighth, DecodeScale::Quarter, DecodeScale::Half]
        .into_iter()
        .find(|scale| {
            let d = u64::from(scale.denominator());
            target_w * d <= u64::from(width) && target_h * d <= u64::from(height)
        })
        .unwrap_or(DecodeScale::Full)
}

fn div_round(numerator: u64, denominator: u64) -> u64 {
    (numerator + denominator / 2) / denominator.max(1)
}

/// Half of `n`, a half rounding to even: torchvision's `CenterCrop` rounds with Python's `round`.
fn half_to_even(n: u32) -> u32 {
    n / 2 + u32::from(n % 4 == 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(width: u32, height: u32, resize: Resize) -> Preprocess {
        let mut spec: Preprocess = serde_json::from_str(r#"{"input":"x","width":1,"height":1}"#).unwrap();
        (spec.width, spec.height, spec.resize) = (width, height, resize);
        spec
    }

    #[test]
    fn a_letterbox_keeps_the_aspect_ratio_and_centres() {
        let spec = spec(224, 224, Resize::Letterbox { fill: 114 });
        assert_eq!(scaled_size(&spec, 1920, 1080), (224, 126));
        let placed = place(&spec, Size { width: 224, height: 126 });
        assert_eq!((placed.to, placed.from, placed.fill), ((0, 49), (0, 0), 114));
        assert_eq!(scaled_size(&spec, 1, 100_000), (1, 224));
    }

    #[test]
    fn the_shorter_side_is_scaled_and_the_centre_cut() {
        let spec = spec(224, 224, Resize::ShorterSideCrop { shorter: 256 });
        assert_eq!(scaled_size(&spec, 1920, 1080), (455, 256));
        let placed = place(&spec, Size { width: 455, height: 256 });
        assert_eq!(placed.from, (116, 16)); // 231 / 2 = 115.5, rounded to even
    }

    #[test]
    fn scaled_decoding_never_goes_below_the_target() {
        let spec = spec(224, 224, Resize::Stretch);
        assert_eq!(decode_scale(&spec, 1920, 1080), DecodeScale::Quarter);
        assert_eq!(decode_scale(&spec, 1792, 1792), DecodeScale::Eighth);
        assert_eq!(decode_scale(&spec, 1920, 447), DecodeScale::Full);
        assert_eq!(decode_scale(&spec, 448, 448), DecodeScale::Half);
        assert_eq!(decode_scale(&Preprocess { scaled_decode: false, ..spec }, 448, 448), DecodeScale::Full);
    }
}
