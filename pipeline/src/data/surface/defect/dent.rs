//! A dent: the slope of a smooth bump or hollow, lit from one side.

use super::{Light, inside};
use crate::data::surface::field::Field;
use crate::math::{cos, sin};
use crate::rng::Rng;

pub(super) fn draw(field: &mut Field, light: Light, rng: &mut Rng) {
    let (wide, high) = (rng.range(11.0, 32.0), rng.range(11.0, 32.0));
    let centre = inside(wide.max(high), rng);
    let strength = light.contrast * rng.range(0.18, 0.60) * rng.sign();
    let (lit_x, lit_y) = (cos(light.turns), sin(light.turns));
    field.spot(centre, wide.max(high), |offset, value| {
        // Height is (1 - r^2)^2, so its slope towards the light is proportional to (1 - r^2) times the offset.
        let (x, y) = (offset.x / wide, offset.y / high);
        let height = (1.0 - x * x - y * y).max(0.0);
        // 2.6 brings the steepest slope to about 1.
        value * (1.0 + strength * 2.6 * height * (x * lit_x + y * lit_y))
    });
}
