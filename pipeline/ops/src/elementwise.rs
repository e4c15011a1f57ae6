//! Sums, element by element, and what operations on each element by itself share.

use candle_core::{Device, Result, Tensor, bail};

use crate::activation::positive;
use crate::batch::{Batch, Data, Dims, check, in_order};
use crate::parallel::map2;
use crate::tape::{Form, Inputs, record};

/// `a + b`, of one shape.
///
/// # Errors
/// If the shapes differ, or an input is not F32 on the CPU, or has gaps.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (first, second) = pair(a, b, "add")?;
    let data = map2(&first.read()?, &second.read()?, |a, b| a + b);
    record("add", first.form(), data, Inputs::of(&[a, b]), |gradient| {
        Ok(vec![Some(gradient.clone()), Some(gradient.clone())])
    })
}

/// `max(a + b, 0)`, of one shape: the end of a residual block.
///
/// # Errors
/// If the shapes differ, or an input is not F32 on the CPU, or has gaps.
pub fn add_relu(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (first, second) = pair(a, b, "add_relu")?;
    let data = map2(&first.read()?, &second.read()?, |a, b| positive(a + b));
    record("add_relu", first.form(), data, Inputs::of(&[a, b]), move |gradient| {
        let (a, b, gradient) = (first.read()?, second.read()?, first.alike(gradient, "add_relu")?);
        // The sign of the sum is all that is needed of it, and its terms are there: no third tensor has to be kept.
        let sum = map2(&a, &b, |a, b| a + b);
        let dx = map2(&sum, &gradient.read()?, |sum, g| if sum > 0.0 { g } else { 0.0 });
        let dx = first.tensor(dx)?;
        Ok(vec![Some(dx.clone()), Some(dx)])
    })
}

/// `a + b` of two gradients.
pub(crate) fn sum_of(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.dims() != b.dims() || check(a, "sum", "a gradient").is_err() || check(b, "sum", "a gradient").is_err() {
        return a.add(b);
    }
    let (first, second) = (Flat::of(&whole(a)?, "sum", "a gradient")?, Flat::of(&whole(b)?, "sum", "a gradient")?);
    let (first, second) = first.and(second)?;
    let sum = map2(&first.read()?, &second.read()?, |a, b| a + b);
    first.tensor(sum)
}

/// The tensor itself if our kernels can read it, else a contiguous copy. Gradients of candle may be broadcast.
pub(crate) fn whole(tensor: &Tensor) -> Result<Tensor> {
    if in_order(tensor) { Ok(tensor.clone()) } else { tensor.contiguous() }
}

fn pair(a: &Tensor, b: &Tensor, op: &'static str) -> Result<(Flat, Flat)> {
    if a.dims() != b.dims() {
        bail!("{op}: the inputs have shapes {:?} and {:?}, expected the same", a.dims(), b.dims())
    }
    Flat::of(a, op, "the first input")?.and(Flat::of(b, op, "the second input")?)
}

/// Elements in whatever order they lie.
pub(crate) enum Flat {
    Contiguous(Tensor),
    Batch(Batch),
}

impl Flat {
    pub fn of(tensor: &Tensor, op: &'static str, what: &'static str) -> Result<Self> {
        check(tensor, op, what)?;
        if tensor.is_contiguous() {
            return Ok(Self::Contiguous(tensor.detach()));
        }
        if in_order(tensor) {
            return Ok(Self::Batch(Batch::of(tensor, op, what)?));
        }
        bail!(
            "{op}: {what} of shape {:?} has strides {:?}; call contiguous() on it first",
            tensor.dims(),
            tensor.stride()
        )
    }

    /// Both in one order.
    fn and(self, other: Self) -> Result<(Self, Self)> {
        match (self, other) {
            (Self::Contiguous(a), Self::Batch(b)) => {
                Ok((Self::Batch(Batch::of(&a, "sum", "an input")?), Self::Batch(b)))
            }
            (Self::Batch(a), Self::Contiguous(b)) => {
                Ok((Self::Batch(a), Self::Batch(Batch::of(&b, "sum", "an input")?)))
            }
            same => Ok(same),
        }
    }

    /// A gradient of this shape, in the same order.
    pub fn alike(&self, gradient: &Tensor, op: &'static str) -> Result<Self> {
        match self {
            Self::Contiguous(_) => Ok(Self::Contiguous(gradient.contiguous()?)),
            Self::Batch(_) => Ok(Self::Batch(Batch::of(&whole(gradient)?, op, "the gradient")?)),
        }
    }

    pub fn read(&self) -> Result<Data<'_>> {
        match self {
            Self::Contiguous(tensor) => Data::of(tensor),
            Self::Batch(batch) => batch.read(),
        }
    }

    pub fn form(&self) -> Form {
        match self {
            Self::Contiguous(tensor) => Form::Contiguous(tensor.shape().clone()),
            Self::Batch(batch) => Form::Batch(batch.dims),
        }
    }

    /// A tensor of this shape and order.
    pub fn tensor(&self, data: Vec<f32>) -> Result<Tensor> {
        match self {
            Self::Contiguous(tensor) => Tensor::from_vec(data, tensor.shape(), &Device::Cpu),
            Self::Batch(batch) => batch_tensor(data, batch.dims),
        }
    }
}

/// A tensor `[N, C, H, W]` of elements with the images innermost.
pub(crate) fn batch_tensor(data: Vec<f32>, dims: Dims) -> Result<Tensor> {
    Tensor::from_vec(data, (dims.c, dims.h, dims.w, dims.n), &Device::Cpu)?.permute((3, 0, 1, 2))
}
