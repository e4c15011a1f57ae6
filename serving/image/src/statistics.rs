//! Figures of an image that tell when what the camera sees has changed: light, focus, noise, colour.
//!
//! They are taken from the [`Pixels`] that the model sees, after the resize: one size whatever the camera's, so figures
//! of two cameras compare, and cheap (one pass over the luma and one over its neighbourhoods).

use crate::Pixels;

/// Luma at most this is black.
const BLACK: usize = 5;
/// Luma at least this is saturated.
const SATURATED: usize = 250;

/// Figures of one image. Luma is that of ITU-R BT.601 in 8 bits, as grey images have it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageStatistics {
    /// Mean luma, 0 to 1.
    pub brightness: f32,
    /// RMS contrast: standard deviation of the luma, 0 to 0.5 (Peli 1990).
    pub contrast: f32,
    /// Variance of the Laplacian of the luma in squared 8-bit levels: falls when the focus goes (Pech-Pacheco et al.
    /// 2000). 0 for images below 3 by 3.
    pub sharpness: f32,
    /// Shannon entropy of the luma's histogram in bits, 0 to 8.
    pub entropy: f32,
    /// Standard deviation of the noise in 8-bit levels, by a mask that edges hardly move (Immerkaer 1996). 0 for
    /// images below 3 by 3.
    pub noise: f32,
    /// Share of pixels with a luma of 250 and more.
    pub saturated: f32,
    /// Share of pixels with a luma of 5 and less.
    pub black: f32,
    /// Colourfulness in 8-bit levels (Hasler and Suesstrunk 2003); 0 for grey images.
    pub colourfulness: f32,
}

