//! Harmless marks that look like defects: what makes the class `ok` hard.

use super::field::{Field, Point, SHEET};
use crate::math::{bell, cos, sin};
use crate::rng::Rng;

/// Draws each kind of harmless mark with the given probability.
pub(super) fn draw(field: &mut Field, probability: f32, grain: f32, rng: &mut Rng) {
    if rng.chance(probability) {
        for _ in 0..=rng.below(2) {
            grain_line(field, grain, rng);
        }
    }
    if rng.chance(probability) {
        highlight(field, rng);
    }
    if rng.chance(probability) {
        for _ in 0..=rng.below(3) {
            dust(field, rng);
        }
    }
}

fn anywhere(rng: &mut Rng) -> Point {
    Point { x: rng.range(0.0, SHEET), y: rng.range(0.0, SHEET) }
}

/// A straight line along the grain from edge to edge, dark or bright: like a scratch, but neither curved nor two-sided.
fn grain_line(field: &mut Field, grain: f32, rng: &mut Rng) {
    let middle = anywhere(rng);
    let turns = grain + rng.range(-0.02, 0.02);
    let (x, y) = (cos(turns) * 2.0 * SHEET, sin(turns) * 2.0 * SHEET);
    let ends = [Point { x: middle.x - x, y: middle.y - y }, Point { x: middle.x + x, y: middle.y + y }];
    let width = rng.range(0.8, 2.0);
    let strength = rng.sign() * rng.range(0.04, 0.13);
    field.stroke(&ends, width, |near, value| value + strength * bell(near.distance / width));
}

/// A soft bright patch: like a dent, but without a dark side.
fn highlight(field: &mut Field, rng: &mut Rng) {
    let centre = anywhere(rng);
    let (wide, high) = (rng.range(14.0, 55.0), rng.range(14.0, 55.0));
    let strength = rng.range(0.05, 0.16);
    field.spot(centre, wide.max(high), |offset, value| {
        let (x, y) = (offset.x / wide, offset.y / high);
        value + strength * bell((x * x + y * y).sqrt())
    });
}

/// A speck: like a hole, but tiny and as often bright as dark.
fn dust(field: &mut Field, rng: &mut Rng) {
    let centre = anywhere(rng);
    let radius = rng.range(1.2, 2.4);
    let strength = rng.sign() * rng.range(0.08, 0.25);
    field.spot(centre, radius, |offset, value| {
        let distance = (offset.x * offset.x + offset.y * offset.y).sqrt();
        value + strength * bell(distance / radius)
    });
}
