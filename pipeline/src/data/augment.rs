//! Random variations of an image, the same on every machine.
//!
//! A view is a pure function of (seed, view, sample): epoch 3 sees the same pixels wherever and whenever it is run, and
//! a student sees the crop of which the teacher's answer was kept (Beyer et al., "Knowledge distillation: A good teacher
//! is patient and consistent", CVPR 2022). Only arithmetic that IEEE 754 defines exactly is used.

use serde::{Deserialize, Serialize};

use super::error::DataError;
use crate::math::{cos, floor, sin};
use crate::rng::Rng;

/// How much views may differ from their image. The borders that a shift or a turn bares show the image mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Left and right are exchanged in half of the views.
    pub flip_horizontal: bool,
    /// Top and bottom are exchanged in half of the views.
    pub flip_vertical: bool,
    /// Largest shift per axis, as a fraction of the side.
    pub shift: f32,
    /// Largest relative change of size: 0.1 is 0.9 to 1.1.
    pub zoom: f32,
    /// Largest turn in degrees.
    pub rotate: f32,
    /// Largest relative change of brightness.
    pub brightness: f32,
    /// Largest relative change of contrast.
    pub contrast: f32,
    /// Largest relative change of one colour against the others.
    pub colour: f32,
}

/// One variation, drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    flip: [bool; 2],
    /// Fractions of the sides.
    shift: [f32; 2],
    scale: f32,
    /// Clockwise, 1 is a full circle.
    turns: f32,
    contrast: f32,
    gains: [f32; 3],
}

/// Size of the pixels that a view is made of: interleaved samples, rows from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Samples per pixel: 3 or 1.
    pub channels: usize,
}

impl Augment {
    /// Views that are the image itself.
    pub const NONE: Self = Self {
        flip_horizontal: false,
        flip_vertical: false,
        shift: 0.0,
        zoom: 0.0,
        rotate: 0.0,
        brightness: 0.0,
        contrast: 0.0,
        colour: 0.0,
    };

    /// Names every setting that is out of range.
    ///
    /// # Errors
    /// All faults at once.
    pub fn check(&self) -> Result<(), DataError> {
        let settings = [
            ("shift", self.shift, 0.5),
            ("zoom", self.zoom, 0.5),
            ("rotate", self.rotate, 180.0),
            ("brightness", self.brightness, 0.9),
            ("contrast", self.contrast, 0.9),
            ("colour", self.colour, 0.9),
        ];
        let outside = settings.into_iter().filter(|(_, value, most)| !(0.0..=*most).contains(value));
        let faults: Vec<String> =
            outside.map(|(name, value, most)| format!("{name} is {value}, expected 0 to {most}")).collect();
        if faults.is_empty() { Ok(()) } else { Err(DataError::Augment { reason: faults.join("; ") }) }
    }

    /// Draws one view. Settings do not disturb one another: each always takes its own numbers from the stream.
    #[must_use]
    pub fn view(&self, seed: u64, view: u64, sample: usize) -> View {
        let mut rng = Rng::new(seed, &[0x61, view, sample as u64]);
        let mut within = |most: f32| most * rng.range(-1.0, 1.0);
        let flips = [within(1.0) < 0.0, within(1.0) < 0.0];
        let shift = [within(self.shift), within(self.shift)];
        let scale = 1.0 + within(self.zoom);
        let turns = within(self.rotate) / 360.0;
        let brightness = 1.0 + within(self.brightness);
        let contrast = 1.0 + within(self.contrast);
        let gains = [(); 3].map(|()| brightness * (1.0 + within(self.colour)));
        let flip = [flips[0] && self.flip_horizontal, flips[1] && self.flip_vertical];
        View { flip, shift, scale, turns, contrast, gains }
    }
}

impl Default for Augment {
    /// What leaves a surface a surface: flips, small shifts, light as stations differ.
    fn default() -> Self {
        Self {
            flip_horizontal: true,
            flip_vertical: true,
            shift: 0.05,
            brightness: 0.1,
            contrast: 0.1,
            colour: 0.04,
            ..Self::NONE
        }
    }
}

