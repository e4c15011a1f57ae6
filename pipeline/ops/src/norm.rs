//! Batch normalisation, with the activation that follows it (Ioffe and Szegedy 2015).

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, bail};
use rayon::prelude::*;

use crate::activation::{Activation, Behind, pulls, values, with_curve};
use crate::batch::{Batch, Data, check};
use crate::elementwise::{batch_tensor, whole};
use crate::simd::{sum, sum2, update};
use crate::tape::{Form, Inputs, record};

/// Statistics of a batch by channel, each `[C]`, for running averages.
#[derive(Clone, Debug)]
pub struct BatchStats {
    /// Mean.
    pub mean: Tensor,
    /// Unbiased variance.
    pub var: Tensor,
}

/// Normalises `x`, `[N, C, H, W]`, by the statistics of the batch: `gamma * (x - mean) / sqrt(var + eps) + beta` with the
/// biased variance, `gamma` and `beta` `[C]`; each element then goes through the activation.
///
/// # Errors
/// If shapes do not fit, a channel has one value only, `eps` is not a positive number, a tensor is not F32 on the CPU, or the
/// activation's parameters are not numbers in order.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    activation: Option<Activation>,
) -> Result<(Tensor, BatchStats)> {
    activation.map_or(Ok(()), Activation::check)?;
    let batch = Batch::of(x, "batch_norm", "the input")?;
    let dims = batch.dims;
    // Less its mean it would be 0, whatever it is.
    if dims.plane() == 1 {
        bail!(
            "batch_norm: the input has shape {:?}, one value per channel, expected more to train on; give a larger batch or \
             larger images",
            x.dims()
        )
    }
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
            Affine::new(mean, var, *gamma, *beta, eps).apply(x, out, activation);
            (mean, var)
        })
        .collect();
    drop(data);
    let unbiased = count / (count - 1.0);
    let stats = BatchStats {
        mean: Tensor::from_iter(moments.iter().map(|(mean, _)| *mean), &Device::Cpu)?,
        var: Tensor::from_iter(moments.iter().map(|(_, var)| *var * unbiased), &Device::Cpu)?,
    };
    let state = State::new(batch, moments, &scale, &shift, eps, activation, true);
    Ok((state.record(out, &[x, gamma, beta])?, stats))
}

/// Normalises `x`, `[N, C, H, W]`, by given statistics `mean` and `var`, `[C]`, which are constants: no gradient flows
/// into them. Otherwise as [`batch_norm_train`].
///
/// # Errors
/// As [`batch_norm_train`].
pub fn batch_norm_eval(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    eps: f64,
    activation: Option<Activation>,
) -> Result<Tensor> {
    activation.map_or(Ok(()), Activation::check)?;
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
                Affine::new(*mean, *var, *gamma, *beta, eps).apply(x, out, activation);
            });
    }
    State::new(batch, moments, &scale, &shift, eps, activation, false).record(out, &[x, gamma, beta])
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

    fn apply(&self, x: &[f32], out: &mut [f32], activation: Option<Activation>) {
        let Self { factor, offset, .. } = *self;
        with_curve!(activation, curve => values(out, x, Behind { factor, offset, curve }));
    }

    /// Gradients of gamma and beta from `dy`, that of the result; leaves the gradient of `x` in `dx`, from wherever statistics
    /// depend on `x` (`train`) through them as well.
    fn backward(
        &self,
        x: &[f32],
        dy: &[f32],
        dx: &mut [f32],
        activation: Option<Activation>,
        train: bool,
    ) -> (f32, f32) {
        let Self { mean, inverse, factor, offset } = *self;
        // First the gradient before the activation: its slope is dear, and used twice.
        with_curve!(activation, curve => pulls(dx, x, dy, Behind { factor, offset, curve }));
        let (dbeta, dgamma) = sum2(x, dx, |x, dx| (dx, dx * (x - mean)));
        let dgamma = dgamma * inverse;
        if train {
            let count = x.len() as f32;
            let (constant, slope) = (dbeta / count, dgamma / count * inverse);
            update(dx, x, |dx, x| factor * (dx - constant - (x - mean) * slope));
        } else {
            update(dx, x, |dx, _| factor * dx);
        }
        (dgamma, dbeta)
    }
}

/// What the backward pass needs.
struct State {
    batch: Batch,
    channels: Vec<Affine>,
    activation: Option<Activation>,
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
        activation: Option<Activation>,
        train: bool,
    ) -> Self {
        let affine = |((mean, var), (gamma, beta)): (_, (&f32, &f32))| Affine::new(mean, var, *gamma, *beta, eps);
        let channels = moments.into_iter().zip(gamma.iter().zip(beta)).map(affine).collect();
        Self { batch, channels, activation, train }
    }

    fn record(self, out: Vec<f32>, inputs: &[&Tensor]) -> Result<Tensor> {
        let state = Arc::new(self);
        record("batch_norm", Form::Batch(state.batch.dims), out, Inputs::of(inputs), move |gradient| {
            state.backward(gradient)
        })
    }

    fn backward(&self, gradient: &Tensor) -> Result<Vec<Option<Tensor>>> {
        let dims = self.batch.dims;
        let gradient = Batch::of(&whole(gradient)?, "batch_norm", "the gradient")?;
        let (x, dy): (Data<'_>, Data<'_>) = (self.batch.read()?, gradient.read()?);
        let mut dx = crate::parallel::zeros(dims.elements());
        let sums: Vec<(f32, f32)> = dx
            .par_chunks_exact_mut(dims.plane())
            .zip(x.par_chunks_exact(dims.plane()).zip(dy.par_chunks_exact(dims.plane())))
            .zip(&self.channels)
            .map(|((dx, (x, dy)), channel)| channel.backward(x, dy, dx, self.activation, self.train))
            .collect();
        let dgamma = Tensor::from_iter(sums.iter().map(|(dgamma, _)| *dgamma), &Device::Cpu)?;
        let dbeta = Tensor::from_iter(sums.iter().map(|(_, dbeta)| *dbeta), &Device::Cpu)?;
        Ok(vec![Some(batch_tensor(dx, dims)?), Some(dgamma), Some(dbeta)])
    }
}
