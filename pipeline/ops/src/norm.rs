//! Batch normalisation, with the ReLU that follows it (Ioffe and Szegedy 2015).

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use crate::batch::{Batch, Data, check};
use crate::elementwise::{batch_tensor, positive, whole};
use crate::simd::{map, map2, sum, sum2};
use crate::tape::{Form, Inputs, record};

/// Statistics of a batch by channel, each `[C]`, for running averages.
#[derive(Clone, Debug)]
pub struct BatchStats {
    /// Mean.
    pub mean: Tensor,
    /// Unbiased variance; of a single value 0.
    pub var: Tensor,
}

/// Normalises `x`, `[N, C, H, W]`, by the statistics of the batch: `gamma * (x - mean) / sqrt(var + eps) + beta` with the
/// biased variance, `gamma` and `beta` `[C]`; `relu` cuts at zero.
///
/// # Errors
/// If shapes do not fit, `eps` is not a positive number, or a tensor is not F32 on the CPU.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<(Tensor, BatchStats)> {
    let batch = Batch::of(x, "batch_norm", "the input")?;
    let dims = batch.dims;
    let (scale, shift) = (channels(gamma, dims.c, "gamma")?, channels(beta, dims.c, "beta")?);
    let eps = epsilon(eps)?;
    let count = dims.plane() as f32;
    let data = batch.read()?;
    let mut out = crate::parallel::zeros(dims.elements());
    let planes = out.par_chunks_exact_mut(dims.plane()).zip(data.par_chunks_exact(dims.plane()));
    let moments: Vec<(f32, f32)> = planes
        .zip(scale.par_iter().zip(&shift))
        .map(|((out, x), (gamma, beta))| {
            let mean = sum(x, |x| x) / count;
            let var = sum(x, |x| (x - mean) * (x - mean)) / count;
            Affine::new(mean, var, *gamma, *beta, eps).apply(x, out, relu);
            (mean, var)
        })
        .collect();
    drop(data);
    let unbiased = if count > 1.0 { count / (count - 1.0) } else { 0.0 };
    let stats = BatchStats {
        mean: Tensor::from_iter(moments.iter().map(|(mean, _)| *mean), &Device::Cpu)?,
        var: Tensor::from_iter(moments.iter().map(|(_, var)| *var * unbiased), &Device::Cpu)?,
    };
    let state = State::new(batch, moments, &scale, &shift, eps, relu, true);
    Ok((state.record(out, &[x, gamma, beta])?, stats))
}

