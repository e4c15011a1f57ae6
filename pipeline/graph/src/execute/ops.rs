//! Stock candle under the signatures of the crate `takt-ops`, which is to take its place.

use candle_core::{D, Result, Tensor, bail};

/// A 2-d convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dParams {
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
    pub groups: usize,
}

/// A 2-d pooling window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolParams {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [usize; 4],
    pub dilation: [usize; 2],
}

/// Statistics of a batch, per channel.
#[derive(Debug, Clone)]
pub struct BatchStats {
    pub mean: Tensor,
    /// Unbiased.
    pub var: Tensor,
}

pub fn conv2d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, params: &Conv2dParams) -> Result<Tensor> {
    let [top, left, bottom, right] = params.padding;
    if params.stride[0] != params.stride[1] || params.dilation[0] != params.dilation[1] {
        bail!("stock candle has one stride and one dilation for both axes");
    }
    let (x, padding) = if [left, bottom, right] == [top; 3] {
        (x.clone(), top)
    } else {
        (x.pad_with_zeros(2, top, bottom)?.pad_with_zeros(3, left, right)?, 0)
    };
    let y = x.conv2d(weight, padding, params.stride[0], params.dilation[0], params.groups)?;
    match bias {
        Some(bias) => y.broadcast_add(&bias.reshape((1, (), 1, 1))?),
        None => Ok(y),
    }
}

fn affine_norm(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<Tensor> {
    let per_channel = |t: &Tensor| {
        let mut shape = vec![1; x.rank()];
        shape[1] = t.elem_count();
        t.reshape(shape)
    };
    let scale = (gamma / (var + eps)?.sqrt()?)?;
    let y = x
        .broadcast_sub(&per_channel(mean)?)?
        .broadcast_mul(&per_channel(&scale)?)?
        .broadcast_add(&per_channel(beta)?)?;
    if relu { y.relu() } else { Ok(y) }
}

pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<(Tensor, BatchStats)> {
    let channels_first = x.transpose(0, 1)?.flatten_from(1)?;
    let count = channels_first.dim(1)? as f64;
    let mean = channels_first.mean(1)?;
    let var = channels_first.broadcast_sub(&mean.unsqueeze(1)?)?.sqr()?.mean(1)?;
    let y = affine_norm(x, gamma, beta, &mean, &var, eps, relu)?;
    let var = (var.detach() * (count / (count - 1.0).max(1.0)))?;
    Ok((y, BatchStats { mean: mean.detach(), var }))
}

pub fn batch_norm_eval(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    eps: f64,
    relu: bool,
) -> Result<Tensor> {
    affine_norm(x, gamma, beta, mean, var, eps, relu)
}

pub fn relu(x: &Tensor) -> Result<Tensor> {
    x.relu()
}

pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    (a + b)?.relu()
}

/// What each place of the window sees of a padded image.
fn windows(x: &Tensor, params: &PoolParams) -> Result<Vec<Tensor>> {
    let (_, _, height, width) = x.dims4()?;
    let out = |size: usize, axis: usize| {
        let reach = (params.kernel[axis] - 1) * params.dilation[axis] + 1;
        match size.checked_sub(reach) {
            Some(room) => Ok(room / params.stride[axis] + 1),
            None => bail!("a window of {reach} does not fit into {size} elements"),
        }
    };
    let sizes = [out(height, 0)?, out(width, 1)?];
    let picks = |axis: usize, at: usize| {
        let start = at * params.dilation[axis];
        let indices: Vec<u32> = (0..sizes[axis]).map(|place| (start + place * params.stride[axis]) as u32).collect();
        Tensor::from_vec(indices, sizes[axis], x.device())
    };
    let mut seen = Vec::new();
    for row in 0..params.kernel[0] {
        let rows = x.index_select(&picks(0, row)?, 2)?;
        for column in 0..params.kernel[1] {
            seen.push(rows.index_select(&picks(1, column)?, 3)?);
        }
    }
    Ok(seen)
}

fn pad(x: &Tensor, padding: [usize; 4], value: f32) -> Result<Tensor> {
    let [top, left, bottom, right] = padding;
    let mut x = x.clone();
    for (axis, before, after) in [(2, top, bottom), (3, left, right)] {
        let beside = |count: usize| {
            let mut dims = x.dims().to_vec();
            dims[axis] = count;
            Tensor::full(value, dims, x.device())
        };
        if before + after > 0 {
            x = Tensor::cat(&[&beside(before)?, &x, &beside(after)?], axis)?;
        }
    }
    Ok(x)
}

pub fn max_pool2d(x: &Tensor, params: &PoolParams) -> Result<Tensor> {
    let seen = windows(&pad(x, params.padding, f32::MIN)?, params)?;
    let mut seen = seen.into_iter();
    let Some(first) = seen.next() else { bail!("a window without elements") };
    seen.try_fold(first, |most, next| most.maximum(&next))
}

pub fn avg_pool2d(x: &Tensor, params: &PoolParams, count_include_pad: bool) -> Result<Tensor> {
    let sum = |x: &Tensor| -> Result<Tensor> {
        let mut seen = windows(&pad(x, params.padding, 0.0)?, params)?.into_iter();
        let Some(first) = seen.next() else { bail!("a window without elements") };
        seen.try_fold(first, |sum, next| sum + next)
    };
    if count_include_pad || params.padding == [0; 4] {
        return sum(x)? / (params.kernel[0] * params.kernel[1]) as f64;
    }
    let count = sum(&x.narrow(0, 0, 1)?.narrow(1, 0, 1)?.ones_like()?)?;
    sum(x)?.broadcast_div(&count)
}

pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    x.mean_keepdim((D::Minus2, D::Minus1))
}

pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let y = x.matmul(&weight.t()?)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}
