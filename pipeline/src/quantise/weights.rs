//! Weights as the layers see them: one row per output channel, each with a scale of its own.

use serde::{Deserialize, Serialize};
use takt_graph::TensorError;
use takt_graph::onnx::TensorProto;

use super::grid::Grid;

/// How the scale of a channel's weights is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WeightScales {
    /// The largest weight is on the grid.
    MinMax,
    /// Least mean squared error; large weights may be clipped.
    Mse,
}

/// Weights of a layer, by output channel.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    /// Output channels, one after the other.
    pub values: Vec<f32>,
    /// Weights of one output channel.
    pub width: usize,
    /// As the initialiser has it.
    shape: Vec<usize>,
    /// Whether the initialiser holds output channels in its columns.
    turned: bool,
}

/// A layer's weights on their grids.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Quantised {
    /// Laid out as [`Rows::values`].
    pub integers: Vec<i8>,
    /// One per output channel.
    pub scales: Vec<f32>,
}

impl Rows {
    pub fn read(tensor: &TensorProto, channel_axis: usize) -> Result<Self, TensorError> {
        let shape = tensor.shape()?;
        let values = tensor.f32s()?;
        let turned = channel_axis != 0;
        let channels = shape.get(channel_axis).copied().unwrap_or(1).max(1);
        let width = values.len() / channels;
        let values = if turned { transpose(&values, width, channels) } else { values };
        Ok(Self { values, width, shape, turned })
    }

    pub fn channels(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// In the initialiser's layout.
    pub fn tensor(&self, name: &str, values: &[f32]) -> TensorProto {
        let laid = if self.turned { transpose(values, self.channels(), self.width) } else { values.to_vec() };
        TensorProto::from_f32(name, &self.shape, &laid)
    }

    /// In the initialiser's layout.
    pub fn integers(&self, name: &str, integers: &[i8]) -> TensorProto {
        let laid = if self.turned { transpose(integers, self.channels(), self.width) } else { integers.to_vec() };
        TensorProto::from_i8(name, &self.shape, &laid)
    }
}

fn transpose<T: Copy>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    (0..columns)
        .flat_map(|column| (0..rows).map(move |row| row * columns + column))
        .filter_map(|at| values.get(at).copied())
        .collect()
}

impl Quantised {
    /// What the integers stand for, by output channel.
    pub fn real(&self, width: usize) -> Vec<f32> {
        let rows = self.integers.chunks(width.max(1)).zip(&self.scales);
        rows.flat_map(|(row, scale)| row.iter().map(move |&integer| f32::from(integer) * scale)).collect()
    }
}

/// A scale for every channel. `least` is the smallest that a channel may have, so that its bias fits.
pub(super) fn scales(rows: &Rows, how: WeightScales, bound: i32, least: &dyn Fn(usize) -> f32) -> Vec<f32> {
    let each = rows.values.chunks(rows.width.max(1)).enumerate();
    each.map(|(channel, row)| {
        let largest = row.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let widest = Grid::symmetric(largest, (-bound, bound));
        let scale = match how {
            WeightScales::MinMax => widest.scale,
            WeightScales::Mse => least_squares(row, largest, bound),
        };
        scale.max(least(channel))
    })
    .collect()
}

/// Tries bounds from half the largest weight to all of it.
fn least_squares(row: &[f32], largest: f32, bound: i32) -> f32 {
    const STEPS: u8 = 40;
    let error = |grid: &Grid| row.iter().map(|&value| f64::from(value - grid.snap(value)).powi(2)).sum::<f64>();
    let grids = (0..STEPS)
        .map(|step| Grid::symmetric(largest * (1.0 - f32::from(step) / f32::from(2 * STEPS)), (-bound, bound)));
    let costs = grids.map(|grid| (grid.scale, error(&grid)));
    costs.reduce(|best, next| if next.1 < best.1 { next } else { best }).map_or(1.0, |(scale, _)| scale)
}

/// Every weight to the nearest integer.
pub(super) fn nearest(rows: &Rows, scales: &[f32], bound: i32) -> Vec<i8> {
    let each = rows.values.chunks(rows.width.max(1)).zip(scales);
    each.flat_map(|(row, &scale)| {
        let grid = Grid { scale, zero_point: 0, low: -bound, high: bound };
        row.iter().map(move |&value| i8::try_from(grid.quantise(value)).unwrap_or(0))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_with_channels_in_columns_are_turned_and_turned_back() {
        let tensor = TensorProto::from_f32("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let rows = Rows::read(&tensor, 1).unwrap();
        assert_eq!((rows.values.as_slice(), rows.width), (&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0][..], 2));
        assert_eq!(rows.tensor("w", &rows.values), tensor);
        assert_eq!(rows.integers("w", &[1, 4, 2, 5, 3, 6]).i8s().unwrap(), [1, 2, 3, 4, 5, 6]);
    }

    proptest! {
        #[test]
        fn the_least_squares_are_no_more_than_those_of_min_max(row in prop::collection::vec(-3.0_f32..3.0, 4..40), bound in prop::sample::select(vec![64, 127])) {
            let rows = Rows { width: row.len(), shape: vec![1, row.len()], turned: false, values: row };
            let error = |how| {
                let scales = scales(&rows, how, bound, &|_| 0.0);
                let quantised = Quantised { integers: nearest(&rows, &scales, bound), scales };
                let real = quantised.real(rows.width);
                rows.values.iter().zip(real).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()
            };
            let widest = error(WeightScales::MinMax);
            prop_assert!(error(WeightScales::Mse) <= widest * 1.000_001);
            let largest = rows.values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            // Half a step each.
            prop_assert!(widest <= rows.width as f64 * f64::from(0.5001 * largest / bound as f32).powi(2));
        }
    }
}
