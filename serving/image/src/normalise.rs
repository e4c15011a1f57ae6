//! From 8-bit samples to tensor elements: `(sample * scale - mean[c]) / std[c]` as one multiplication and one addition,
//! in the tensor's channel order and memory layout.

use takt_artifact::preprocess::{Color, Layout, Preprocess};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for u8 {}
    impl Sealed for i8 {}
}

/// Element of an image tensor: `f32`, or an integer that the normalised value is rounded to (halves upwards) and
/// saturated at.
pub trait Sample: sealed::Sealed + Copy + 'static {
    /// From the normalised value.
    fn from_normalised(value: f32) -> Self;
}

impl Sample for f32 {
    #[inline(always)]
    fn from_normalised(value: f32) -> Self {
        value
    }
}

impl Sample for u8 {
    #[inline(always)]
    fn from_normalised(value: f32) -> Self {
        (value + 0.5) as Self
    }
}

impl Sample for i8 {
    #[inline(always)]
    fn from_normalised(value: f32) -> Self {
        (value + 0.5).floor() as Self
    }
}

/// One channel's multiplication and addition.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Affine {
    mul: f32,
    add: f32,
}

impl Affine {
    #[inline(always)]
    fn apply<T: Sample>(self, sample: u8) -> T {
        T::from_normalised(f32::from(sample) * self.mul + self.add)
    }
}

/// Writes a canvas of interleaved samples into a tensor.
#[derive(Debug, Clone)]
pub(crate) struct Normalise {
    layout: Layout,
    color: Color,
    /// In the tensor's channel order; grey uses the first.
    affine: [Affine; 3],
}

impl Normalise {
    /// From a `Preprocess` that was checked.
    pub fn new(spec: &Preprocess) -> Self {
        let affine = std::array::from_fn(|c| {
            // In f64, so that the one rounding to f32 is the only one.
            let mean = f64::from(spec.mean.get(c).copied().unwrap_or(0.0));
            let std = f64::from(spec.std.get(c).copied().unwrap_or(1.0));
            Affine { mul: (f64::from(spec.scale) / std) as f32, add: (-mean / std) as f32 }
        });
        Self { layout: spec.layout, color: spec.color, affine }
    }

    /// `canvas` has red, green, blue interleaved, or grey; `out` has as many elements.
    pub fn write<T: Sample>(&self, canvas: &[u8], out: &mut [T]) {
        let [a, b, c] = self.affine;
        match (self.color, self.layout) {
            (Color::Gray, _) => {
                for (to, &from) in out.iter_mut().zip(canvas) {
                    *to = a.apply(from);
                }
            }
            (Color::Rgb, Layout::Nhwc) => interleaved::<T, false>(canvas, out, [a, b, c]),
            (Color::Bgr, Layout::Nhwc) => interleaved::<T, true>(canvas, out, [a, b, c]),
            (color, Layout::Nchw) => {
                let plane = canvas.len() / 3;
                let (first, rest) = out.split_at_mut(plane.min(out.len()));
                let (second, third) = rest.split_at_mut(plane.min(rest.len()));
                match color {
                    Color::Bgr => planar(canvas, third, second, first, [c, b, a]),
                    _ => planar(canvas, first, second, third, [a, b, c]),
                }
            }
        }
    }
}

fn interleaved<T: Sample, const SWAP: bool>(canvas: &[u8], out: &mut [T], [a, b, c]: [Affine; 3]) {
    for (to, from) in out.as_chunks_mut::<3>().0.iter_mut().zip(canvas.as_chunks::<3>().0) {
        let (first, third) = if SWAP { (from[2], from[0]) } else { (from[0], from[2]) };
        *to = [a.apply(first), b.apply(from[1]), c.apply(third)];
    }
}

/// `affine` in the order red, green, blue.
fn planar<T: Sample>(canvas: &[u8], red: &mut [T], green: &mut [T], blue: &mut [T], affine: [Affine; 3]) {
    // Sixteen pixels at a time with fixed trip counts: LLVM turns the inner loops into vector code.
    const BLOCK: usize = 16;
    let pixels = canvas.as_chunks::<3>().0;
    let (blocks, rest) = pixels.as_chunks::<BLOCK>();
    let (red, red_rest) = red.as_chunks_mut::<BLOCK>();
    let (green, green_rest) = green.as_chunks_mut::<BLOCK>();
    let (blue, blue_rest) = blue.as_chunks_mut::<BLOCK>();
    for (((from, r), g), b) in blocks.iter().zip(red).zip(green).zip(blue) {
        for i in 0..BLOCK {
            r[i] = affine[0].apply(from[i][0]);
            g[i] = affine[1].apply(from[i][1]);
            b[i] = affine[2].apply(from[i][2]);
        }
    }
    for (((from, r), g), b) in rest.iter().zip(red_rest).zip(green_rest).zip(blue_rest) {
        *r = affine[0].apply(from[0]);
        *g = affine[1].apply(from[1]);
        *b = affine[2].apply(from[2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(json: &str, canvas: &[u8]) -> Vec<f32> {
        let spec: Preprocess = serde_json::from_str(json).unwrap();
        let mut out = vec![f32::NAN; canvas.len()];
        Normalise::new(&spec).write(canvas, &mut out);
        out
    }

    #[test]
    fn every_layout_and_colour_puts_each_sample_in_its_place() {
        let rgb = [1, 2, 3, 4, 5, 6];
        let case = |color: &str, layout: &str| {
            format!(
                r#"{{"input":"x","width":2,"height":1,"scale":1.0,"color":"{color}","layout":"{layout}","mean":[0.5,0.0,0.0]}}"#
            )
        };
        assert_eq!(write(&case("rgb", "nchw"), &rgb), [0.5, 3.5, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(write(&case("rgb", "nhwc"), &rgb), [0.5, 2.0, 3.0, 3.5, 5.0, 6.0]);
        assert_eq!(write(&case("bgr", "nchw"), &rgb), [2.5, 5.5, 2.0, 5.0, 1.0, 4.0]);
        assert_eq!(write(&case("bgr", "nhwc"), &rgb), [2.5, 2.0, 1.0, 5.5, 5.0, 4.0]);
    }

    #[test]
    fn blocks_and_their_remainder_agree() {
        let canvas: Vec<u8> = (0..37 * 3).map(|i| (i * 7 % 251) as u8).collect();
        let json = r#"{"input":"x","width":37,"height":1,"scale":1.0}"#;
        let planar = write(json, &canvas);
        for (i, &sample) in canvas.iter().enumerate() {
            assert_eq!(planar[i % 3 * 37 + i / 3], f32::from(sample));
        }
    }

    #[test]
    fn integer_samples_round_and_saturate() {
        assert_eq!(u8::from_normalised(1.6), 2);
        assert_eq!(u8::from_normalised(-3.0), 0);
        assert_eq!(u8::from_normalised(300.0), 255);
        assert_eq!(i8::from_normalised(-128.4), -128);
        assert_eq!(i8::from_normalised(-1.4), -1);
    }
}
