//! One run through a plan.

use candle_core::{DType, Result, Tensor, bail};
use takt_ops::{self as ops, BatchStats};

use super::kernel::{Binary, Kernel, Pick, Step, Unary};
use super::{ExecuteError, Executor, Mode};

/// What came out of a run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The graph's outputs, in its order.
    pub outputs: Vec<Tensor>,
    /// The tapped values, in the order of [`Options::taps`](super::Options::taps).
    pub taps: Vec<Tensor>,
    /// Place of a BatchNormalization, and the statistics it saw.
    pub(super) statistics: Vec<(usize, BatchStats)>,
}

pub(super) fn run(executor: &Executor, inputs: &[Tensor], mode: Mode) -> std::result::Result<Run, ExecuteError> {
    if inputs.len() != executor.inputs.len() {
        return Err(ExecuteError::Inputs { found: inputs.len(), expected: executor.inputs.len() });
    }
    let mut values = executor.given.clone();
    for ((name, slot), input) in executor.inputs.iter().zip(inputs) {
        if input.dtype() != DType::F32 {
            let fault = format!("found elements of {:?}, expected single precision", input.dtype());
            return Err(ExecuteError::Node { node: format!("input '{name}'"), fault });
        }
        values[*slot] = Some(input.clone());
    }
    let mut statistics = Vec::new();
    for (at, step) in executor.steps.iter().enumerate() {
        let made = outputs(executor, step, &values, mode, &mut statistics);
        let made = made.map_err(|cause| ExecuteError::Failed { node: step.label.clone(), cause })?;
        for (&slot, value) in step.outputs.iter().zip(made) {
            values[slot] = Some(value);
        }
        for &slot in step.inputs.iter().flatten() {
            if executor.last_use[slot] == Some(at) {
                values[slot] = None;
            }
        }
    }
    let take = |slots: &[usize]| {
        let value =
            |&slot: &usize| values[slot].clone().ok_or_else(|| ExecuteError::NoSuchValue(format!("slot {slot}")));
        slots.iter().map(value).collect::<std::result::Result<Vec<_>, _>>()
    };
    Ok(Run { outputs: take(&executor.outputs)?, taps: take(&executor.taps)?, statistics })
}

/// The values a step reads.
struct Inputs<'a> {
    step: &'a Step,
    values: &'a [Option<Tensor>],
}

impl<'a> Inputs<'a> {
    fn maybe(&self, at: usize) -> Option<&'a Tensor> {
        self.step.inputs.get(at).copied().flatten().and_then(|slot| self.values[slot].as_ref())
    }

    fn get(&self, at: usize) -> Result<&'a Tensor> {
        match self.maybe(at) {
            Some(value) => Ok(value),
            None => bail!("input {at} is missing"),
        }
    }
}

fn outputs(
    executor: &Executor,
    step: &Step,
    values: &[Option<Tensor>],
    mode: Mode,
    statistics: &mut Vec<(usize, BatchStats)>,
) -> Result<Vec<Tensor>> {
    let inputs = Inputs { step, values };
    if let Kernel::Split { axis, parts } = &step.kernel {
        let mut start = 0;
        return parts
            .iter()
            .map(|&part| {
                start += part;
                dense(inputs.get(0)?.narrow(*axis, start - part, part)?)
            })
            .collect();
    }
    let output = match &step.kernel {
        Kernel::BatchNorm { epsilon, activation, norm } => {
            let (x, gamma, beta) = (inputs.get(0)?, inputs.get(1)?, inputs.get(2)?);
            let Some(running) = executor.norms.get(*norm) else { bail!("no running statistics") };
            match mode {
                Mode::Eval => ops::batch_norm_eval(x, gamma, beta, &running.mean, &running.var, *epsilon, *activation)?,
                Mode::Train => {
                    let (y, stats) = ops::batch_norm_train(x, gamma, beta, *epsilon, *activation)?;
                    statistics.push((*norm, stats));
                    y
                }
            }
        }
        _ => one(&step.kernel, &inputs)?,
    };
    Ok(vec![output])
}

