//! Weights `[M, C/groups, kH, kW]` as panels of six rows for [`super::gather`].

use super::shape::ConvShape;
use super::tile::{Left, ROWS};

/// Weights as one side of a product. A panel has a step for each tap and, within it, for each channel of the sum.
#[derive(Clone, Copy)]
pub(crate) struct Weights<'a> {
    weight: &'a [f32],
    /// Rows of a group.
    rows: usize,
    /// Channels of a group that are summed.
    channels: usize,
    taps: usize,
    /// Elements from one row to the next, and from one channel of the sum to the next; taps follow each other.
    row_stride: usize,
    channel_stride: usize,
}

impl<'a> Weights<'a> {
    /// For the forward pass: rows are output channels.
    pub fn forward(weight: &'a [f32], shape: &ConvShape) -> Self {
        let (rows, channels, taps) = (shape.group_outputs(), shape.group_inputs(), shape.taps());
        Self { weight, rows, channels, taps, row_stride: channels * taps, channel_stride: taps }
    }

    /// For the gradient of the input: rows are input channels.
    pub fn transposed(weight: &'a [f32], shape: &ConvShape) -> Self {
        let (rows, channels, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
        Self { weight, rows, channels, taps, row_stride: taps, channel_stride: rows * taps }
    }

    /// Steps of a panel.
    pub fn steps(&self) -> usize {
        self.taps * self.channels
    }

    /// Panels of a group.
    pub fn panels(&self) -> usize {
        self.rows.div_ceil(ROWS)
    }

    /// Fills `packed` with panels of a group, from panel `first` on. All are filled in step, so that where the rows of a
    /// panel are neighbours in memory and its channels are far apart, more is read of each page.
    pub fn pack(&self, group: usize, first: usize, packed: &mut [Left]) {
        let weight = &self.weight[group * self.rows * self.steps()..][..self.rows * self.steps()];
        for channel in 0..self.channels {
            for (panel, packed) in packed.chunks_exact_mut(self.steps()).enumerate() {
                let row = (first + panel) * ROWS;
                let weight = &weight[row * self.row_stride + channel * self.channel_stride..];
                let (packed, rows) = (&mut packed[channel..], ROWS.min(self.rows - row));
                match self.taps {
                    // The usual windows, with loops that the compiler unrolls.
                    1 if rows == ROWS => self.pack_taps::<1>(weight, packed),
                    9 if rows == ROWS => self.pack_taps::<9>(weight, packed),
                    _ => self.pack_rows(weight, packed, rows),
                }
            }
        }
    }

    /// The taps of six rows, one step of the panel each.
    fn pack_taps<const TAPS: usize>(&self, weight: &[f32], packed: &mut [Left]) {
        let row = |i: usize| weight[i * self.row_stride..].first_chunk().copied().unwrap_or([0.0; TAPS]);
        let rows: [[f32; TAPS]; ROWS] = std::array::from_fn(row);
        for (tap, packed) in packed.iter_mut().step_by(self.channels).enumerate().take(TAPS) {
            *packed = rows.map(|row| row[tap]);
        }
    }

    /// The taps of the last rows; what is missing of six is zero.
    fn pack_rows(&self, weight: &[f32], packed: &mut [Left], rows: usize) {
        for (tap, packed) in packed.iter_mut().step_by(self.channels).enumerate().take(self.taps) {
            *packed = std::array::from_fn(|i| if i < rows { weight[i * self.row_stride + tap] } else { 0.0 });
        }
    }
}
