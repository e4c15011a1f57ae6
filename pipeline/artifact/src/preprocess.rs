//! How an encoded image becomes the model's input tensor. Part of the version: a candidate with another input size or
//! normalisation is judged under its own.

use serde::{Deserialize, Serialize};

/// Memory order of the image tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// batch, channel, row, column
    #[default]
    Nchw,
    /// batch, row, column, channel
    Nhwc,
}

/// Channels of the image tensor, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Color {
    /// red, green, blue
    #[default]
    Rgb,
    /// blue, green, red
    Bgr,
    /// one channel, ITU-R BT.601 luma as Pillow's `convert("L")`
    Gray,
}

impl Color {
    /// Number of channels.
    #[must_use]
    pub const fn channels(self) -> usize {
        match self {
            Self::Rgb | Self::Bgr => 3,
            Self::Gray => 1,
        }
    }
}

/// How the image is brought to `width` x `height`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum Resize {
    /// Each axis is scaled by itself; the aspect ratio may change.
    #[default]
    Stretch,
    /// Scaled to fit inside and centred; the rest takes `fill` (0-255 per channel, same for all).
    Letterbox {
        /// Sample value of the border before scaling and normalisation.
        #[serde(default)]
        fill: u8,
    },
    /// The shorter side is scaled to `shorter` pixels, then the centre `width` x `height` is cut out.
    ShorterSideCrop {
        /// Length of the shorter side after scaling, in pixels; at least `width` and `height`.
        shorter: u32,
    },
}

/// Resampling filter; all are anti-aliased when shrinking, as Pillow's `resize` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Filter {
    /// Nearest sample, no anti-aliasing.
    Nearest,
    /// Triangle filter.
    #[default]
    Bilinear,
    /// Catmull-Rom, a = -0.5.
    Bicubic,
    /// Lanczos, three lobes.
    Lanczos3,
}

/// From an encoded image to the input tensor: decode, convert colour, resize, then per channel
/// `(sample * scale - mean[c]) / std[c]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// Input of the model that takes the image.
    pub input: String,
    /// Width of the tensor in pixels.
    pub width: u32,
    /// Height of the tensor in pixels.
    pub height: u32,
    /// Memory order.
    #[serde(default)]
    pub layout: Layout,
    /// Channels and their order.
    #[serde(default)]
    pub color: Color,
    /// How the image is brought to size.
    #[serde(default)]
    pub resize: Resize,
    /// Resampling filter.
    #[serde(default)]
    pub filter: Filter,
    /// Factor on the 0-255 samples, applied before `mean` and `std`; 1/255 by default.
    #[serde(default = "one_255th")]
    pub scale: f32,
    /// Subtracted per channel after scaling; empty means 0. In the tensor's channel order.
    #[serde(default)]
    pub mean: Vec<f32>,
    /// Divisor per channel; empty means 1. In the tensor's channel order.
    #[serde(default)]
    pub std: Vec<f32>,
    /// Whether JPEG may be decoded at 1/2, 1/4 or 1/8 of its size when that is still at least the target size
    /// (as Pillow's `draft`). Faster on large frames, and a slightly different picture.
    #[serde(default = "yes")]
    pub scaled_decode: bool,
}

impl Preprocess {
    /// Number of elements in the tensor of one image.
    #[must_use]
    pub fn elements(&self) -> usize {
        self.width as usize * self.height as usize * self.color.channels()
    }

    /// Whether both turn an image into the same tensor; the input may be called otherwise.
    #[must_use]
    pub fn same_tensor(&self, other: &Self) -> bool {
        Self { input: other.input.clone(), ..self.clone() } == *other
    }

    /// Shape of the tensor of one image, without the batch dimension.
    #[must_use]
    pub fn shape(&self) -> [usize; 3] {
        let (w, h, c) = (self.width as usize, self.height as usize, self.color.channels());
        match self.layout {
            Layout::Nchw => [c, h, w],
            Layout::Nhwc => [h, w, c],
        }
    }
}

fn one_255th() -> f32 {
    1.0 / 255.0
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Preprocess {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_name_of_the_input_makes_no_other_tensor() {
        let image = of(r#"{"input": "image", "width": 64, "height": 64}"#);
        assert!(image.same_tensor(&of(r#"{"input": "input", "width": 64, "height": 64}"#)));
        assert!(!image.same_tensor(&of(r#"{"input": "image", "width": 64, "height": 32}"#)));
        assert!(!image.same_tensor(&of(r#"{"input": "image", "width": 64, "height": 64, "color": "bgr"}"#)));
    }
}
