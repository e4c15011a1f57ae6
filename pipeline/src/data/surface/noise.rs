//! Coherent noise over the plane: value noise, its fractal sum, and Worley's cells.

use crate::math::floor;
use crate::rng::Rng;

/// Side of the lattice; noise repeats after so many cells.
const SIDE: usize = 256;

/// Random values on an integer lattice, from which all noise of one image is interpolated.
#[derive(Debug, Clone)]
pub(super) struct Lattice {
    values: Box<[u8; SIDE * SIDE]>,
}

/// Distances to the nearest and the second nearest cell centre, in cells, and a value in [-1, 1] of the nearest cell.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) nearest: f32,
    pub(super) second: f32,
    pub(super) value: f32,
}

impl Lattice {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let mut values = Box::new([0; SIDE * SIDE]);
        for word in values.chunks_exact_mut(8) {
            word.copy_from_slice(&rng.bits().to_le_bytes());
        }
        Self { values }
    }

    /// Value of a lattice point, in [-1, 1].
    pub(super) fn point(&self, x: i32, y: i32) -> f32 {
        centred(self.raw(x, y))
    }

    /// Smooth noise in [-1, 1] with features of about one unit.
    pub(super) fn smooth(&self, x: f32, y: f32) -> f32 {
        let (x0, y0) = (floor(x), floor(y));
        let (wx, wy) = (ease(x - x0), ease(y - y0));
        let (ix, iy) = (x0 as i32, y0 as i32);
        let (right, below) = (ix.wrapping_add(1), iy.wrapping_add(1));
        let upper = mix(self.raw(ix, iy), self.raw(right, iy), wx);
        let lower = mix(self.raw(ix, below), self.raw(right, below), wx);
        centred(mix(upper, lower, wy))
    }

    /// Value of a lattice point, in [0, 255].
    fn raw(&self, x: i32, y: i32) -> f32 {
        let index = ((y as usize & (SIDE - 1)) * SIDE) | (x as usize & (SIDE - 1));
        f32::from(self.values[index])
    }

    /// Sum of `octaves` of smooth noise, each of half the size and `gain` times the strength of the one before, in
    /// [-1, 1].
    pub(super) fn fractal(&self, x: f32, y: f32, octaves: u32, gain: f32) -> f32 {
        let (mut sum, mut total, mut strength, mut frequency) = (0.0, 0.0, 1.0, 1.0);
        for octave in 0..octaves {
            // Shifted, so that the octaves' lattices do not lie upon one another.
            let shift = octave as f32 * 37.3;
            sum += strength * self.smooth(x * frequency + shift, y * frequency - shift);
            total += strength;
            strength *= gain;
            frequency *= 2.0;
        }
        sum / total
    }

    /// Worley's cellular noise (1996): one jittered centre per unit square.
    pub(super) fn cell(&self, x: f32, y: f32) -> Cell {
        let (cx, cy) = (floor(x) as i32, floor(y) as i32);
        let (mut nearest, mut second, mut value) = (f32::MAX, f32::MAX, 0.0);
        for iy in cy - 1..=cy + 1 {
            for ix in cx - 1..=cx + 1 {
                let dx = ix as f32 + 0.5 + 0.45 * self.point(ix, iy) - x;
                let dy = iy as f32 + 0.5 + 0.45 * self.point(ix + 97, iy + 41) - y;
                let squared = dx * dx + dy * dy;
                if squared < nearest {
                    (second, nearest) = (nearest, squared);
                    value = self.point(ix + 11, iy + 151);
                } else if squared < second {
                    second = squared;
                }
            }
        }
        Cell { nearest: nearest.sqrt(), second: second.sqrt(), value }
    }
}

/// Smooth cubic from 0 at 0 to 1 at 1, for `t` between them.
fn ease(t: f32) -> f32 {
    t * t * (3.0 - 2.0 * t)
}

/// From [0, 255] to [-1, 1].
fn centred(raw: f32) -> f32 {
    raw * (1.0 / 127.5) - 1.0
}

fn mix(a: f32, b: f32, weight: f32) -> f32 {
    a + (b - a) * weight
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smooth_noise_meets_the_lattice_and_stays_in_range() {
        let lattice = Lattice::new(&mut Rng::new(5, &[]));
        assert_eq!(lattice.smooth(3.0, -7.0), lattice.point(3, -7));
        for step in 0..10_000 {
            let (x, y) = (step as f32 * 0.37 - 900.0, step as f32 * -0.11);
            assert!(lattice.fractal(x, y, 5, 0.6).abs() <= 1.0);
        }
    }

    #[test]
    fn the_nearest_cell_is_nearer_than_the_second() {
        let lattice = Lattice::new(&mut Rng::new(5, &[]));
        for step in 0..1000 {
            let cell = lattice.cell(step as f32 * 0.13, step as f32 * 0.07);
            assert!(cell.nearest <= cell.second && cell.second < 2.5, "{cell:?}");
        }
    }
}
