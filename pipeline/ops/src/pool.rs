//! Pooling: maximum and mean of windows, mean of whole maps.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::batch::{Batch, Dims};
use crate::conv::Axis;
use crate::elementwise::{batch_tensor, whole};
use crate::simd::update;
use crate::tape::{Form, Inputs, record};

/// Geometry of a pooling window, as in ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolParams {
    /// Extent of the window: rows, columns.
    pub kernel: [usize; 2],
    /// Positions between windows: rows, columns.
    pub stride: [usize; 2],
    /// Positions around the input that count for nothing: top, left, bottom, right.
    pub padding: [usize; 4],
    /// Positions between a window's taps: rows, columns.
    pub dilation: [usize; 2],
}

/// The greatest value of each window of `x`, `[N, C, H, W]`. The gradient goes to the first of equal values. A window of
/// padding only gives negative infinity.
///
/// # Errors
/// If `x` is not F32 `[N, C, H, W]` on the CPU, or a window does not fit.
pub fn max_pool2d(x: &Tensor, params: &PoolParams) -> Result<Tensor> {
    let batch = Batch::of(x, "max_pool2d", "the input")?;
    let windows = Windows::new("max_pool2d", batch.dims, params)?;
    let (input, output) = (windows.input, windows.output);
    let mut out = vec![f32::NEG_INFINITY; output.elements()];
    let mut chosen = vec![NOWHERE; output.elements()];
    {
        let data = batch.read()?;
        out.par_chunks_exact_mut(output.plane())
            .zip(chosen.par_chunks_exact_mut(output.plane()))
            .zip(data.par_chunks_exact(input.plane()))
            .for_each(|((out, chosen), x)| {
                windows.each(|at, from| choose(&mut out[at..], &mut chosen[at..], x, from, input.n));
            });
    }
    drop(batch);
    record("max_pool2d", Form::Batch(output), out, Inputs::of(&[x]), move |gradient| {
        let gradient = Batch::of(&whole(gradient)?, "max_pool2d", "the gradient")?;
        let dy = gradient.read()?;
        let mut dx = crate::parallel::zeros(input.elements());
        dx.par_chunks_exact_mut(input.plane())
            .zip(dy.par_chunks_exact(output.plane()))
            .zip(chosen.par_chunks_exact(output.plane()))
            .for_each(|((dx, dy), chosen)| {
                for (dy, at) in dy.iter().zip(chosen) {
                    if let Some(dx) = dx.get_mut(*at as usize) {
                        *dx += dy;
                    }
                }
            });
        Ok(vec![Some(batch_tensor(dx, input)?)])
    })
}

/// Chosen by a window that has seen nothing.
const NOWHERE: u32 = u32::MAX;

/// Lets the images of one input position compete for a window.
fn choose(out: &mut [f32], chosen: &mut [u32], x: &[f32], from: usize, images: usize) {
    let candidates = x[from..from + images].iter().zip(from as u32..);
    for ((out, chosen), (x, at)) in out.iter_mut().zip(chosen).zip(candidates) {
        // NaN wins, as it must not go unnoticed.
        let better = *x > *out || x.is_nan() || *chosen == NOWHERE;
        *out = if better { *x } else { *out };
        *chosen = if better { at } else { *chosen };
    }
}

