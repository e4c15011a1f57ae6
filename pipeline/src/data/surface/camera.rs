//! From reflectance to the picture a station takes: light, lens, sensor.

use super::field::{Field, SHEET};
use super::plan::Knobs;
use crate::math::{cos, sin};
use crate::rng::Rng;

/// How one station sees.
#[derive(Debug, Clone)]
pub(super) struct Camera {
    /// Brightness, 1 where the station is set up as it should be.
    exposure: f32,
    /// Gain of red, green and blue.
    white_balance: [f32; 3],
    /// Standard deviation of the lens blur in sheet units, squared.
    blur_variance: f32,
    /// Standard deviation of the sensor noise on a white surface.
    noise: f32,
    /// Side from which the light falls, in turns.
    pub(super) light: f32,
    /// How much brighter the lit side is.
    gradient: f32,
    /// How much darker the corners are.
    vignette: f32,
}

impl Camera {
    /// The station of that number, set up as its knobs say, for one shot.
    pub(super) fn of(seed: u64, station: u32, knobs: &Knobs, shot: &mut Rng) -> Self {
        let mut rng = Rng::new(seed, &[0x63, u64::from(station)]);
        let shift = knobs.station_shift;
        let exposure = 1.0 + shift * rng.range(-0.1, 0.1);
        let red = 1.0 + shift * rng.range(-0.05, 0.05);
        let blue = 1.0 + shift * rng.range(-0.05, 0.05);
        let softness = rng.range(-0.25, 0.25);
        let grain = rng.range(-0.3, 0.3);
        let light = rng.unit();
        let blur = knobs.blur * (0.85 + shift * softness + shot.range(-0.1, 0.1)).max(0.0);
        Self {
            exposure: exposure.max(0.2),
            white_balance: [red.max(0.2), 1.0, blue.max(0.2)],
            blur_variance: blur * blur,
            noise: knobs.noise * (0.016 * (1.0 + shift * grain)).max(0.0),
            light: light + shot.range(-0.08, 0.08),
            gradient: knobs.lighting * shot.range(0.02, 0.22),
            vignette: knobs.lighting * shot.range(0.0, 0.15),
        }
    }

    /// Takes the picture: red, green and blue bytes per pixel, row by row.
    pub(super) fn shoot(&self, mut surface: Field, illumination: f32, tint: [f32; 3], rng: &mut Rng) -> Vec<u8> {
        let size = surface.size;
        self.blur(&mut surface);
        let gains: [f32; 3] = std::array::from_fn(|channel| 255.0 * tint[channel] * self.white_balance[channel]);
        let (towards_x, towards_y) = (cos(self.light), sin(self.light));
        let unit = |index: usize| (index as f32 + 0.5) / size as f32 * 2.0 - 1.0;
        let mut pixels = Vec::with_capacity(size * size * 3);
        for (row, values) in surface.values.chunks_exact(size).enumerate() {
            let y = unit(row);
            for (column, reflectance) in values.iter().enumerate() {
                let x = unit(column);
                let fall = self.gradient * (x * towards_x + y * towards_y);
                let corner = self.vignette * 0.5 * (x * x + y * y);
                let light = self.exposure * illumination * (1.0 + fall - corner);
                let signal = (light * reflectance).max(0.0);
                // Shot noise grows with the square root of the light; a part of it is there in the dark.
                let noise = self.noise * (0.3 + signal).sqrt() * rng.normal();
                pixels.extend(gains.map(|gain| ((signal + noise) * gain + 0.5) as u8));
            }
        }
        pixels
    }

    /// Blurs by repeated [a, 1 - 2a, a] in both directions; each pass adds the variance 2a.
    fn blur(&self, field: &mut Field) {
        let scale = field.size as f32 / SHEET;
        let variance = self.blur_variance * scale * scale;
        let passes = (variance / 0.5).ceil();
        if passes < 1.0 {
            return;
        }
        let weight = variance / passes / 2.0;
        let size = field.size;
        for _ in 0..passes as usize {
            for row in field.values.chunks_exact_mut(size) {
                let mut before = row[0];
                for column in 0..size {
                    let here = row[column];
                    let after = row[(column + 1).min(size - 1)];
                    row[column] = here + weight * (before - 2.0 * here + after);
                    before = here;
                }
            }
            let mut above = field.values[..size].to_vec();
            for row in 0..size {
                let below = (row + 1).min(size - 1) * size;
                for (column, before) in above.iter_mut().enumerate() {
                    let after = field.values[below + column];
                    let value = &mut field.values[row * size + column];
                    let here = *value;
                    *value = here + weight * (*before - 2.0 * here + after);
                    *before = here;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blur_keeps_the_sum_and_gives_the_variance_it_is_asked_for() {
        let mut field = Field::from_fn(256, |_| 0.0);
        field.values[128 * 256 + 128] = 1.0;
        let mut camera = Camera::of(1, 0, &Knobs::default(), &mut Rng::new(1, &[]));
        camera.blur_variance = 2.25;
        camera.blur(&mut field);
        let sum: f32 = field.values.iter().sum();
        let variance: f32 = (0..256 * 256)
            .map(|index| {
                let x = (index % 256) as f32 - 128.0;
                x * x * field.values[index]
            })
            .sum();
        // Sums of 65,536 rounded products.
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!((variance - 2.25).abs() < 1e-4, "{variance}");
    }

    #[test]
    fn less_light_gives_a_darker_picture() {
        let camera = Camera::of(1, 0, &Knobs::default(), &mut Rng::new(1, &[]));
        let mean = |illumination| {
            let grey = Field::from_fn(64, |_| 0.5);
            let pixels = camera.shoot(grey, illumination, [1.0; 3], &mut Rng::new(2, &[]));
            let sum: u32 = pixels.iter().map(|sample| u32::from(*sample)).sum();
            sum / pixels.len() as u32
        };
        assert!(mean(0.8) + 15 < mean(1.0));
    }
}