fn one(kernel: &Kernel, inputs: &Inputs<'_>) -> Result<Tensor> {
    let x = inputs.get(0)?;
    match kernel {
        Kernel::Conv(params) => ops::conv2d(x, inputs.get(1)?, inputs.maybe(2), params),
        Kernel::Unary(function) => unary(*function, x),
        Kernel::Binary(function) => binary(*function, x, inputs.get(1)?),
        Kernel::AddRelu => {
            let y = inputs.get(1)?;
            if x.dims() == y.dims() { ops::add_relu(x, y) } else { ops::relu(&x.broadcast_add(y)?) }
        }
        Kernel::Pow(exponent) if *exponent == 2.0 => x.sqr(),
        Kernel::Pow(exponent) => x.powf(*exponent),
        Kernel::FakeQuantize(levels) => ops::fake_quantize(x, inputs.get(1)?, levels),
        Kernel::MaxPool(params) => ops::max_pool2d(x, params),
        Kernel::AvgPool(params, count_padding) => ops::avg_pool2d(x, params, *count_padding),
        Kernel::GlobalAvgPool if x.rank() == 4 => ops::global_avg_pool(x),
        Kernel::GlobalAvgPool => x.mean_keepdim((2..x.rank()).collect::<Vec<_>>()),
        Kernel::ReduceMean { axes, keep } => reduce_mean(x, axes, *keep),
        Kernel::Flatten(axis) => {
            let rows: usize = x.dims()[..*axis].iter().product();
            x.reshape((rows, ()))
        }
        Kernel::Reshape(target) => reshape(x, target),
        Kernel::Squeeze(axes) => axes.iter().rev().try_fold(x.clone(), |x, &axis| x.squeeze(axis)),
        Kernel::Unsqueeze(axes) => axes.iter().try_fold(x.clone(), |x, &axis| x.unsqueeze(axis)),
        Kernel::Transpose(permutation) => x.permute(permutation.clone())?.contiguous(),
        Kernel::Concat(axis) => {
            let all = (0..inputs.step.inputs.len()).map(|at| inputs.get(at)).collect::<Result<Vec<_>>>()?;
            concat(&all, *axis)
        }
        Kernel::Slice(picks) => picks.iter().try_fold(x.clone(), |x, (axis, pick)| match pick {
            Pick::Range { start, length } => dense(x.narrow(*axis, *start, *length)?),
            Pick::List(indices) => x.contiguous()?.index_select(indices, *axis),
        }),
        Kernel::Gather { axis, indices } => x.contiguous()?.index_select(indices, *axis),
        Kernel::Pad(pads) => pad(x, pads),
        Kernel::Gemm { alpha, beta, turn_a, turn_b } => gemm(inputs, *alpha, *beta, *turn_a, *turn_b),
        Kernel::MatMul => x.contiguous()?.broadcast_matmul(&inputs.get(1)?.contiguous()?),
        Kernel::Softmax(axis) => {
            let exp = x.broadcast_sub(&x.max_keepdim(*axis)?.detach())?.exp()?;
            exp.broadcast_div(&exp.sum_keepdim(*axis)?)
        }
        Kernel::LayerNorm { axis, epsilon } => layer_norm(inputs, *axis, *epsilon),
        Kernel::BatchNorm { .. } | Kernel::Split { .. } => bail!("has outputs of its own"),
    }
}

/// Without gaps, in candle's order of axes or with the images innermost, as `takt-ops` wants it.
fn dense(x: Tensor) -> Result<Tensor> {
    if Order::of(&x)? == Order::ImagesInnermost { Ok(x) } else { x.contiguous() }
}

/// How the axes of a tensor follow each other in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// As its shape says.
    Plain,
    /// Maps with the images last, as `takt-ops` gives them.
    ImagesInnermost,
}

impl Order {
    fn of(x: &Tensor) -> Result<Self> {
        let innermost = x.rank() == 4 && x.permute((1, 2, 3, 0))?.is_contiguous();
        Ok(if innermost { Self::ImagesInnermost } else { Self::Plain })
    }

    /// The tensor with its axes in the order of memory and without gaps, from which candle makes another without gaps.
    fn stored(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Plain => x.contiguous(),
            Self::ImagesInnermost => x.permute((1, 2, 3, 0))?.contiguous(),
        }
    }

    /// Where an axis is found in [`Self::stored`].
    const fn axis(self, axis: usize) -> usize {
        match self {
            Self::Plain => axis,
            Self::ImagesInnermost => (axis + 3) % 4,
        }
    }

    /// Takes [`Self::stored`] back.
    fn viewed(self, stored: Tensor) -> Result<Tensor> {
        match self {
            Self::Plain => Ok(stored),
            Self::ImagesInnermost => stored.permute((3, 0, 1, 2)),
        }
    }
}

/// Joined as they lie: candle would bring maps with the images innermost into an order that no operation reads.
fn concat(all: &[&Tensor], axis: usize) -> Result<Tensor> {
    let mut order = Order::Plain;
    for x in all {
        if Order::of(x)? == Order::ImagesInnermost {
            order = Order::ImagesInnermost;
        }
    }
    let stored = all.iter().map(|x| order.stored(x)).collect::<Result<Vec<_>>>()?;
    order.viewed(Tensor::cat(&stored, order.axis(axis))?)
}

