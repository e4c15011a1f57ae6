//! Data: where training, calibration and evaluation images come from.

pub mod split;
pub mod surface;

pub use split::Split;
