//! From a scene to its picture.

use super::background;
use super::camera::Camera;
use super::defect;
use super::distractor;
use super::image::Image;
use super::noise::Lattice;
use super::plan::Plan;
use super::product::Product;
use super::scene::{Label, Scene};
use crate::rng::Rng;

/// Probability of each kind of harmless mark on a good part, and on a defective one.
const HARMLESS: (f32, f32) = (0.45, 0.2);

/// Draws the scene as its plan says. The same plan and scene give the same bytes on every machine.
#[must_use]
pub fn render(plan: &Plan, scene: &Scene) -> Image {
    let stream = |part: u64| {
        let (split, index) = (scene.split.stream(), u64::from(scene.index));
        Rng::new(plan.seed, &[0x69, split, index, part])
    };
    let product = Product::of(plan.seed, scene.product);
    let camera = Camera::of(plan.seed, scene.station, &plan.knobs, &mut stream(0));
    let lattice = Lattice::new(&mut stream(1));
    let mut surface = background::draw(usize::from(plan.size), &product, &lattice, &mut stream(2));
    let harmless = match scene.label {
        Label::Ok => HARMLESS.0,
        _ => HARMLESS.1,
    };
    distractor::draw(&mut surface, harmless, product.grain, &mut stream(3));
    let light = defect::Light { turns: camera.light, contrast: plan.knobs.contrast };
    defect::draw(&mut surface, scene.label, light, &lattice, &mut stream(4));
    Image { size: plan.size, pixels: camera.shoot(surface, scene.illumination, product.tint, &mut stream(5)) }
}
