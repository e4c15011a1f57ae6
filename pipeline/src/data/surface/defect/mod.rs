//! The five defects, one file each.

mod crack;
mod dent;
mod hole;
mod scratch;
mod stain;

use super::field::{Field, Point, SHEET};
use super::noise::Lattice;
use super::scene::Label;
use crate::rng::Rng;

/// What makes a defect visible.
#[derive(Debug, Clone, Copy)]
pub(super) struct Light {
    /// Side from which the light falls, in turns.
    pub(super) turns: f32,
    /// Factor on how much defects stand out.
    pub(super) contrast: f32,
}

/// Draws the defect that the label names; nothing for `ok`.
pub(super) fn draw(field: &mut Field, label: Label, light: Light, noise: &Lattice, rng: &mut Rng) {
    match label {
        Label::Ok => {}
        Label::Scratch => scratch::draw(field, light, rng),
        Label::Dent => dent::draw(field, light, rng),
        Label::Stain => stain::draw(field, light, noise, rng),
        Label::Hole => hole::draw(field, light, noise, rng),
        Label::Crack => crack::draw(field, light, rng),
    }
}

/// A place at least `margin` away from every edge.
fn inside(margin: f32, rng: &mut Rng) -> Point {
    Point { x: rng.range(margin, SHEET - margin), y: rng.range(margin, SHEET - margin) }
}
