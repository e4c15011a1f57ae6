//! The quality funnel: how many units reach each stage, such as inspected, flagged, confirmed, and whether that fell or
//! rose by more than chance explains.
//!
//! Pure: it reads the counts per hour of the [feedback store](crate::feedback), which outlive the process there. Each stage
//! is compared week over week and with the window before. A change beyond the limit in the stage's bad direction is an
//! alarm where a two-proportion test supports it whose variance is what past periods show (200 counts a week fall by 8 % in
//! one unchanged week of five); then the cells are searched for its cause.

mod compare;
mod config;
mod evaluate;
#[cfg(test)]
mod tests;

pub use compare::{Change, Level};
pub use config::{Dimension, Direction, Funnel, FunnelConfig, FunnelErrors, LabelState, Stage};
pub use evaluate::{Against, Compared, Comparison, FunnelReport, Off, StageReport};
