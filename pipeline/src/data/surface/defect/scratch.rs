//! A scratch: a cubic Bezier curve, dark in its groove and bright on one edge.

use super::{Light, inside};
use crate::data::surface::field::{Field, Point};
use crate::math::{bell, cos, sin};
use crate::rng::Rng;

const POINTS: usize = 24;

pub(super) fn draw(field: &mut Field, light: Light, rng: &mut Rng) {
    let points = bezier(rng);
    let width = rng.range(1.2, 2.8);
    let dark = light.contrast * rng.range(0.16, 0.60);
    let bright = dark * rng.range(0.5, 0.9) * rng.sign();
    field.stroke(&points, width * 3.0, |near, value| {
        // It begins and ends gently.
        let end = near.along * 2.0 - 1.0;
        let pressure = (1.0 - end * end).max(0.0).sqrt();
        let across = near.distance / width;
        let groove = dark * bell(across);
        let edge = bright.abs() * bell(across - 1.6 * bright.signum());
        value + pressure * (edge - groove)
    });
}

fn bezier(rng: &mut Rng) -> [Point; POINTS] {
    let middle = inside(50.0, rng);
    let half = rng.range(18.0, 65.0);
    let turns = rng.unit();
    let (x, y) = (cos(turns), sin(turns));
    // The four control points along the scratch and how far they are pushed off it.
    let controls = [-1.0, -0.35, 0.35, 1.0].map(|along| {
        let aside = rng.range(-0.4, 0.4);
        Point { x: middle.x + half * (along * x - aside * y), y: middle.y + half * (along * y + aside * x) }
    });
    std::array::from_fn(|index| {
        let t = index as f32 / (POINTS - 1) as f32;
        let s = 1.0 - t;
        let weights = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
        let sum = |part: fn(&Point) -> f32| {
            let terms = controls.iter().zip(weights);
            terms.map(|(control, weight)| part(control) * weight).sum()
        };
        Point { x: sum(|point| point.x), y: sum(|point| point.y) }
    })
}
