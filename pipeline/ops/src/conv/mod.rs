//! Convolution of feature maps.

mod depthwise;
mod gather;
mod shape;
mod tile;
mod weight_gradient;
mod weights;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

pub(crate) use shape::Axis;
pub use shape::Conv2dParams;
use shape::ConvShape;

use crate::batch::{Batch, Data, check};
use crate::elementwise::{batch_tensor, whole};
use crate::tape::{Form, Inputs, record};
use gather::Gather;
use weights::Weights;

/// Convolution (cross-correlation, as in ONNX) of `x`, `[N, C, H, W]`, with `weight`, `[M, C/groups, kH, kW]`, plus
/// `bias`, `[M]`.
///
/// The result is `[N, M, H', W']` with `H' = (H + top + bottom - (kH - 1) * dilation - 1) / stride + 1`.
///
/// # Errors
/// If shapes do not fit each other or the parameters, or a tensor is not F32 on the CPU.
pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: &Conv2dParams) -> Result<Tensor> {
    let batch = Batch::of(x, "conv2d", "the input")?;
    let shape = ConvShape::new(batch.dims, weight, bias, params)?;
    check(weight, "conv2d", "the weight")?;
    let kept = weight.contiguous()?.detach();
    let bias_kept = bias.map(|bias| check(bias, "conv2d", "the bias").and_then(|()| bias.contiguous())).transpose()?;
    let out = {
        let (data, weight) = (batch.read()?, Data::of(&kept)?);
        let bias = bias_kept.as_ref().map(Data::of).transpose()?;
        forward(&data, &weight, bias.as_deref(), &shape)
    };
    let mut inputs = vec![x, weight];
    inputs.extend(bias);
    let inputs = Inputs::of(&inputs);
    let wanted = inputs.wanted();
    record("conv2d", Form::Batch(shape.output), out, inputs, move |gradient| {
        let gradient = Batch::of(&whole(gradient)?, "conv2d", "the gradient")?;
        let dy = gradient.read()?;
        let wants = |input: usize| wanted.get(input).is_some_and(|wanted| *wanted);
        let mut gradients = vec![None; wanted.len()];
        if wants(0) {
            let dx = input_gradient(&dy, &Data::of(&kept)?, &shape);
            gradients[0] = Some(batch_tensor(dx, shape.input)?);
        }
        if wants(1) {
            let dw = weight_gradient(&batch.read()?, &dy, &shape);
            gradients[1] = Some(Tensor::from_vec(dw, kept.shape(), &Device::Cpu)?);
        }
        if wants(2) {
            let db =
                dy.par_chunks_exact(shape.output.plane()).map(|dy| crate::simd::sum(dy, |v| v)).collect::<Vec<_>>();
            gradients[2] = Some(Tensor::from_vec(db, shape.output.c, &Device::Cpu)?);
        }
        Ok(gradients)
    })
}

fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, shape: &ConvShape) -> Vec<f32> {
    if shape.is_depthwise() {
        return depthwise::forward(x, weight, bias, shape);
    }
    let gather = Gather {
        source: shape.input,
        output: shape.output,
        groups: shape.groups,
        rows: &shape.rows,
        columns: &shape.columns,
        kernel: shape.kernel,
        weights: Weights::forward(weight, shape),
    };
    gather.run(x, bias)
}

fn input_gradient(dy: &[f32], weight: &[f32], shape: &ConvShape) -> Vec<f32> {
    if shape.is_depthwise() {
        return depthwise::input_gradient(dy, weight, shape);
    }
    let gather = Gather {
        source: shape.output,
        output: shape.input,
        groups: shape.groups,
        rows: &shape.rows.transposed(),
        columns: &shape.columns.transposed(),
        kernel: shape.kernel,
        weights: Weights::transposed(weight, shape),
    };
    gather.run(dy, None)
}

fn weight_gradient(x: &[f32], dy: &[f32], shape: &ConvShape) -> Vec<f32> {
    if shape.is_depthwise() {
        return depthwise::weight_gradient(x, dy, shape);
    }
    weight_gradient::weight_gradient(x, dy, shape)
}