/// Normalises `x`, `[N, C, H, W]`, by given statistics `mean` and `var`, `[C]`, which are constants: no gradient flows
/// into them. Otherwise as [`batch_norm_train`].
///
/// # Errors
/// If shapes do not fit, `eps` is not a positive number, or a tensor is not F32 on the CPU.
pub fn batch_norm_eval(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<Tensor> {
    let batch = Batch::of(x, "batch_norm", "the input")?;
    let dims = batch.dims;
    let (scale, shift) = (channels(gamma, dims.c, "gamma")?, channels(beta, dims.c, "beta")?);
    let (mean, var) = (channels(mean, dims.c, "the mean")?, channels(var, dims.c, "the variance")?);
    let eps = epsilon(eps)?;
    let moments: Vec<(f32, f32)> = mean.into_iter().zip(var).collect();
    let mut out = crate::parallel::zeros(dims.elements());
    {
        let data = batch.read()?;
        out.par_chunks_exact_mut(dims.plane())
            .zip(data.par_chunks_exact(dims.plane()))
            .zip(moments.par_iter().zip(scale.par_iter().zip(&shift)))
            .for_each(|((out, x), ((mean, var), (gamma, beta)))| {
                Affine::new(*mean, *var, *gamma, *beta, eps).apply(x, out, relu);
            });
    }
    State::new(batch, moments, &scale, &shift, eps, relu, false).record(out, &[x, gamma, beta])
}

fn epsilon(eps: f64) -> Result<f32> {
    if !(eps > 0.0 && eps.is_finite()) {
        bail!("batch_norm: eps is {eps}, expected a positive number")
    }
    Ok(eps as f32)
}

/// One number per channel.
fn channels(tensor: &Tensor, count: usize, what: &'static str) -> Result<Vec<f32>> {
    if tensor.dims() != [count] {
        bail!("batch_norm: {what} has shape {:?}, expected [{count}]", tensor.dims())
    }
    check(tensor, "batch_norm", what)?;
    tensor.to_vec1()
}

/// What batch normalisation does with one channel.
#[derive(Clone, Copy)]
struct Affine {
    mean: f32,
    /// `1 / sqrt(var + eps)`.
    inverse: f32,
    factor: f32,
    offset: f32,
}

impl Affine {
    fn new(mean: f32, var: f32, gamma: f32, beta: f32, eps: f32) -> Self {
        let inverse = 1.0 / (var + eps).sqrt();
        let factor = gamma * inverse;
        Self { mean, inverse, factor, offset: beta - mean * factor }
    }

    fn apply(&self, x: &[f32], out: &mut [f32], relu: bool) {
        let Self { factor, offset, .. } = *self;
        if relu {
            map(out, x, |x| positive(factor * x + offset));
        } else {
            map(out, x, |x| factor * x + offset);
        }
    }

    /// Gradients of gamma and beta from that of the result; writes the gradient of `x` if wanted.
    ///
    /// With ReLU the gradient passes where the result was positive, which is computed once more: that is cheaper than to
    /// read it.
    fn backward(&self, x: &[f32], dy: &[f32], dx: Option<&mut [f32]>, relu: bool, train: bool) -> (f32, f32) {
        let Self { mean, inverse, factor, offset } = *self;
        let limit = if relu { 0.0 } else { f32::NEG_INFINITY };
        let passed = |x: f32, dy: f32| if factor * x + offset > limit { dy } else { 0.0 };
        let (dbeta, dgamma) = sum2(x, dy, |x, dy| {
            let dy = passed(x, dy);
            (dy, dy * (x - mean))
        });
        let dgamma = dgamma * inverse;
        if let Some(dx) = dx {
            if train {
                let count = x.len() as f32;
                let (constant, slope) = (dbeta / count, dgamma / count * inverse);
                map2(dx, x, dy, |x, dy| factor * (passed(x, dy) - constant - (x - mean) * slope));
            } else {
                map2(dx, x, dy, |x, dy| factor * passed(x, dy));
            }
        }
        (dgamma, dbeta)
    }
}

/// What the backward pass needs.
struct State {
    batch: Batch,
    channels: Vec<Affine>,
    relu: bool,
    /// The statistics are those of the batch, and depend on `x`.
    train: bool,
}

impl State {
    fn new(
        batch: Batch,
        moments: Vec<(f32, f32)>,
        gamma: &[f32],
        beta: &[f32],
        eps: f32,
        relu: bool,
        train: bool,
    ) -> Self {
        let affine = |((mean, var), (gamma, beta)): (_, (&f32, &f32))| Affine::new(mean, var, *gamma, *beta, eps);
        let channels = moments.into_iter().zip(gamma.iter().zip(beta)).map(affine).collect();
        Self { batch, channels, relu, train }
    }

    fn record(self, out: Vec<f32>, inputs: &[&Tensor]) -> Result<Tensor> {
        let inputs = Inputs::of(inputs);
        let wants_dx = inputs.wanted().first() == Some(&true);
        let state = Arc::new(self);
        record("batch_norm", Form::Batch(state.batch.dims), out, inputs, move |gradient| {
            state.backward(gradient, wants_dx)
        })
    }

    fn backward(&self, gradient: &Tensor, wants_dx: bool) -> Result<Vec<Option<Tensor>>> {
        let dims = self.batch.dims;
        let gradient = Batch::of(&whole(gradient)?, "batch_norm", "the gradient")?;
        let (x, dy): (Data<'_>, Data<'_>) = (self.batch.read()?, gradient.read()?);
        let planes = x.par_chunks_exact(dims.plane()).zip(dy.par_chunks_exact(dims.plane()));
        let planes = planes.zip(&self.channels);
        let mut dx = crate::parallel::zeros(if wants_dx { dims.elements() } else { 0 });
        let sums: Vec<(f32, f32)> = if wants_dx {
            dx.par_chunks_exact_mut(dims.plane())
                .zip(planes)
                .map(|(dx, ((x, dy), channel))| channel.backward(x, dy, Some(dx), self.relu, self.train))
                .collect()
        } else {
            planes.map(|((x, dy), channel)| channel.backward(x, dy, None, self.relu, self.train)).collect()
        };
        let dgamma = Tensor::from_iter(sums.iter().map(|(dgamma, _)| *dgamma), &Device::Cpu)?;
        let dbeta = Tensor::from_iter(sums.iter().map(|(_, dbeta)| *dbeta), &Device::Cpu)?;
        let dx = wants_dx.then(|| batch_tensor(dx, dims)).transpose()?;
        Ok(vec![dx, Some(dgamma), Some(dbeta)])
    }
}
