//! The surface of a part without any mark on it.

use super::field::{Field, Point};
use super::noise::Lattice;
use super::product::{Material, Product};
use crate::math::{cos, floor, sin, smooth_step};
use crate::rng::Rng;

/// Texture of one part: its product's look at a place of its own in the noise.
struct Texture<'a> {
    product: &'a Product,
    lattice: &'a Lattice,
    /// Direction of the grain on this part.
    grain: (f32, f32),
    /// Brightness of the part as a whole.
    tone: f32,
}

/// Draws the bare surface of a part.
pub(super) fn draw(size: usize, product: &Product, lattice: &Lattice, rng: &mut Rng) -> Field {
    // Parts lie a little askew, and no two are quite the same colour.
    let grain = product.grain + rng.range(-0.01, 0.01);
    let texture =
        Texture { product, lattice, grain: (cos(grain), sin(grain)), tone: product.tone + rng.range(-0.03, 0.03) };
    Field::from_fn(size, |place| texture.at(place))
}

impl Texture<'_> {
    fn at(&self, place: Point) -> f32 {
        let scale = self.product.scale;
        // Along the grain and across it, in the texture's own scale.
        let along = (place.x * self.grain.0 + place.y * self.grain.1) / scale;
        let across = (place.y * self.grain.0 - place.x * self.grain.1) / scale;
        let texture = match self.product.material {
            Material::Cast => self.cast(along, across),
            Material::Brushed => self.brushed(along, across),
            Material::Woven => self.woven(along, across),
            Material::Cellular => self.cellular(along, across),
        };
        self.tone + self.product.strength * texture
    }

    fn cast(&self, along: f32, across: f32) -> f32 {
        3.0 * self.lattice.fractal(along / 26.0, across / 26.0, 5, 0.7)
    }

    fn brushed(&self, along: f32, across: f32) -> f32 {
        let fine = self.lattice.smooth(along / 45.0, across / 1.1);
        let middle = self.lattice.smooth(along / 90.0 + 50.0, across / 3.5);
        let coarse = self.lattice.smooth(along / 160.0 + 90.0, across / 17.0);
        1.2 * fine + 0.9 * middle + 0.7 * coarse
    }

    fn woven(&self, along: f32, across: f32) -> f32 {
        const THREAD: f32 = 11.0;
        let (u, v) = (along / THREAD, across / THREAD);
        let (column, row) = (floor(u), floor(v));
        let over = (column as i32 + row as i32) & 1 == 0;
        // A thread is bright along its middle and dips where it goes under its neighbours.
        let (side, length, thread) = if over {
            (u - column, v - row, self.lattice.point(column as i32, 7))
        } else {
            (v - row, u - column, self.lattice.point(9, row as i32))
        };
        let round = sin(side * 0.5);
        let dip = sin(length * 0.5);
        let fibre = self.lattice.smooth(along / 2.0, across / 2.0);
        2.2 * (round * (0.5 + 0.5 * dip) - 0.5) + 0.5 * thread + 0.5 * fibre
    }

    fn cellular(&self, along: f32, across: f32) -> f32 {
        const GRAIN: f32 = 17.0;
        let cell = self.lattice.cell(along / GRAIN, across / GRAIN);
        let border = 1.0 - smooth_step(0.0, 0.16, cell.second - cell.nearest);
        let rough = self.lattice.fractal(along / 7.0, across / 7.0, 3, 0.6);
        0.9 * cell.value - 1.1 * border + 0.9 * rough
    }
}
