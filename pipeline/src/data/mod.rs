//! Data: where training, calibration and evaluation images come from.

pub mod surface;
