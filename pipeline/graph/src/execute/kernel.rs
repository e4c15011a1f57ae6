//! One step of a plan, with everything that is known before tensors are.

use candle_core::Tensor;
use takt_ops::{Activation, Conv2dParams, Levels, PoolParams};

/// A node, ready to run. Slots are places in the run's list of values.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// For messages.
    pub label: String,
    pub kernel: Kernel,
    pub inputs: Vec<Option<usize>>,
    pub outputs: Vec<usize>,
}

/// Element-wise functions of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Unary {
    Activation(Activation),
    Tanh,
    Erf,
    Sqrt,
    Exp,
    Log,
    Neg,
    Abs,
    Reciprocal,
    Identity,
}

/// Element-wise functions of two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

#[derive(Debug, Clone)]
pub(super) enum Kernel {
    Conv(Conv2dParams),
    /// `norm` is the place in the executor's running statistics.
    BatchNorm {
        epsilon: f64,
        activation: Option<Activation>,
        norm: usize,
    },
    Unary(Unary),
    Binary(Binary),
    AddRelu,
    /// Square, or whatever constant exponent.
    Pow(f64),
    /// Moves onto a grid whose step is the second input.
    FakeQuantize(Levels),
    MaxPool(PoolParams),
    AvgPool(PoolParams, bool),
    GlobalAvgPool,
    ReduceMean {
        axes: Vec<usize>,
        keep: bool,
    },
    Flatten(usize),
    /// 0 copies, -1 is the rest, as in ONNX.
    Reshape(Vec<i64>),
    Squeeze(Vec<usize>),
    Unsqueeze(Vec<usize>),
    Transpose(Vec<usize>),
    Concat(usize),
    Split {
        axis: usize,
        parts: Vec<usize>,
    },
    /// Axis and the indices that stay.
    Slice(Vec<(usize, Pick)>),
    Gather {
        axis: usize,
        indices: Tensor,
    },
    /// Zeros before and after each axis.
    Pad(Vec<(usize, usize)>),
    Gemm {
        alpha: f64,
        beta: f64,
        turn_a: bool,
        turn_b: bool,
    },
    MatMul,
    Softmax(usize),
    LayerNorm {
        axis: usize,
        epsilon: f64,
    },
}

/// Elements of an axis.
#[derive(Debug, Clone)]
pub(super) enum Pick {
    Range { start: usize, length: usize },
    List(Tensor),
}
