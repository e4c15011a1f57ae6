//! Stochastic gradient descent with momentum, in place.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Mutex;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Device, InplaceOp1, Layout, Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::batch::{Data, check};
use crate::clip::clip;
use crate::parallel::PIECE;
use crate::simd::{update, update2};

/// How weights follow their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdOptions {
    /// Learning rate.
    pub learning_rate: f64,
    /// Share of the last step that is kept; 0 for none.
    pub momentum: f64,
    /// Look ahead along the momentum (Sutskever et al. 2013).
    pub nesterov: bool,
    /// Pull towards zero.
    pub weight_decay: f64,
    /// How much longer than its weights a gradient may be, per output channel of matrices and convolutions and per element of
    /// everything else (adaptive gradient clipping, Brock et al. 2021).
    pub clip: Option<f64>,
    /// Apply the decay to the weights, not to the gradients (Loshchilov and Hutter 2019).
    pub decoupled: bool,
}

impl Default for SgdOptions {
    fn default() -> Self {
        Self { learning_rate: 0.1, momentum: 0.9, nesterov: false, weight_decay: 0.0, clip: None, decoupled: false }
    }
}

/// Moves variables along their gradients, as PyTorch's `SGD` without dampening.
#[derive(Debug)]
pub struct Sgd {
    vars: Vec<(String, Var)>,
    /// One per variable; empty until its first gradient.
    momenta: Vec<Vec<f32>>,
    options: SgdOptions,
}

impl Sgd {
    /// `vars` are moved by [`Self::step`]; their names, each once, are those of [`Self::state`].
    ///
    /// # Errors
    /// If a variable is not F32 on the CPU and contiguous, a name appears twice, or an option is out of range.
    pub fn new(vars: Vec<(String, Var)>, options: SgdOptions) -> Result<Self> {
        for (index, (name, var)) in vars.iter().enumerate() {
            check(var, "sgd", "a variable")?;
            if !var.is_contiguous() {
                bail!("sgd: variable '{name}' is not contiguous")
            }
            if vars.iter().take(index).any(|(other, _)| other == name) {
                bail!("sgd: there are two variables '{name}'")
            }
        }
        let mut sgd = Self { momenta: vec![Vec::new(); vars.len()], vars, options };
        sgd.set_options(options)?;
        Ok(sgd)
    }

    /// The options in force.
    #[must_use]
    pub fn options(&self) -> &SgdOptions {
        &self.options
    }

    /// Changes options from the next step on, for schedules.
    ///
    /// # Errors
    /// If an option is negative or not finite, or Nesterov has no momentum.
    pub fn set_options(&mut self, options: SgdOptions) -> Result<()> {
        let SgdOptions { learning_rate, momentum, weight_decay, nesterov, clip, .. } = options;
        let named = [("learning rate", learning_rate), ("momentum", momentum), ("weight decay", weight_decay)];
        for (name, value) in named.into_iter().chain(clip.map(|clip| ("clipping", clip))) {
            if !(value >= 0.0 && value.is_finite()) {
                bail!("sgd: the {name} is {value}, expected zero or a positive number")
            }
        }
        if nesterov && momentum == 0.0 {
            bail!("sgd: Nesterov needs a momentum, which is 0")
        }
        self.options = options;
        Ok(())
    }

    /// Moves each variable that has a gradient.
    ///
    /// # Errors
    /// If no variable has a gradient, or a gradient has another shape than its variable.
    pub fn step(&mut self, gradients: &GradStore) -> Result<()> {
        let mut moved = self.vars.is_empty();
        for ((name, var), momentum) in self.vars.iter().zip(&mut self.momenta) {
            let Some(gradient) = gradients.get(var) else { continue };
            check(gradient, "sgd", "a gradient")?;
            if gradient.dims() != var.dims() {
                bail!("sgd: '{name}' has shape {:?}, its gradient {:?}", var.dims(), gradient.dims())
            }
            let gradient = gradient.contiguous()?;
            let gradient = Data::of(&gradient)?;
            let mut gradient = Cow::Borrowed(&*gradient);
            if let Some(most) = self.options.clip {
                let row = if var.rank() < 2 { 1 } else { var.elem_count() / var.dims()[0].max(1) };
                clip(&Data::of(var)?, gradient.to_mut(), row, most as f32);
            }
            var.inplace_op1(&Step { options: self.options, gradient: &gradient, momentum: Mutex::new(momentum) })?;
            moved = true;
        }
        if !moved {
            bail!("sgd: no variable has a gradient; were they computed with takt_ops::backward, from these variables?")
        }
        Ok(())
    }

    /// The momenta by the names of their variables, for checkpoints.
    ///
    /// # Errors
    /// None in practice: tensors are made on the CPU.
    pub fn state(&self) -> Result<HashMap<String, Tensor>> {
        let momenta = self.vars.iter().zip(&self.momenta).filter(|(_, momentum)| !momentum.is_empty());
        momenta
            .map(|((name, var), momentum)| Ok((name.clone(), Tensor::from_slice(momentum, var.shape(), &Device::Cpu)?)))
            .collect()
    }

    /// Takes up what [`Self::state`] gave. Variables without a momentum begin anew.
    ///
    /// # Errors
    /// If a momentum belongs to no variable or has another shape; nothing is changed then.
    pub fn restore(&mut self, state: &HashMap<String, Tensor>) -> Result<()> {
        let mut momenta = vec![Vec::new(); self.vars.len()];
        for (name, tensor) in state {
            let Some(index) = self.vars.iter().position(|(known, _)| known == name) else {
                bail!("sgd: the state has a momentum for '{name}', which is no variable of this optimiser")
            };
            if tensor.dims() != self.vars[index].1.dims() {
                bail!(
                    "sgd: the momentum of '{name}' has shape {:?}, the variable {:?}",
                    tensor.dims(),
                    self.vars[index].1.dims()
                )
            }
            check(tensor, "sgd", "a momentum")?;
            momenta[index] = tensor.flatten_all()?.to_vec1()?;
        }
        self.momenta = momenta;
        Ok(())
    }
}

struct Step<'a> {
    options: SgdOptions,
    gradient: &'a [f32],
    momentum: Mutex<&'a mut Vec<f32>>,
}

impl InplaceOp1 for Step<'_> {
    fn name(&self) -> &'static str {
        "sgd"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(weights), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
            bail!("sgd: the variable is not contiguous F32")
        };
        let weights = &mut weights[start..end];
        let rate = self.options.learning_rate as f32;
        let keep = self.options.momentum as f32;
        let decay = self.options.weight_decay as f32;
        // Decoupled decay shrinks the weight itself, the other kind is part of the gradient.
        let (shrink, pull) = if self.options.decoupled { (1.0 - rate * decay, 0.0) } else { (1.0, decay) };
        let pieces = weights.par_chunks_mut(PIECE).zip(self.gradient.par_chunks(PIECE));
        if keep == 0.0 {
            pieces.for_each(|(weights, gradient)| update(weights, gradient, |w, g| shrink * w - rate * (g + pull * w)));
            return Ok(());
        }
        let mut momentum = self.momentum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        momentum.resize(self.gradient.len(), 0.0);
        let nesterov = self.options.nesterov;
        pieces.zip(momentum.par_chunks_mut(PIECE)).for_each(|((weights, gradient), momentum)| {
            update2(weights, momentum, gradient, |weight, momentum, gradient| {
                let gradient = gradient + pull * *weight;
                *momentum = keep * *momentum + gradient;
                let step = if nesterov { gradient + keep * *momentum } else { *momentum };
                *weight = shrink * *weight - rate * step;
            });
        });
        Ok(())
    }
}
