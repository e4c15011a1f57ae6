//! Who wants to see a run go on.

use super::log::EpochRecord;

/// Told of every step and epoch. Libraries print nothing; the program turns this into a bar.
pub trait Observer {
    /// A step is done: its place in the epoch and the loss.
    fn step(&self, epoch: u32, step: usize, steps: usize, loss: f32);
    /// An epoch is done and validated.
    fn epoch(&self, record: &EpochRecord);
}

/// Nobody wants to see it.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn step(&self, _: u32, _: usize, _: usize, _: f32) {}
    fn epoch(&self, _: &EpochRecord) {}
}