impl View {
    /// Writes the view of `pixels` into `out`, whose old contents are of no interest.
    pub fn apply(&self, pixels: &[u8], shape: Shape, out: &mut Vec<u8>) {
        out.clear();
        if pixels.len() != shape.width * shape.height * shape.channels || pixels.is_empty() {
            return;
        }
        out.reserve(pixels.len());
        if self.turns == 0.0 && self.scale == 1.0 {
            self.move_pixels(pixels, shape, out);
        } else {
            self.resample(pixels, shape, out);
        }
        self.light(shape.channels, out);
    }

    /// Whole pixels: nothing is blurred.
    fn move_pixels(&self, pixels: &[u8], shape: Shape, out: &mut Vec<u8>) {
        let axis = |side: usize, flip: bool, shift: f32| -> Vec<usize> {
            let shift = floor(shift * side as f32 + 0.5) as isize;
            let from = |to: usize| mirrored(to as isize + shift, side);
            (0..side).map(|to| from(if flip { side - 1 - to } else { to })).collect()
        };
        let columns = axis(shape.width, self.flip[0], self.shift[0]);
        let rows = axis(shape.height, self.flip[1], self.shift[1]);
        for row in rows {
            for column in &columns {
                let at = (row * shape.width + column) * shape.channels;
                out.extend_from_slice(&pixels[at..at + shape.channels]);
            }
        }
    }

    /// Bilinear, about the middle of the image.
    fn resample(&self, pixels: &[u8], shape: Shape, out: &mut Vec<u8>) {
        let (width, height) = (shape.width as f32, shape.height as f32);
        let sign = self.flip.map(|flip| if flip { -1.0 } else { 1.0 });
        let (cos, sin) = (cos(self.turns) / self.scale, sin(self.turns) / self.scale);
        for row in 0..shape.height {
            let v = (row as f32 + 0.5 - height / 2.0) * sign[1];
            for column in 0..shape.width {
                let u = (column as f32 + 0.5 - width / 2.0) * sign[0];
                let x = cos * u + sin * v + width / 2.0 - 0.5 + self.shift[0] * width;
                let y = cos * v - sin * u + height / 2.0 - 0.5 + self.shift[1] * height;
                let (left, top) = (floor(x), floor(y));
                let (right_share, bottom_share) = (x - left, y - top);
                let columns = [mirrored(left as isize, shape.width), mirrored(left as isize + 1, shape.width)];
                let rows = [mirrored(top as isize, shape.height), mirrored(top as isize + 1, shape.height)];
                for channel in 0..shape.channels {
                    let at = |row: usize, column: usize| {
                        f32::from(pixels[(rows[row] * shape.width + columns[column]) * shape.channels + channel])
                    };
                    let upper = at(0, 0) + (at(0, 1) - at(0, 0)) * right_share;
                    let lower = at(1, 0) + (at(1, 1) - at(1, 0)) * right_share;
                    out.push((upper + (lower - upper) * bottom_share + 0.5) as u8);
                }
            }
        }
    }

    /// Contrast about mid-grey, then the gain of each channel; by table, for there are only 256 samples.
    fn light(&self, channels: usize, pixels: &mut [u8]) {
        if self.contrast == 1.0 && self.gains == [1.0; 3] {
            return;
        }
        let table = |gain: f32| -> [u8; 256] {
            std::array::from_fn(|sample| {
                let stretched = (sample as f32 - 127.5) * self.contrast + 127.5;
                (stretched * gain + 0.5) as u8
            })
        };
        // A grey image has brightness only; its one channel takes the middle one's gain.
        let tables = if channels == 1 { [table(self.gains[1]); 3] } else { self.gains.map(table) };
        for pixel in pixels.chunks_mut(channels) {
            for (sample, table) in pixel.iter_mut().zip(&tables) {
                *sample = table[usize::from(*sample)];
            }
        }
    }
}

