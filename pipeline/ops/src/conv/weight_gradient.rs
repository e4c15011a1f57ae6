//! The gradient of the weights: for each tap, output gradients times what the tap read, summed over positions and images.
//!
//! Both are transposed once into panels, positions outermost; all taps then read the same panels, shifted. Few input
//! channels would leave most of a panel empty: there, as in a network's first layer, panels hold channels and taps.
//! Threads divide the weights, not the images: no sums have to be merged, and results do not depend on their number.

use std::ops::Range;

use rayon::prelude::*;

use super::shape::{Axis, ConvShape};
use super::tile::{COLUMNS, Left, ROWS, Right, Run, Tile, multiply};
use crate::parallel::{pieces, split_columns};
use crate::scratch::{Pool, Scratch};

/// Steps between two passes over the taps: what they read of one right panel stays in the second-level cache.
const STEPS: usize = 512;

static LEFT: Pool<Left> = Pool::new();
static RIGHT: Pool<Right> = Pool::new();

/// `x` and `dy` with the images innermost; the result is `[M, C/groups, kH, kW]`.
pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], shape: &ConvShape) -> Vec<f32> {
    let (inputs, outputs, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
    let left = panels(&LEFT, dy, shape.output.plane(), outputs);
    let runs = Runs::of(shape);
    if inputs < COLUMNS / 2 && taps > 1 {
        return unfolded(x, &left, shape, &runs);
    }
    let right = panels(&RIGHT, x, shape.input.plane(), inputs);
    let panels = outputs.div_ceil(ROWS);
    let count = pieces(panels);
    let mut gradient = crate::parallel::zeros(shape.output.c * inputs * taps);
    let mut tasks = Vec::new();
    for (group, mut rest) in gradient.chunks_exact_mut(outputs * inputs * taps).enumerate() {
        for piece in 0..count {
            let range = panels * piece / count..panels * (piece + 1) / count;
            let rows = outputs.min(range.end * ROWS) - range.start * ROWS;
            let (rows, next) = rest.split_at_mut(rows * inputs * taps);
            tasks.push((group, range, rows));
            rest = next;
        }
    }
    tasks.into_par_iter().for_each(|(group, range, gradient)| {
        Task { shape, left: &left, right: &right, runs: &runs, group, panels: range }.run(gradient);
    });
    gradient
}

/// Some output channels of one group.
struct Task<'a> {
    shape: &'a ConvShape,
    left: &'a [Left],
    right: &'a [Right],
    runs: &'a Runs,
    group: usize,
    /// Left panels of the group.
    panels: Range<usize>,
}

impl Task<'_> {
    fn run(&self, gradient: &mut [f32]) {
        let (inputs, taps) = (self.shape.group_inputs(), self.shape.taps());
        let (left_steps, right_steps) = (self.shape.output.plane(), self.shape.input.plane());
        let first = self.group * self.shape.group_outputs().div_ceil(ROWS);
        let left = &self.left[(first + self.panels.start) * left_steps..(first + self.panels.end) * left_steps];
        let right_panels = inputs.div_ceil(COLUMNS);
        let right = &self.right[self.group * right_panels * right_steps..][..right_panels * right_steps];
        let count = self.panels.len();
        let mut tiles = vec![[[0.0; COLUMNS]; ROWS]; taps * count];
        for (panel, right) in right.chunks_exact(right_steps).enumerate() {
            tiles.fill([[0.0; COLUMNS]; ROWS]);
            for runs in &self.runs.chunks {
                for (tiles, runs) in tiles.chunks_exact_mut(count).zip(runs).filter(|(_, runs)| !runs.is_empty()) {
                    multiply(left, left_steps, right, runs, tiles);
                }
            }
            write(&tiles, count, taps, inputs, panel * COLUMNS, gradient);
        }
    }
}

/// With right panels of input channels and taps together, made for some output rows at a time.
fn unfolded(x: &[f32], left: &[Left], shape: &ConvShape, runs: &Runs) -> Vec<f32> {
    let (inputs, outputs, taps) = (shape.group_inputs(), shape.group_outputs(), shape.taps());
    let (columns, left_steps) = (inputs * taps, shape.output.plane());
    let panels = outputs.div_ceil(ROWS);
    let starts = (0..columns).step_by(COLUMNS);
    let bounds: Vec<usize> = starts.chain([columns]).collect();
    let mut gradient = crate::parallel::zeros(shape.output.c * columns);
    let parts = split_columns(&mut gradient, columns, &bounds);
    parts.into_par_iter().zip(&bounds).for_each(|(mut rows, first)| {
        let mut right: Vec<Right> = Vec::new();
        for (group, rows) in rows.chunks_exact_mut(outputs).enumerate() {
            let x = &x[group * inputs * shape.input.plane()..][..inputs * shape.input.plane()];
            let left = &left[group * panels * left_steps..][..panels * left_steps];
            let mut tiles = vec![[[0.0; COLUMNS]; ROWS]; panels];
            for (chunk, by_tap) in runs.chunks.iter().enumerate() {
                let start = chunk * runs.steps;
                let len = runs.steps.min(left_steps - start);
                right.clear();
                right.resize(len, [0.0; COLUMNS]);
                for (column, index) in (*first..columns.min(first + COLUMNS)).enumerate() {
                    let x = &x[index / taps * shape.input.plane()..][..shape.input.plane()];
                    for run in &by_tap[index % taps] {
                        let right = &mut right[run.left - start..][..run.len];
                        for (right, x) in right.iter_mut().zip(&x[run.right..run.right + run.len]) {
                            right[column] = *x;
                        }
                    }
                }
                multiply(left, left_steps, &right, &[Run { left: start, right: 0, len }], &mut tiles);
            }
            for (row, sums) in rows.iter_mut().zip(tiles.as_flattened()) {
                row.copy_from_slice(&sums[..row.len()]);
            }
        }
    });
    gradient
}

