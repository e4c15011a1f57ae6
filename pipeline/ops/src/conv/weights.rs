//! Weights `[M, C/groups, kH, kW]` as panels of six rows for [`super::gather`].

use rayon::prelude::*;

use super::shape::ConvShape;
use super::tile::{Left, ROWS};

/// For the forward pass: rows are output channels, steps are tap, then input channel.
pub(crate) fn forward(weight: &[f32], shape: &ConvShape) -> Vec<Left> {
    let (inputs, outputs, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
    let (steps, panels) = (inputs * taps, outputs.div_ceil(ROWS));
    let mut packed = vec![[0.0; ROWS]; shape.groups * panels * steps];
    packed.par_chunks_exact_mut(steps).enumerate().for_each(|(panel, packed)| {
        let (group, first) = (panel / panels, panel % panels * ROWS);
        let rows = ROWS.min(outputs - first);
        let weight = &weight[(group * outputs + first) * steps..][..rows * steps];
        if taps == 1 && rows == ROWS {
            let mut rows = weight.chunks_exact(steps);
            let rows: [&[f32]; ROWS] = std::array::from_fn(|_| rows.next().unwrap_or_default());
            for (step, packed) in packed.iter_mut().enumerate() {
                *packed = rows.map(|row| row[step]);
            }
            return;
        }
        for (row, weight) in weight.chunks_exact(steps).enumerate() {
            for (channel, weight) in weight.chunks_exact(taps).enumerate() {
                for (packed, weight) in packed[channel..].iter_mut().step_by(inputs).zip(weight) {
                    packed[row] = *weight;
                }
            }
        }
    });
    packed
}

/// For the gradient of the input: rows are input channels, steps are tap, then output channel.
pub(crate) fn transposed(weight: &[f32], shape: &ConvShape) -> Vec<Left> {
    let (inputs, outputs, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
    let (steps, panels) = (outputs * taps, inputs.div_ceil(ROWS));
    let mut packed = vec![[0.0; ROWS]; shape.groups * panels * steps];
    packed.par_chunks_exact_mut(steps).enumerate().for_each(|(panel, packed)| {
        let (group, first) = (panel / panels, panel % panels * ROWS);
        let rows = ROWS.min(inputs - first);
        let weight = &weight[group * outputs * inputs * taps..][..outputs * inputs * taps];
        for (output, weight) in weight.chunks_exact(inputs * taps).enumerate() {
            let weight = &weight[first * taps..(first + rows) * taps];
            for (row, weight) in weight.chunks_exact(taps).enumerate() {
                for (packed, weight) in packed[output..].iter_mut().step_by(outputs).zip(weight) {
                    packed[row] = *weight;
                }
            }
        }
    });
    packed
}
