//! What a line does to its pictures, on purpose: to see how a model bears it.
//!
//! In the manner of Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
//! Perturbations" (ICLR 2019), at the resolution the model sees. Pure functions of (image, seed); all but JPEG use only
//! arithmetic that IEEE 754 defines exactly, and JPEG's encoder computes in integers.

use std::fmt;

use jpeg_encoder::{ColorType, Encoder};
use serde::{Deserialize, Serialize};
use takt_artifact::Preprocess;
use takt_artifact::preprocess::{Color, Filter, Layout, Resize};
use takt_image::{Limits, Preprocessor, Scratch};

use super::augment::Shape;
use crate::rng::Rng;

/// One way to make a picture worse, with its strength.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Corruption {
    /// Every sample times this; below 1 is darker.
    Brightness(f32),
    /// Standard deviation of a blur in pixels of the model's input.
    Blur(f32),
    /// Standard deviation of noise on every sample, in levels of 255.
    Noise(f32),
    /// JPEG with this quality, 1 to 100.
    Jpeg(u8),
}

/// Why a picture was not corrupted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot apply {corruption}: {reason}")]
pub struct CorruptError {
    /// The corruption, in words.
    pub corruption: String,
    /// Why.
    pub reason: String,
}

impl Corruption {
    /// What a model is tried with where nobody says otherwise; about what lamps, lenses and links do in a bad year.
    pub const SUITE: [(&'static str, Self); 5] = [
        ("darker", Self::Brightness(0.8)),
        ("brighter", Self::Brightness(1.2)),
        ("blur", Self::Blur(1.0)),
        ("noise", Self::Noise(8.0)),
        ("jpeg", Self::Jpeg(50)),
    ];

    /// Whether the strength makes sense.
    ///
    /// # Errors
    /// What was found and expected.
    pub fn check(self) -> Result<(), CorruptError> {
        let (value, low, high) = match self {
            Self::Brightness(factor) => (factor, 0.0, 10.0),
            Self::Blur(sigma) => (sigma, 0.0, 50.0),
            Self::Noise(sigma) => (sigma, 0.0, 255.0),
            Self::Jpeg(quality) => (f32::from(quality), 1.0, 100.0),
        };
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(self.refusal(format!("the strength is {value}, expected {low} to {high}")))
    }

    /// Writes the corrupted `pixels` into `out`, whose old contents are of no interest. `seed` and `sample` decide the
    /// noise.
    ///
    /// # Errors
    /// A strength out of range, pixels of another length than the shape has, or a side beyond what JPEG can hold.
    pub fn apply(
        self,
        pixels: &[u8],
        shape: Shape,
        seed: u64,
        sample: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), CorruptError> {
        self.check()?;
        let expected = shape.width * shape.height * shape.channels;
        if pixels.len() != expected || expected == 0 {
            return Err(self.refusal(format!("the image has {} samples, expected {expected}", pixels.len())));
        }
        out.clear();
        match self {
            Self::Brightness(factor) => out.extend(pixels.iter().map(|x| (f32::from(*x) * factor + 0.5) as u8)),
            Self::Blur(sigma) => blur(pixels, shape, sigma, out),
            Self::Noise(sigma) => {
                let mut rng = Rng::new(seed, &[0x6e, sample as u64]);
                out.extend(pixels.iter().map(|x| (f32::from(*x) + sigma * rng.normal() + 0.5) as u8));
            }
            Self::Jpeg(quality) => {
                *out = through_jpeg(pixels, shape, quality).map_err(|reason| self.refusal(reason))?;
            }
        }
        Ok(())
    }

    fn refusal(self, reason: String) -> CorruptError {
        CorruptError { corruption: self.to_string(), reason }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Brightness(factor) => write!(f, "brightness x{factor}"),
            Self::Blur(sigma) => write!(f, "blur of {sigma} px"),
            Self::Noise(sigma) => write!(f, "noise of {sigma}/255"),
            Self::Jpeg(quality) => write!(f, "JPEG quality {quality}"),
        }
    }
}

/// Repeated [a, 1 - 2a, a] in both directions, which tends to a Gaussian; each pass adds the variance 2a.
fn blur(pixels: &[u8], shape: Shape, sigma: f32, out: &mut Vec<u8>) {
    let variance = sigma * sigma;
    let passes = (variance / 0.5).ceil().max(1.0);
    let weight = variance / passes / 2.0;
    let mut image: Vec<f32> = pixels.iter().map(|x| f32::from(*x)).collect();
    let mut line = Vec::new();
    let row = shape.width * shape.channels;
    for _ in 0..passes as usize {
        for start in (0..shape.height).flat_map(|y| (0..shape.channels).map(move |c| y * row + c)) {
            smooth(&mut image, start, shape.channels, shape.width, weight, &mut line);
        }
        for start in 0..row {
            smooth(&mut image, start, row, shape.height, weight, &mut line);
        }
    }
    out.extend(image.into_iter().map(|x| (x + 0.5) as u8));
}

fn smooth(image: &mut [f32], start: usize, step: usize, count: usize, weight: f32, line: &mut Vec<f32>) {
    line.clear();
    line.extend(image.iter().skip(start).step_by(step).take(count));
    for (i, here) in line.iter().enumerate() {
        let before = line[i.saturating_sub(1)];
        let after = line[(i + 1).min(count - 1)];
        image[start + i * step] = here + weight * (before - 2.0 * here + after);
    }
}

