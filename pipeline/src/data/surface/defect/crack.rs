//! A crack: a random walk that keeps its heading roughly, thins out and branches.

use super::{Light, inside};
use crate::data::surface::field::{Field, Point};
use crate::math::{bell, cos, sin};
use crate::rng::Rng;

/// Length of a step in sheet units.
const STEP: f32 = 4.0;

/// A walk yet to be made.
struct Branch {
    start: Point,
    heading: f32,
    steps: u32,
    width: f32,
}

pub(super) fn draw(field: &mut Field, light: Light, rng: &mut Rng) {
    let dark = (light.contrast * rng.range(0.28, 0.75)).min(1.0);
    let mut branches = vec![Branch {
        start: inside(50.0, rng),
        heading: rng.unit(),
        steps: 14 + rng.below(20),
        width: rng.range(1.5, 3.0),
    }];
    while let Some(branch) = branches.pop() {
        let points = walk(&branch, &mut branches, rng);
        let width = branch.width;
        field.stroke(&points, width, |near, value| {
            let here = width * (1.0 - 0.6 * near.along);
            value * (1.0 - dark * bell((near.distance / here).clamp(-1.0, 1.0)))
        });
    }
}

/// Makes the walk; side branches that split off are added to `branches`, each shorter and thinner than its parent.
fn walk(branch: &Branch, branches: &mut Vec<Branch>, rng: &mut Rng) -> Vec<Point> {
    let (mut place, mut heading) = (branch.start, branch.heading);
    let mut points = vec![place];
    for done in 0..branch.steps {
        heading += rng.range(-0.11, 0.11);
        place.x += STEP * cos(heading);
        place.y += STEP * sin(heading);
        points.push(place);
        let left = branch.steps - done;
        if left > 5 && rng.chance(0.12) {
            branches.push(Branch {
                start: place,
                heading: heading + rng.sign() * rng.range(0.08, 0.2),
                steps: left / 2,
                width: branch.width * 0.75,
            });
        }
    }
    points
}