/// The index that a mirror at both borders shows, however far outside (`-1` is 0, `side` is `side - 1`).
fn mirrored(index: isize, side: usize) -> usize {
    let folded = index.rem_euclid(2 * side as isize) as usize;
    if folded < side { folded } else { 2 * side - 1 - folded }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    const SHAPE: Shape = Shape { width: 7, height: 5, channels: 3 };

    fn picture() -> Vec<u8> {
        (0..7 * 5 * 3_u32).map(|i| (i * 37 % 251) as u8).collect()
    }

    fn apply(view: &View) -> Vec<u8> {
        let mut out = Vec::new();
        view.apply(&picture(), SHAPE, &mut out);
        out
    }

    fn plain() -> View {
        Augment::NONE.view(1, 0, 0)
    }

    #[test]
    fn none_is_the_image_itself() {
        assert_eq!(apply(&plain()), picture());
    }

    #[test]
    fn a_flip_and_a_shift_move_whole_pixels() {
        let pixel = |pixels: &[u8], row: usize, column: usize| pixels[(row * 7 + column) * 3..][..3].to_vec();
        let flipped = apply(&View { flip: [true, false], ..plain() });
        assert_eq!(pixel(&flipped, 2, 0), pixel(&picture(), 2, 6));
        let shifted = apply(&View { shift: [2.0 / 7.0, -1.0 / 5.0], ..plain() });
        assert_eq!(pixel(&shifted, 3, 1), pixel(&picture(), 2, 3));
        assert_eq!(pixel(&shifted, 0, 6), pixel(&picture(), 0, 5), "the border is mirrored");
    }

    #[test]
    fn a_half_turn_is_both_flips() {
        let turned = apply(&View { turns: 0.5, ..plain() });
        let flipped = apply(&View { flip: [true, true], ..plain() });
        // The sine is exact within 4e-6, so a sample may round to its neighbour's side.
        assert!(turned.iter().zip(&flipped).all(|(a, b)| a.abs_diff(*b) <= 1), "{turned:?} {flipped:?}");
    }

    #[test]
    fn light_changes_by_its_gain_and_saturates() {
        let bright = apply(&View { gains: [2.0, 1.0, 0.5], ..plain() });
        for (after, before) in bright.chunks(3).zip(picture().chunks(3)) {
            assert_eq!(after[0], before[0].saturating_mul(2));
            assert_eq!((after[1], after[2]), (before[1], before[2].div_ceil(2)));
        }
    }

    #[test]
    fn views_are_the_same_on_every_machine() {
        // Written down on x86-64; see the same test of the generator.
        let augment = Augment { zoom: 0.2, rotate: 30.0, ..Augment::default() };
        let mut all = Sha256::new();
        (0..20).for_each(|sample| all.update(apply(&augment.view(9, sample % 3, sample as usize))));
        let digest: String = all.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, "6897c1d09982f51a8ebfcb4975452248dcb3d4e91956389dbb84365478009653");
    }

    #[test]
    fn settings_out_of_range_are_all_named() {
        let augment = Augment { shift: 0.9, rotate: f32::NAN, ..Augment::default() };
        let message = augment.check().unwrap_err().to_string();
        assert!(message.contains("shift is 0.9, expected 0 to 0.5; rotate is NaN, expected 0 to 180"), "{message}");
        assert!(Augment::default().check().is_ok());
    }

    proptest! {
        #[test]
        fn any_view_of_any_size_has_the_size_of_its_image(
            width in 1_usize..20,
            height in 1_usize..20,
            grey in any::<bool>(),
            seed in any::<u64>(),
        ) {
            let shape = Shape { width, height, channels: if grey { 1 } else { 3 } };
            let pixels = vec![128; width * height * shape.channels];
            let most = Augment { shift: 0.5, zoom: 0.5, rotate: 180.0, ..Augment::default() };
            let view = most.view(seed, 1, 2);
            let mut out = Vec::new();
            view.apply(&pixels, shape, &mut out);
            prop_assert_eq!(out.len(), pixels.len());
            prop_assert_eq!(view, most.view(seed, 1, 2));
        }

        #[test]
        fn geometry_alone_keeps_a_flat_image(seed in any::<u64>(), value in any::<u8>()) {
            let augment = Augment { flip_horizontal: true, shift: 0.4, zoom: 0.3, rotate: 90.0, ..Augment::NONE };
            let mut out = Vec::new();
            augment.view(seed, 0, 0).apply(&[value; 7 * 5 * 3], SHAPE, &mut out);
            prop_assert!(out.iter().all(|sample| *sample == value));
        }
    }
}
