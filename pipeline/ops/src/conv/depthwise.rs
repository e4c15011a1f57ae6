//! Depthwise convolution: each channel has one window of its own.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::shape::{Axis, ConvShape, Meeting};
use super::tile::COLUMNS;

/// For each result position the sources that its taps read.
struct Positions {
    /// Where in a source channel the images of each tap begin, by result position.
    sources: Vec<Vec<Meeting>>,
    images: usize,
}

impl Positions {
    /// `source_width` is the width of the maps that are read.
    fn new(rows: &Axis, columns: &Axis, source_width: usize, shape: &ConvShape) -> Self {
        let images = shape.input.n;
        let position = |row: usize, column: usize| {
            let taps = rows.window(row).iter().flat_map(|r| columns.window(column).iter().map(move |c| (r, c)));
            taps.map(|(row, column)| Meeting {
                tap: row.tap * shape.kernel[1] + column.tap,
                at: (row.at * source_width + column.at) * images,
            })
            .collect()
        };
        let all = (0..rows.output()).flat_map(|row| (0..columns.output()).map(move |column| (row, column)));
        Self { sources: all.map(|(row, column)| position(row, column)).collect(), images }
    }
}

pub(crate) fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    let positions = Positions::new(&shape.rows, &shape.columns, shape.input.w, shape);
    let mut out = crate::parallel::zeros(shape.output.elements());
    gather(x, weight, bias, &positions, &mut out, shape.output.c);
    out
}

pub(crate) fn input_gradient(dy: &[f32], weight: &[f32], shape: &ConvShape) -> Vec<f32> {
    let positions = Positions::new(&shape.rows.transposed(), &shape.columns.transposed(), shape.output.w, shape);
    let mut out = crate::parallel::zeros(shape.input.elements());
    gather(dy, weight, None, &positions, &mut out, shape.input.c);
    out
}

fn gather(from: &[f32], weight: &[f32], bias: Option<&[f32]>, positions: &Positions, out: &mut [f32], channels: usize) {
    let (plane, source, taps) = (out.len() / channels, from.len() / channels, weight.len() / channels);
    out.par_chunks_exact_mut(plane).enumerate().for_each(|(channel, out)| {
        let from = &from[channel * source..(channel + 1) * source];
        let weight = &weight[channel * taps..(channel + 1) * taps];
        let bias = bias.map_or(0.0, |bias| bias[channel]);
        Arch::new().dispatch(Gather { from, out, weight, bias, positions });
    });
}

pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], shape: &ConvShape) -> Vec<f32> {
    let positions = Positions::new(&shape.rows, &shape.columns, shape.input.w, shape);
    let mut out = crate::parallel::zeros(shape.output.c * shape.taps());
    out.par_chunks_exact_mut(shape.taps()).enumerate().for_each(|(channel, out)| {
        let x = &x[channel * shape.input.plane()..(channel + 1) * shape.input.plane()];
        let dy = &dy[channel * shape.output.plane()..(channel + 1) * shape.output.plane()];
        Arch::new().dispatch(Correlate { x, dy, positions: &positions, out });
    });
    out
}

/// Sums over the taps of one channel; the sums of sixteen images stay in registers.
struct Gather<'a> {
    from: &'a [f32],
    out: &'a mut [f32],
    weight: &'a [f32],
    bias: f32,
    positions: &'a Positions,
}

impl WithSimd for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let images = self.positions.images;
        for (out, sources) in self.out.chunks_exact_mut(images).zip(&self.positions.sources) {
            let (blocks, rest) = out.as_chunks_mut::<COLUMNS>();
            let whole = blocks.len() * COLUMNS;
            for (block, out) in blocks.iter_mut().enumerate() {
                let mut sums = [self.bias; COLUMNS];
                for source in sources {
                    let weight = self.weight[source.tap];
                    let from = &self.from[source.at + block * COLUMNS..][..COLUMNS];
                    for (sum, from) in sums.iter_mut().zip(from) {
                        *sum += weight * from;
                    }
                }
                *out = sums;
            }
            rest.fill(self.bias);
            for source in sources {
                let weight = self.weight[source.tap];
                for (out, from) in rest.iter_mut().zip(&self.from[source.at + whole..]) {
                    *out += weight * from;
                }
            }
        }
    }
}

/// Sums of products by tap.
struct Correlate<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    positions: &'a Positions,
    /// One sum per tap.
    out: &'a mut [f32],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let images = self.positions.images;
        let mut sums = vec![[0.0f32; COLUMNS]; self.out.len()];
        for (dy, sources) in self.dy.chunks_exact(images).zip(&self.positions.sources) {
            let (blocks, rest) = dy.as_chunks::<COLUMNS>();
            for source in sources {
                let (x, x_rest) = self.x[source.at..source.at + images].as_chunks::<COLUMNS>();
                let sums = &mut sums[source.tap];
                for (x, dy) in x.iter().zip(blocks) {
                    for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                        *sum += x * dy;
                    }
                }
                for ((sum, x), dy) in sums.iter_mut().zip(x_rest).zip(rest) {
                    *sum += x * dy;
                }
            }
        }
        for (out, sums) in self.out.iter_mut().zip(&sums) {
            *out = sums.iter().sum();
        }
    }
}
