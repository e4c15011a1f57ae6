//! Fully connected layer and the losses of classification: small next to convolutions, so candle's matrix product does.

use candle_core::{D, Result, Tensor, bail};

use crate::batch::check;
use crate::tape::{Form, Inputs, record};

/// `x`, `[N, K]`, times the transposed `weight`, `[M, K]`, plus `bias`, `[M]`; the result is `[N, M]`.
///
/// # Errors
/// If shapes do not fit, or a tensor is not F32 on the CPU.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (&[n, k], &[m, per_output]) = (x.dims(), weight.dims()) else {
        bail!("linear: shapes are {:?} and {:?}, expected [N, K] and [M, K]", x.dims(), weight.dims())
    };
    if k != per_output {
        bail!("linear: the input has shape {:?}, the weight {:?}; the second extents differ", x.dims(), weight.dims())
    }
    check(x, "linear", "the input")?;
    check(weight, "linear", "the weight")?;
    let (input, kept) = (x.detach(), weight.detach());
    let mut out = input.matmul(&kept.t()?)?;
    if let Some(bias) = bias {
        check(bias, "linear", "the bias")?;
        if bias.dims() != [m] {
            bail!("linear: the bias has shape {:?}, expected [{m}]", bias.dims())
        }
        out = out.broadcast_add(&bias.detach())?;
    }
    let out = out.flatten_all()?.to_vec1()?;
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    let has_bias = bias.is_some();
    record("linear", Form::Contiguous((n, m).into()), out, Inputs::of(&inputs), move |gradient| {
        let dx = gradient.matmul(&kept)?;
        let dw = gradient.t()?.matmul(&input)?;
        let mut gradients = vec![Some(dx), Some(dw)];
        if has_bias {
            gradients.push(Some(gradient.sum(0)?));
        }
        Ok(gradients)
    })
}

/// Mean over `N` of the cross entropy between `targets`, probabilities `[N, K]`, and the softmax of `logits`, `[N, K]`.
///
/// One-hot targets give the usual loss, a teacher's softened probabilities the loss of distillation (the Kullback-Leibler
/// divergence but for the targets' entropy, which is constant). No gradient flows into the targets.
///
/// # Errors
/// If the shapes differ or are empty, or a tensor is not F32 on the CPU.
pub fn cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    let &[n, k] = logits.dims() else {
        bail!("cross_entropy: the logits have shape {:?}, expected [N, K]", logits.dims())
    };
    if targets.dims() != [n, k] || n * k == 0 {
        bail!("cross_entropy: logits have shape {:?}, targets {:?}; expected the same", logits.dims(), targets.dims())
    }
    check(logits, "cross_entropy", "the logits")?;
    check(targets, "cross_entropy", "the targets")?;
    let targets = targets.detach();
    let shifted = logits.detach().broadcast_sub(&logits.detach().max_keepdim(D::Minus1)?)?;
    let log_softmax = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let loss = (targets.mul(&log_softmax)?.sum_all()?.to_scalar::<f32>()?) / -(n as f32);
    record("cross_entropy", Form::Contiguous(().into()), vec![loss], Inputs::of(&[logits]), move |gradient| {
        let scale = f64::from(gradient.reshape(())?.to_scalar::<f32>()?) / n as f64;
        // Rows of targets need not sum to one: weights of samples may be in them.
        let mass = targets.sum_keepdim(D::Minus1)?;
        let gradient = log_softmax.exp()?.broadcast_mul(&mass)?.sub(&targets)?;
        Ok(vec![Some((gradient * scale)?)])
    })
}