/// The mean of each window of `x`, `[N, C, H, W]`; padding counts as zeros, or not at all.
///
/// # Errors
/// If `x` is not F32 `[N, C, H, W]` on the CPU, or a window does not fit.
pub fn avg_pool2d(x: &Tensor, params: &PoolParams, count_include_pad: bool) -> Result<Tensor> {
    let batch = Batch::of(x, "avg_pool2d", "the input")?;
    let windows = Windows::new("avg_pool2d", batch.dims, params)?;
    let (input, output) = (windows.input, windows.output);
    let shares = windows.shares(params, count_include_pad);
    let images = input.n;
    let mut out = crate::parallel::zeros(output.elements());
    {
        let data = batch.read()?;
        out.par_chunks_exact_mut(output.plane()).zip(data.par_chunks_exact(input.plane())).for_each(|(out, x)| {
            windows.each(|at, from| {
                let share = shares[at / images];
                update(&mut out[at..at + images], &x[from..from + images], |sum, x| sum + share * x);
            });
        });
    }
    record("avg_pool2d", Form::Batch(output), out, Inputs::of(&[x]), move |gradient| {
        let gradient = Batch::of(&whole(gradient)?, "avg_pool2d", "the gradient")?;
        let dy = gradient.read()?;
        let mut dx = crate::parallel::zeros(input.elements());
        dx.par_chunks_exact_mut(input.plane()).zip(dy.par_chunks_exact(output.plane())).for_each(|(dx, dy)| {
            windows.each(|at, from| {
                let share = shares[at / images];
                update(&mut dx[from..from + images], &dy[at..at + images], |sum, dy| sum + share * dy);
            });
        });
        Ok(vec![Some(batch_tensor(dx, input)?)])
    })
}

/// The mean of each map of `x`, `[N, C, H, W]`, as `[N, C, 1, 1]`, contiguous.
///
/// # Errors
/// If `x` is not F32 `[N, C, H, W]` on the CPU.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    let batch = Batch::of(x, "global_avg_pool", "the input")?;
    let Dims { n, c, h, w } = batch.dims;
    let share = 1.0 / (h * w) as f32;
    let mut out = vec![0.0; n * c];
    for (channel, x) in batch.read()?.chunks_exact(batch.dims.plane()).enumerate() {
        for image in x.chunks_exact(n) {
            for (out, x) in out[channel..].iter_mut().step_by(c).zip(image) {
                *out += share * x;
            }
        }
    }
    let dims = batch.dims;
    record("global_avg_pool", Form::Contiguous((n, c, 1, 1).into()), out, Inputs::of(&[x]), move |gradient| {
        let gradient = Batch::of(&whole(gradient)?, "global_avg_pool", "the gradient")?;
        let dy = gradient.read()?;
        let mut dx = crate::parallel::zeros(dims.elements());
        for (dx, dy) in dx.chunks_exact_mut(dims.plane()).zip(dy.chunks_exact(n)) {
            for image in dx.chunks_exact_mut(n) {
                for (dx, dy) in image.iter_mut().zip(dy) {
                    *dx = share * dy;
                }
            }
        }
        Ok(vec![Some(batch_tensor(dx, dims)?)])
    })
}

/// Which positions the windows read.
struct Windows {
    input: Dims,
    output: Dims,
    rows: Axis,
    columns: Axis,
}

impl Windows {
    fn new(op: &str, input: Dims, params: &PoolParams) -> Result<Self> {
        let PoolParams { kernel, stride, padding: [top, left, bottom, right], dilation } = *params;
        let rows = Axis::new(op, "row", input.h, kernel[0], stride[0], dilation[0], [top, bottom])?;
        let columns = Axis::new(op, "column", input.w, kernel[1], stride[1], dilation[1], [left, right])?;
        let output = Dims { h: rows.output(), w: columns.output(), ..input };
        Ok(Self { input, output, rows, columns })
    }

    /// For each window and position in it: where in an output channel and where in an input channel their images begin.
    fn each(&self, mut visit: impl FnMut(usize, usize)) {
        let n = self.input.n;
        for row in 0..self.output.h {
            for column in 0..self.output.w {
                let at = (row * self.output.w + column) * n;
                for from_row in self.rows.window(row) {
                    for from_column in self.columns.window(column) {
                        visit(at, (from_row.at * self.input.w + from_column.at) * n);
                    }
                }
            }
        }
    }

    /// What each position of a window contributes to its mean.
    fn shares(&self, params: &PoolParams, count_include_pad: bool) -> Vec<f32> {
        let positions = (0..self.output.h).flat_map(|row| (0..self.output.w).map(move |column| (row, column)));
        positions
            .map(|(row, column)| {
                let inside = self.rows.window(row).len() * self.columns.window(column).len();
                let count = if count_include_pad { params.kernel[0] * params.kernel[1] } else { inside };
                1.0 / count.max(1) as f32
            })
            .collect()
    }
}