impl ImageStatistics {
    /// Names in the order of [`ImageStatistics::values`].
    pub const NAMES: [&'static str; 8] =
        ["brightness", "contrast", "sharpness", "image_entropy", "noise", "saturated", "black", "colourfulness"];

    /// Figures of these pixels. `luma` is a buffer to reuse. An image without pixels has none.
    #[must_use]
    pub fn of(pixels: &Pixels<'_>, luma: &mut Vec<u8>) -> Option<Self> {
        let (width, height) = (pixels.width as usize, pixels.height as usize);
        let count = width.checked_mul(height).filter(|&count| count > 0)?;
        if pixels.data.len() != count.checked_mul(pixels.channels)? {
            return None;
        }
        luma.clear();
        let colourfulness = if pixels.channels == 3 {
            luma.extend(pixels.data.chunks_exact(3).map(luma_of));
            colourfulness(pixels.data, count)
        } else {
            luma.extend_from_slice(pixels.data);
            0.0
        };
        let light = Light::of(luma);
        let (sharpness, noise) = neighbourhoods(luma, width, height);
        #[expect(clippy::cast_possible_truncation, reason = "features are published in single precision")]
        let single = |value: f64| value as f32;
        Some(Self {
            brightness: single(light.mean / 255.0),
            contrast: single(light.deviation / 255.0),
            sharpness: single(sharpness),
            entropy: single(light.entropy),
            noise: single(noise),
            saturated: single(light.saturated),
            black: single(light.black),
            colourfulness: single(colourfulness),
        })
    }

    /// The figures in the order of [`ImageStatistics::NAMES`].
    #[must_use]
    pub const fn values(&self) -> [f32; 8] {
        let Self { brightness, contrast, sharpness, entropy, noise, saturated, black, colourfulness } = *self;
        [brightness, contrast, sharpness, entropy, noise, saturated, black, colourfulness]
    }
}

/// BT.601 luma with weights in 256ths, rounded.
fn luma_of(rgb: &[u8]) -> u8 {
    // 256 * 255 + 128 fits 16 bits.
    let part = |weight: u16, channel: usize| weight.wrapping_mul(u16::from(rgb[channel]));
    (part(77, 0).wrapping_add(part(150, 1)).wrapping_add(part(29, 2)).wrapping_add(128) >> 8) as u8
}

/// What follows from the histogram of the luma.
struct Light {
    mean: f64,
    deviation: f64,
    entropy: f64,
    saturated: f64,
    black: f64,
}

impl Light {
    fn of(luma: &[u8]) -> Self {
        // Four histograms, so that neighbours of equal luma do not wait for each other's counter.
        let mut lanes = [[0_u32; 256]; 4];
        let mut fours = luma.chunks_exact(4);
        for four in fours.by_ref() {
            for (lane, &level) in lanes.iter_mut().zip(four) {
                lane[usize::from(level)] += 1;
            }
        }
        for &level in fours.remainder() {
            lanes[0][usize::from(level)] += 1;
        }
        let counts: [u64; 256] = std::array::from_fn(|level| lanes.iter().map(|lane| u64::from(lane[level])).sum());
        let total = luma.len() as f64;
        let levels = || counts.iter().enumerate().filter(|(_, count)| **count > 0);
        let sum: f64 = levels().map(|(level, &count)| level as f64 * count as f64).sum();
        let mean = sum / total;
        let spread: f64 = levels().map(|(level, &count)| (level as f64 - mean).powi(2) * count as f64).sum();
        let entropy: f64 = levels().map(|(_, &count)| count as f64 / total).map(|share| -share * share.log2()).sum();
        let share = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / total;
        Self {
            mean,
            deviation: (spread / total).sqrt(),
            entropy: entropy.max(0.0),
            saturated: share(&counts[SATURATED..]),
            black: share(&counts[..=BLACK]),
        }
    }
}

/// Variance of the 4-neighbour Laplacian, and the noise by the mask 1 -2 1 / -2 4 -2 / 1 -2 1.
fn neighbourhoods(luma: &[u8], width: usize, height: usize) -> (f64, f64) {
    if width < 3 || height < 3 {
        return (0.0, 0.0);
    }
    let inner = ((width - 2) * (height - 2)) as f64;
    let (mut sum, mut squares, mut noise) = (0_i64, 0_u64, 0_u64);
    for y in 1..height - 1 {
        let row = |y: usize| &luma[y * width..(y + 1) * width];
        // Per row in 32 bits, which a width of 2^31 / 1020^2 = 2064 pixels cannot overflow; longer rows in pieces.
        for from in (0..width - 2).step_by(2048) {
            let to = (from + 2048).min(width - 2);
            let piece = |y: usize| &row(y)[from..to + 2];
            let (above, here, below) = (piece(y - 1), piece(y), piece(y + 1));
            let (row_sum, row_squares, row_noise) = row_sums(above, here, below);
            sum += i64::from(row_sum);
            squares += u64::from(row_squares);
            noise += u64::from(row_noise);
        }
    }
    let mean = sum as f64 / inner;
    let variance = (squares as f64 / inner - mean * mean).max(0.0);
    (variance, (std::f64::consts::PI / 2.0).sqrt() * noise as f64 / (6.0 * inner))
}

/// Sum and sum of squares of the Laplacian, and sum of the noise mask's absolute values, over the inner pixels of a row.
fn row_sums(above: &[u8], here: &[u8], below: &[u8]) -> (i32, u32, u32) {
    let inner = here.len() - 2;
    let (above, here, below) = (columns(above, inner), columns(here, inner), columns(below, inner));
    let (mut sum, mut squares, mut noise) = (0_i32, 0_i32, 0_i32);
    // In 16 bits, which 8 * 255 cannot overflow: the compiler makes vectors of it. Nothing wraps; checks would keep it
    // from doing so.
    for x in 0..inner {
        let at = |column: &[u8]| i16::from(column[x]);
        let add = i16::wrapping_add;
        let cross = add(add(at(above[1]), at(below[1])), add(at(here[0]), at(here[2])));
        let corners = add(add(at(above[0]), at(above[2])), add(at(below[0]), at(below[2])));
        let centre = at(here[1]) << 2;
        let laplacian = i32::from(cross.wrapping_sub(centre));
        let mask = add(corners, centre).wrapping_sub(cross << 1);
        sum = sum.wrapping_add(laplacian);
        squares = squares.wrapping_add(laplacian.wrapping_mul(laplacian));
        noise = noise.wrapping_add(i32::from(mask.wrapping_abs()));
    }
    (sum, squares.cast_unsigned(), noise.cast_unsigned())
}

/// The row as its pixels' left neighbours, themselves and right neighbours.
fn columns(row: &[u8], inner: usize) -> [&[u8]; 3] {
    [0, 1, 2].map(|dx| &row[dx..dx + inner])
}

/// sqrt(var rg + var yb) + 0.3 sqrt(mean rg^2 + mean yb^2) with rg = R - G and yb = (R + G) / 2 - B.
fn colourfulness(rgb: &[u8], count: usize) -> f64 {
    let (mut rg_sum, mut yb_sum, mut rg_squares, mut yb_squares) = (0_i64, 0_i64, 0_u64, 0_u64);
    // In 32 bits per piece: 4096 * 510^2 < 2^31, with yb doubled to stay whole.
    for piece in rgb.chunks(3 * 4096) {
        let (mut rg_s, mut yb_s, mut rg_q, mut yb_q) = (0_i32, 0_i32, 0_u32, 0_u32);
        for pixel in piece.chunks_exact(3) {
            let [r, g, b] = [pixel[0], pixel[1], pixel[2]].map(i16::from);
            let (rg, yb) = (i32::from(r.wrapping_sub(g)), i32::from(r.wrapping_add(g).wrapping_sub(b << 1)));
            rg_s = rg_s.wrapping_add(rg);
            yb_s = yb_s.wrapping_add(yb);
            rg_q = rg_q.wrapping_add(rg.wrapping_mul(rg).cast_unsigned());
            yb_q = yb_q.wrapping_add(yb.wrapping_mul(yb).cast_unsigned());
        }
        rg_sum += i64::from(rg_s);
        yb_sum += i64::from(yb_s);
        rg_squares += u64::from(rg_q);
        yb_squares += u64::from(yb_q);
    }
    let count = count as f64;
    let (rg, yb) = (rg_sum as f64 / count, yb_sum as f64 / count / 2.0);
    let variance = rg_squares as f64 / count - rg * rg + yb_squares as f64 / count / 4.0 - yb * yb;
    variance.max(0.0).sqrt() + 0.3 * (rg * rg + yb * yb).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(width: u32, height: u32, channels: usize, data: &[u8]) -> ImageStatistics {
        ImageStatistics::of(&Pixels { width, height, channels, data }, &mut Vec::new()).unwrap()
    }

    fn near(found: f32, expected: f32) {
        assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0), "found {found}, expected {expected}");
    }

    #[test]
    fn a_flat_image_has_light_and_nothing_else() {
        let found = of(5, 4, 3, &[51; 60]);
        assert_eq!(found.values(), [0.2, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_chequerboard_is_all_contrast_and_noise() {
        let data: Vec<u8> = (0..16).map(|i| if (i / 4 + i % 4) % 2 == 0 { 0 } else { 255 }).collect();
        let found = of(4, 4, 1, &data);
        near(found.brightness, 0.5);
        near(found.contrast, 0.5);
        near(found.entropy, 1.0);
        near(found.saturated, 0.5);
        near(found.black, 0.5);
        // The Laplacian is +-4 * 255 in equal numbers; the mask gives 16 / 2 * 255 everywhere.
        near(found.sharpness, 1020.0 * 1020.0);
        near(found.noise, (std::f32::consts::PI / 2.0).sqrt() * 8.0 * 255.0 / 6.0);
    }

    #[test]
    fn pure_red_has_the_colourfulness_of_its_definition() {
        let data: Vec<u8> = [255, 0, 0].repeat(9);
        // rg = 255, yb = 127.5, no variance.
        near(of(3, 3, 3, &data).colourfulness, 0.3 * 255.0_f32.hypot(127.5));
        near(of(3, 3, 3, &data).brightness, 77.0 / 255.0);
    }

    #[test]
    fn a_slope_has_no_laplacian() {
        let data: Vec<u8> = (0..64).map(|i| (i % 8) * 10).collect();
        let found = of(8, 8, 1, &data);
        assert_eq!((found.sharpness, found.noise), (0.0, 0.0));
    }

    #[test]
    fn rows_longer_than_a_piece_count_every_pixel_once() {
        let width = 5000_usize;
        let data: Vec<u8> = (0..3 * width).map(|i| ((i * 7919) % 251) as u8).collect();
        let found = of(width as u32, 3, 1, &data);
        let (mut sum, mut squares) = (0.0_f64, 0.0_f64);
        for x in 1..width - 1 {
            let at = |y: usize, x: usize| f64::from(data[y * width + x]);
            let laplacian = at(0, x) + at(2, x) + at(1, x - 1) + at(1, x + 1) - 4.0 * at(1, x);
            sum += laplacian;
            squares += laplacian * laplacian;
        }
        let n = (width - 2) as f64;
        near(found.sharpness, (squares / n - (sum / n).powi(2)) as f32);
    }

    #[test]
    fn small_and_wrong_images_do_no_harm() {
        assert_eq!(of(2, 1, 1, &[0, 255]).sharpness, 0.0);
        let empty = Pixels { width: 0, height: 4, channels: 3, data: &[] };
        assert_eq!(ImageStatistics::of(&empty, &mut Vec::new()), None);
        let short = Pixels { width: 2, height: 2, channels: 3, data: &[0; 11] };
        assert_eq!(ImageStatistics::of(&short, &mut Vec::new()), None);
    }
}
