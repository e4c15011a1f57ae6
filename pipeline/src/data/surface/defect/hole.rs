//! A hole: a dark pit of uneven outline whose far rim catches the light.

use super::{Light, inside};
use crate::data::surface::field::Field;
use crate::data::surface::noise::Lattice;
use crate::math::{bell, cos, sin, smooth_step};
use crate::rng::Rng;

pub(super) fn draw(field: &mut Field, light: Light, noise: &Lattice, rng: &mut Rng) {
    let radius = rng.mostly_low(3.0, 11.0);
    let centre = inside(16.0, rng);
    let dark = (light.contrast * rng.range(0.3, 0.8)).min(1.0);
    let rim = light.contrast * rng.range(0.04, 0.2);
    let place = rng.range(0.0, 200.0);
    let (lit_x, lit_y) = (cos(light.turns), sin(light.turns));
    field.spot(centre, radius * 2.2, |offset, value| {
        let distance = (offset.x * offset.x + offset.y * offset.y).sqrt().max(1e-3);
        let (x, y) = (offset.x / distance, offset.y / distance);
        // The outline is noise over the direction, so that it closes on itself.
        let uneven = 1.0 + 0.35 * noise.smooth(x * 1.5 + place, y * 1.5);
        let r = distance / (radius * uneven);
        let pit = 1.0 - smooth_step(0.7, 1.1, r);
        let facing = (-(x * lit_x + y * lit_y)).max(0.0);
        value * (1.0 - dark * pit) + rim * facing * bell((r - 1.2) / 0.4)
    });
}
