//! Activations: functions of each element by itself, alone or behind [batch normalisation](crate::batch_norm_train).
//!
//! The backward pass computes the slope from the input anew: that is cheaper than to keep another tensor for it.

pub(crate) mod curve;
mod exp;

use candle_core::{Result, Tensor, bail};

pub(crate) use curve::{Behind, positive, pulls, values, with_curve};

use crate::elementwise::Flat;
use crate::parallel::{map_pieces, map2_pieces};
use crate::tape::{Inputs, record};

/// A function that layers end with. Where one has a kink, its derivative there is that of the flatter side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, low), high)`; ReLU6 has the bounds 0 and 6.
    Clamp {
        /// The lower bound.
        low: f32,
        /// The upper bound.
        high: f32,
    },
    /// `x`, and below zero `slope * x` (Maas et al. 2013).
    LeakyRelu {
        /// The slope below zero.
        slope: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x * sigmoid(x)`, also called Swish (Ramachandran et al. 2017).
    Silu,
    /// `min(max(slope * x + offset, 0), 1)`.
    HardSigmoid {
        /// The slope in the middle.
        slope: f32,
        /// The value at 0.
        offset: f32,
    },
    /// `x * min(max(x / 6 + 1/2, 0), 1)` (Howard et al. 2019).
    HardSwish,
    /// `x` times the share of the standard normal distribution below it (Hendrycks and Gimpel 2016), to an absolute 2e-7 of that
    /// share.
    Gelu,
}

impl Activation {
    const fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Clamp { .. } => "clamp",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Sigmoid => "sigmoid",
            Self::Silu => "silu",
            Self::HardSigmoid { .. } => "hard_sigmoid",
            Self::HardSwish => "hard_swish",
            Self::Gelu => "gelu",
        }
    }

    /// Refuses parameters that make no function.
    pub(crate) fn check(self) -> Result<()> {
        match self {
            Self::Clamp { low, high } if low.is_nan() || high.is_nan() || low > high => {
                bail!("clamp: the bounds are {low} and {high}, expected the lower one first")
            }
            Self::LeakyRelu { slope } if !slope.is_finite() => {
                bail!("leaky_relu: the slope is {slope}, expected a number")
            }
            Self::HardSigmoid { slope, offset } if !(slope.is_finite() && offset.is_finite()) => {
                bail!("hard_sigmoid: slope and offset are {slope} and {offset}, expected numbers")
            }
            _ => Ok(()),
        }
    }
}

/// Each element of `x`, of any shape, through the function.
///
/// # Errors
/// If `x` is not F32 on the CPU, or has gaps, or the function's parameters are not numbers in order.
pub fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    activation.check()?;
    let name = activation.name();
    let maps = Flat::of(x, name, "the input")?;
    let data = {
        let x = maps.read()?;
        with_curve!(Some(activation), curve => map_pieces(&x, |out, x| values(out, x, curve)))
    };
    record(name, maps.form(), data, Inputs::of(&[x]), move |gradient| {
        let gradient = maps.alike(gradient, name)?;
        let (x, dy) = (maps.read()?, gradient.read()?);
        let dx = with_curve!(Some(activation), curve => map2_pieces(&x, &dy, |dx, x, dy| pulls(dx, x, dy, curve)));
        Ok(vec![Some(maps.tensor(dx)?)])
    })
}

/// `max(x, 0)`, of any shape.
///
/// # Errors
/// As [`activate`].
pub fn relu(x: &Tensor) -> Result<Tensor> {
    activate(x, Activation::Relu)
}