fn through_jpeg(pixels: &[u8], shape: Shape, quality: u8) -> Result<Vec<u8>, String> {
    let side = |side: usize| u16::try_from(side).map_err(|_| format!("a side of {side} pixels is beyond JPEG's 65535"));
    let (width, height) = (side(shape.width)?, side(shape.height)?);
    let (encoded_as, color) =
        if shape.channels == 1 { (ColorType::Luma, Color::Gray) } else { (ColorType::Rgb, Color::Rgb) };
    let mut file = Vec::new();
    Encoder::new(&mut file, quality).encode(pixels, width, height, encoded_as).map_err(|e| e.to_string())?;
    let spec = Preprocess {
        input: String::new(),
        width: u32::from(width),
        height: u32::from(height),
        layout: Layout::Nhwc,
        color,
        resize: Resize::Stretch,
        filter: Filter::Nearest,
        scale: 1.0,
        mean: Vec::new(),
        std: Vec::new(),
        scaled_decode: false,
    };
    let decoder = Preprocessor::new(&spec, Limits::default()).map_err(|e| e.to_string())?;
    let mut scratch = Scratch::new();
    let (_, decoded) = decoder.decode(&file, &mut scratch).map_err(|e| e.to_string())?;
    Ok(decoded.data.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { width: 24, height: 16, channels: 3 };

    fn picture() -> Vec<u8> {
        (0..24 * 16 * 3_u32).map(|i| if (i / 9) % 2 == 0 { 60 } else { 190 }).collect()
    }

    fn apply(corruption: Corruption, seed: u64, sample: usize) -> Vec<u8> {
        let mut out = Vec::new();
        corruption.apply(&picture(), SHAPE, seed, sample, &mut out).unwrap();
        out
    }

    fn spread(pixels: &[u8]) -> f64 {
        let mean = pixels.iter().map(|x| f64::from(*x)).sum::<f64>() / pixels.len() as f64;
        (pixels.iter().map(|x| (f64::from(*x) - mean).powi(2)).sum::<f64>() / pixels.len() as f64).sqrt()
    }

    #[test]
    fn brightness_scales_and_saturates() {
        assert_eq!(apply(Corruption::Brightness(0.5), 0, 0)[..10], [30, 30, 30, 30, 30, 30, 30, 30, 30, 95]);
        assert_eq!(apply(Corruption::Brightness(2.0), 0, 0)[9], 255);
        assert_eq!(apply(Corruption::Brightness(1.0), 0, 0), picture());
    }

    #[test]
    fn blur_evens_out_and_keeps_a_flat_image() {
        assert_eq!(apply(Corruption::Blur(0.0), 0, 0), picture());
        let (less, more) = (apply(Corruption::Blur(0.7), 0, 0), apply(Corruption::Blur(2.0), 0, 0));
        assert!(spread(&more) < spread(&less) && spread(&less) < spread(&picture()));
        let mut out = Vec::new();
        Corruption::Blur(3.0).apply(&[77; 24 * 16 * 3], SHAPE, 0, 0, &mut out).unwrap();
        assert!(out.iter().all(|x| *x == 77));
    }

    #[test]
    fn noise_has_the_strength_asked_for_and_belongs_to_seed_and_sample() {
        let difference: Vec<u8> = apply(Corruption::Noise(8.0), 1, 2)
            .iter()
            .zip(picture())
            .map(|(a, b)| (128 + i16::from(*a) - i16::from(b)) as u8)
            .collect();
        assert!((spread(&difference) - 8.0).abs() < 0.6, "{}", spread(&difference));
        assert_eq!(apply(Corruption::Noise(8.0), 1, 2), apply(Corruption::Noise(8.0), 1, 2));
        assert_ne!(apply(Corruption::Noise(8.0), 1, 2), apply(Corruption::Noise(8.0), 1, 3));
    }

    #[test]
    fn worse_jpeg_differs_more() {
        let error = |quality| -> u32 {
            let pixels = apply(Corruption::Jpeg(quality), 0, 0);
            assert_eq!(pixels.len(), picture().len());
            pixels.iter().zip(picture()).map(|(a, b)| u32::from(a.abs_diff(b))).sum()
        };
        assert!(error(95) < error(10));
        let (grey, mut out) = (Shape { channels: 1, ..SHAPE }, Vec::new());
        Corruption::Jpeg(90).apply(&picture()[..24 * 16], grey, 0, 0, &mut out).unwrap();
        assert_eq!(out.len(), 24 * 16);
    }

    #[test]
    fn strengths_out_of_range_and_odd_lengths_are_refused() {
        let message = Corruption::Jpeg(0).check().unwrap_err().to_string();
        assert_eq!(message, "cannot apply JPEG quality 0: the strength is 0, expected 1 to 100");
        assert!(Corruption::Blur(f32::NAN).check().is_err());
        let error = Corruption::Blur(1.0).apply(&[0; 5], SHAPE, 0, 0, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("5 samples, expected 1152"), "{error}");
    }
}