/// Writes tiles, by tap and row panel, into rows of `[inputs, taps]`, from input channel `first`.
fn write(tiles: &[Tile], panels: usize, taps: usize, inputs: usize, first: usize, gradient: &mut [f32]) {
    let width = COLUMNS.min(inputs - first);
    for (row, gradient) in gradient.chunks_exact_mut(inputs * taps).enumerate() {
        let gradient = &mut gradient[first * taps..(first + width) * taps];
        for (tap, tiles) in tiles.chunks_exact(panels).enumerate() {
            let sums = &tiles[row / ROWS][row % ROWS];
            for (gradient, sum) in gradient[tap..].iter_mut().step_by(taps).zip(sums) {
                *gradient = *sum;
            }
        }
    }
}

/// Channels, in groups of `per_group`, as panels of `WIDTH` channels side by side; the last of a group is filled up with
/// zeros.
fn panels<'a, const WIDTH: usize>(
    pool: &'a Pool<[f32; WIDTH]>,
    channels: &[f32],
    plane: usize,
    per_group: usize,
) -> Scratch<'a, [f32; WIDTH]>
where
    [f32; WIDTH]: Default,
{
    let groups = channels.len() / plane / per_group;
    let panels = per_group.div_ceil(WIDTH);
    let mut packed = pool.take(groups * panels * plane);
    packed.par_chunks_exact_mut(plane).enumerate().for_each(|(panel, packed)| {
        let (group, first) = (panel / panels, panel % panels * WIDTH);
        let count = WIDTH.min(per_group - first);
        if count < WIDTH {
            packed.fill([0.0; WIDTH]);
        }
        let channels = &channels[(group * per_group + first) * plane..][..count * plane];
        // A few lines of each channel at a time: planes are often a power of two apart and would evict each other.
        const STRIP: usize = 16;
        for (strip, packed) in packed.chunks_mut(STRIP).enumerate() {
            for (column, channel) in channels.chunks_exact(plane).enumerate() {
                for (packed, value) in packed.iter_mut().zip(&channel[strip * STRIP..]) {
                    packed[column] = *value;
                }
            }
        }
    });
    packed
}

/// Which steps of the left and right panels meet.
struct Runs {
    /// By chunk of output rows, then by tap.
    chunks: Vec<Vec<Vec<Run>>>,
    /// Steps of the left panel in a chunk; the last may have fewer.
    steps: usize,
}

impl Runs {
    fn of(shape: &ConvShape) -> Self {
        let per_row = shape.output.w * shape.output.n;
        let rows = (STEPS / per_row).max(1);
        let starts = (0..shape.output.h).step_by(rows);
        let chunks = starts.map(|start| {
            let rows = start..shape.output.h.min(start + rows);
            (0..shape.taps()).map(|tap| Self::of_tap(shape, rows.clone(), tap)).collect()
        });
        Self { chunks: chunks.collect(), steps: rows * per_row }
    }

    fn of_tap(shape: &ConvShape, rows: Range<usize>, tap: usize) -> Vec<Run> {
        let (row_tap, column_tap) = (tap / shape.kernel[1], tap % shape.kernel[1]);
        let n = shape.input.n;
        let mut runs: Vec<Run> = Vec::new();
        for (row, row_at) in meetings(&shape.rows, rows, row_tap) {
            for (column, column_at) in meetings(&shape.columns, 0..shape.output.w, column_tap) {
                let (left, right) = ((row * shape.output.w + column) * n, (row_at * shape.input.w + column_at) * n);
                match runs.last_mut() {
                    Some(last) if last.left + last.len == left && last.right + last.len == right => last.len += n,
                    _ => runs.push(Run { left, right, len: n }),
                }
            }
        }
        runs
    }
}

/// Outputs whose window reads something with this tap, and where.
fn meetings(axis: &Axis, outputs: Range<usize>, tap: usize) -> impl Iterator<Item = (usize, usize)> {
    outputs.filter_map(move |output| {
        let meeting = axis.window(output).iter().find(|meeting| meeting.tap == tap)?;
        Some((output, meeting.at))
    })
}
