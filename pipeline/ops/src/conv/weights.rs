//! Weights `[M, C/groups, kH, kW]` as panels of six rows for [`super::gather`].

use rayon::prelude::*;

use super::shape::ConvShape;
use super::tile::{Left, ROWS};

/// For the forward pass: rows are output channels, steps are tap, then input channel.
pub(crate) fn forward(weight: &[f32], shape: &ConvShape) -> Vec<Left> {
    let (inputs, outputs) = (shape.group_inputs(), shape.group_outputs());
    let strides = Strides { row: inputs * shape.taps(), channel: shape.taps() };
    pack(weight, shape, Sides { rows: outputs, channels: inputs }, strides)
}

/// For the gradient of the input: rows are input channels, steps are tap, then output channel.
pub(crate) fn transposed(weight: &[f32], shape: &ConvShape) -> Vec<Left> {
    let (inputs, outputs) = (shape.group_inputs(), shape.group_outputs());
    let strides = Strides { row: shape.taps(), channel: inputs * shape.taps() };
    pack(weight, shape, Sides { rows: inputs, channels: outputs }, strides)
}

/// Channels of a group on both sides of the product.
#[derive(Clone, Copy)]
struct Sides {
    rows: usize,
    channels: usize,
}

/// Elements from one row, or one channel of the sum, to the next; taps follow each other.
#[derive(Clone, Copy)]
struct Strides {
    row: usize,
    channel: usize,
}

fn pack(weight: &[f32], shape: &ConvShape, sides: Sides, strides: Strides) -> Vec<Left> {
    let (taps, panels) = (shape.taps(), sides.rows.div_ceil(ROWS));
    let steps = taps * sides.channels;
    // Where the rows of a panel are neighbours in memory and its channels are far apart, a few panels are filled together
    // to read more of each page.
    let together = if strides.row < strides.channel { 4 } else { 1 };
    let mut packed = vec![[0.0; ROWS]; shape.groups * panels * steps];
    let groups = packed.par_chunks_exact_mut(panels * steps).zip(weight.par_chunks_exact(sides.rows * steps));
    groups.for_each(|(packed, weight)| {
        packed.par_chunks_mut(together * steps).enumerate().for_each(|(index, packed)| {
            for channel in 0..sides.channels {
                for (panel, packed) in packed.chunks_exact_mut(steps).enumerate() {
                    let first = (index * together + panel) * ROWS;
                    let weight = &weight[first * strides.row + channel * strides.channel..];
                    let (packed, rows) = (&mut packed[channel..], ROWS.min(sides.rows - first));
                    match taps {
                        // The usual windows, with loops that the compiler unrolls.
                        1 if rows == ROWS => pack_taps::<1>(weight, strides.row, packed, sides.channels),
                        9 if rows == ROWS => pack_taps::<9>(weight, strides.row, packed, sides.channels),
                        _ => pack_rows(weight, strides.row, packed, sides.channels, taps, rows),
                    }
                }
            }
        });
    });
    packed
}

fn pack_rows(weight: &[f32], row: usize, packed: &mut [Left], channels: usize, taps: usize, rows: usize) {
    for (i, weight) in weight.chunks(row).take(rows).enumerate() {
        for (packed, weight) in packed.iter_mut().step_by(channels).zip(&weight[..taps]) {
            packed[i] = *weight;
        }
    }
}

/// The taps of six rows, one step of the panel each.
fn pack_taps<const TAPS: usize>(weight: &[f32], row: usize, packed: &mut [Left], channels: usize) {
    let rows: [[f32; TAPS]; ROWS] =
        std::array::from_fn(|i| weight[i * row..].first_chunk().copied().unwrap_or([0.0; TAPS]));
    for (tap, packed) in packed.iter_mut().step_by(channels).enumerate().take(TAPS) {
        *packed = rows.map(|row| row[tap]);
    }
}
