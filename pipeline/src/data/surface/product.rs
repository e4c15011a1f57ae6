//! What is being made: the material of a product and how its surface looks.

use crate::rng::Rng;

/// Kinds of surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Material {
    /// Fractal noise, as of cast or ground parts.
    Cast,
    /// Long fine streaks in one direction.
    Brushed,
    /// Threads over and under each other.
    Woven,
    /// Grains with dark borders.
    Cellular,
}

/// How all parts of one product look.
#[derive(Debug, Clone)]
pub(super) struct Product {
    pub(super) material: Material,
    /// Size of the texture's features, relative to what its material has by default.
    pub(super) scale: f32,
    /// Standard strength of the texture in reflectance.
    pub(super) strength: f32,
    /// Mean reflectance.
    pub(super) tone: f32,
    /// Reflectance of red, green and blue, relative to `tone`.
    pub(super) tint: [f32; 3],
    /// Direction of the grain, in turns.
    pub(super) grain: f32,
}

impl Product {
    /// The product of that number. Four products in a row have the four materials.
    pub(super) fn of(seed: u64, number: u32) -> Self {
        let mut rng = Rng::new(seed, &[0x70, u64::from(number)]);
        let material = match number % 4 {
            0 => Material::Cast,
            1 => Material::Brushed,
            2 => Material::Woven,
            _ => Material::Cellular,
        };
        Self {
            material,
            scale: rng.range(0.8, 1.4),
            strength: rng.range(0.03, 0.075),
            tone: rng.range(0.42, 0.62),
            tint: [rng.range(0.93, 1.07), 1.0, rng.range(0.9, 1.08)],
            grain: rng.range(-0.25, 0.25),
        }
    }
}