/// Zeros before and after each axis, added as the tensor lies.
fn pad(x: &Tensor, pads: &[(usize, usize)]) -> Result<Tensor> {
    let order = Order::of(x)?;
    let mut pads = pads.iter().enumerate();
    let padded = pads
        .try_fold(order.stored(x)?, |x, (axis, &(before, after))| x.pad_with_zeros(order.axis(axis), before, after))?;
    order.viewed(padded)
}

fn unary(function: Unary, x: &Tensor) -> Result<Tensor> {
    match function {
        Unary::Activation(activation) => ops::activate(x, activation),
        Unary::Tanh => x.tanh(),
        Unary::Erf => x.erf(),
        Unary::Sqrt => x.sqrt(),
        Unary::Exp => x.exp(),
        Unary::Log => x.log(),
        Unary::Neg => x.neg(),
        Unary::Abs => x.abs(),
        Unary::Reciprocal => x.recip(),
        Unary::Identity => Ok(x.clone()),
    }
}

fn binary(function: Binary, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match function {
        Binary::Add if a.dims() == b.dims() => ops::add(a, b),
        Binary::Add => a.broadcast_add(b),
        Binary::Sub => a.broadcast_sub(b),
        Binary::Mul if gates(a, b) => ops::gate(a, b),
        Binary::Mul if gates(b, a) => ops::gate(b, a),
        Binary::Mul => a.broadcast_mul(b),
        Binary::Div => a.broadcast_div(b),
        Binary::Min => a.broadcast_minimum(b),
        Binary::Max => a.broadcast_maximum(b),
    }
}

/// Whether `numbers` are one for each map of `maps`.
fn gates(maps: &Tensor, numbers: &Tensor) -> bool {
    matches!((maps.dims(), numbers.dims()), ([n, c, h, w], [images, channels, 1, 1]) if n == images && c == channels && h * w > 1)
}

/// Means over the image are pooling, however an exporter writes them.
fn reduce_mean(x: &Tensor, axes: &[usize], keep: bool) -> Result<Tensor> {
    let mean = if x.rank() == 4 && axes == [2, 3] { ops::global_avg_pool(x)? } else { x.mean_keepdim(axes)? };
    if keep { Ok(mean) } else { axes.iter().rev().try_fold(mean, |mean, &axis| mean.squeeze(axis)) }
}

fn reshape(x: &Tensor, target: &[i64]) -> Result<Tensor> {
    let mut dims = Vec::new();
    for (at, &size) in target.iter().enumerate() {
        dims.push(match (usize::try_from(size), x.dims().get(at)) {
            (Ok(0), Some(&copied)) => copied,
            (Ok(size), _) => size,
            // What the others leave.
            (Err(_), _) => 0,
        });
    }
    let rest: usize = target.iter().zip(&dims).filter(|&(&size, _)| size >= 0).map(|(_, &dim)| dim).product();
    for (dim, &size) in dims.iter_mut().zip(target) {
        if size < 0 {
            *dim = x.elem_count().checked_div(rest).unwrap_or(0);
        }
    }
    x.reshape(dims)
}

fn gemm(inputs: &Inputs<'_>, alpha: f64, beta: f64, turn_a: bool, turn_b: bool) -> Result<Tensor> {
    let (a, b, c) = (inputs.get(0)?, inputs.get(1)?, inputs.maybe(2));
    let a = if turn_a { a.t()?.contiguous()? } else { a.clone() };
    if turn_b && alpha == 1.0 && beta == 1.0 && c.is_none_or(|c| c.rank() == 1) {
        return ops::linear(&a, b, c);
    }
    let product = (a.matmul(&if turn_b { b.t()? } else { b.clone() })? * alpha)?;
    match c {
        Some(c) => product.broadcast_add(&(c * beta)?),
        None => Ok(product),
    }
}

fn layer_norm(inputs: &Inputs<'_>, axis: usize, epsilon: f64) -> Result<Tensor> {
    let x = inputs.get(0)?;
    let axes: Vec<usize> = (axis..x.rank()).collect();
    let centred = x.broadcast_sub(&x.mean_keepdim(axes.clone())?)?;
    let deviation = (centred.sqr()?.mean_keepdim(axes)? + epsilon)?.sqrt()?;
    let y = centred.broadcast_div(&deviation)?.broadcast_mul(inputs.get(1)?)?;
    match inputs.maybe(2) {
        Some(beta) => y.broadcast_add(beta),
        None => Ok(y),
    }
}
