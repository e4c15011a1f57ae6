//! Depthwise convolution: each channel has one window of its own.

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::shape::ConvShape;
use super::tile::COLUMNS;

/// Elements of an output channel and of an input channel that one tap connects.
struct Span {
    tap: usize,
    output: usize,
    input: usize,
    len: usize,
}

/// Output rows in order, so that a row is in the cache while its taps pass.
fn spans(shape: &ConvShape) -> Vec<Span> {
    let n = shape.input.n;
    let mut spans: Vec<Span> = Vec::new();
    for row in 0..shape.output.h {
        for row_meeting in shape.rows.window(row) {
            for column_tap in 0..shape.kernel[1] {
                let tap = row_meeting.tap * shape.kernel[1] + column_tap;
                for column in 0..shape.output.w {
                    let window = shape.columns.window(column).iter();
                    for meeting in window.filter(|meeting| meeting.tap == column_tap) {
                        let output = (row * shape.output.w + column) * n;
                        let input = (row_meeting.at * shape.input.w + meeting.at) * n;
                        match spans.last_mut() {
                            Some(last)
                                if last.tap == tap
                                    && last.output + last.len == output
                                    && last.input + last.len == input =>
                            {
                                last.len += n;
                            }
                            _ => spans.push(Span { tap, output, input, len: n }),
                        }
                    }
                }
            }
        }
    }
    spans
}

pub(crate) fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    let spans = spans(shape);
    let mut out = vec![0.0; shape.output.elements()];
    out.par_chunks_exact_mut(shape.output.plane()).enumerate().for_each(|(channel, out)| {
        out.fill(bias.map_or(0.0, |bias| bias[channel]));
        let x = &x[channel * shape.input.plane()..(channel + 1) * shape.input.plane()];
        let weight = &weight[channel * shape.taps()..(channel + 1) * shape.taps()];
        Arch::new().dispatch(Scatter { from: x, to: out, weight, spans: &spans, read: |span: &Span| (span.input, span.output) });
    });
    out
}

pub(crate) fn input_gradient(dy: &[f32], weight: &[f32], shape: &ConvShape) -> Vec<f32> {
    let spans = spans(shape);
    let mut out = vec![0.0; shape.input.elements()];
    out.par_chunks_exact_mut(shape.input.plane()).enumerate().for_each(|(channel, out)| {
        let dy = &dy[channel * shape.output.plane()..(channel + 1) * shape.output.plane()];
        let weight = &weight[channel * shape.taps()..(channel + 1) * shape.taps()];
        Arch::new().dispatch(Scatter { from: dy, to: out, weight, spans: &spans, read: |span: &Span| (span.output, span.input) });
    });
    out
}

pub(crate) fn weight_gradient(x: &[f32], dy: &[f32], shape: &ConvShape) -> Vec<f32> {
    let spans = spans(shape);
    let mut out = vec![0.0; shape.output.c * shape.taps()];
    out.par_chunks_exact_mut(shape.taps()).enumerate().for_each(|(channel, out)| {
        let x = &x[channel * shape.input.plane()..(channel + 1) * shape.input.plane()];
        let dy = &dy[channel * shape.output.plane()..(channel + 1) * shape.output.plane()];
        Arch::new().dispatch(Correlate { x, dy, spans: &spans, out });
    });
    out
}

/// Adds weighted spans of `from` to `to`.
struct Scatter<'a, F> {
    from: &'a [f32],
    to: &'a mut [f32],
    weight: &'a [f32],
    spans: &'a [Span],
    /// Where a span is read and where it is written.
    read: F,
}

impl<F: Fn(&Span) -> (usize, usize)> WithSimd for Scatter<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for span in self.spans {
            let (from, to) = (self.read)(span);
            let weight = self.weight[span.tap];
            let (from, to) = (&self.from[from..from + span.len], &mut self.to[to..to + span.len]);
            for (to, from) in to.iter_mut().zip(from) {
                *to += weight * from;
            }
        }
    }
}

/// Sums products of spans by tap.
struct Correlate<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    spans: &'a [Span],
    /// One sum per tap.
    out: &'a mut [f32],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let mut sums = vec![[0.0f32; COLUMNS]; self.out.len()];
        for span in self.spans {
            let x = self.x[span.input..span.input + span.len].as_chunks::<COLUMNS>();
            let dy = self.dy[span.output..span.output + span.len].as_chunks::<COLUMNS>();
            let sums = &mut sums[span.tap];
            for (x, dy) in x.0.iter().zip(dy.0) {
                for ((sum, x), dy) in sums.iter_mut().zip(x).zip(dy) {
                    *sum += x * dy;
                }
            }
            for ((sum, x), dy) in sums.iter_mut().zip(x.1).zip(dy.1) {
                *sum += x * dy;
            }
        }
        for (out, sums) in self.out.iter_mut().zip(&sums) {
            *out = sums.iter().sum();
        }
    }
}
