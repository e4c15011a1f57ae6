//! A stain: a cloudy patch that lets 75 to 95 per cent of the light through.

use super::{Light, inside};
use crate::data::surface::field::Field;
use crate::data::surface::noise::Lattice;
use crate::math::smooth_step;
use crate::rng::Rng;

pub(super) fn draw(field: &mut Field, light: Light, noise: &Lattice, rng: &mut Rng) {
    let radius = rng.range(22.0, 56.0);
    let centre = inside(radius * 0.7, rng);
    let absorbed = (light.contrast * rng.range(0.10, 0.25)).min(1.0);
    let edge = rng.range(0.08, 0.3);
    let place = (rng.range(0.0, 200.0), rng.range(0.0, 200.0));
    field.spot(centre, radius * 1.5, |offset, value| {
        let distance = (offset.x * offset.x + offset.y * offset.y).sqrt() / radius;
        let (x, y) = (offset.x / radius + place.0, offset.y / radius + place.1);
        let ragged = distance + 0.45 * noise.fractal(x * 1.6, y * 1.6, 4, 0.6);
        let mask = 1.0 - smooth_step(0.8 - edge, 0.8 + edge, ragged);
        value * (1.0 - absorbed * mask)
    });
}
