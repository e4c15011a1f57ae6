//! Runs a graph on candle tensors, with weights that can be trained.
//!
//! The executor follows the graph and nothing else: what is trained is what was imported, and it goes back into the same
//! model. BatchNormalization uses statistics of the batch in [`Mode::Train`] and the running ones in [`Mode::Eval`];
//! updating these is a step of its own, so that re-estimating them needs no other code.

mod agree;
mod attributes;
mod compile;
mod error;
mod fuse;
mod kernel;
mod quantise;
mod run;
mod write;

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

pub use agree::same_numbers;
pub use error::ExecuteError;
pub use run::Run;
pub use takt_ops::backward;

use crate::Model;
use kernel::Step;

/// Whether BatchNormalization takes the batch's statistics or the running ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Statistics of the batch; they come out with the [`Run`].
    Train,
    /// Running statistics.
    Eval,
}

/// What an executor is built for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Weights are constants, as a teacher's are: no gradient is kept for them.
    pub frozen: bool,
    /// Values between that a run hands out beside the outputs.
    pub taps: Vec<String>,
}

/// A graph ready to run, in single precision on the processor.
#[derive(Debug, Clone)]
pub struct Executor {
    steps: Vec<Step>,
    inputs: Vec<(String, usize)>,
    outputs: Vec<usize>,
    taps: Vec<usize>,
    /// What every run starts with: weights and constants, by slot.
    given: Vec<Option<Tensor>>,
    /// After which step a slot is not needed any more; never, if the run hands it out.
    last_use: Vec<Option<usize>>,
    vars: BTreeMap<String, Var>,
    norms: Vec<Norm>,
}

/// Running statistics of one BatchNormalization.
#[derive(Debug, Clone)]
struct Norm {
    mean_name: String,
    var_name: String,
    mean: Tensor,
    var: Tensor,
}

impl Executor {
    /// Prepares a model, which should be [clean](crate::clean::clean). Every weight becomes a variable, unless `options`
    /// freeze them; running statistics and bounds never do.
    ///
    /// # Errors
    /// An operator or a use of one that is not supported, named with its node; shapes that cannot be; a tap that is no value
    /// of the graph.
    pub fn new(model: &Model, options: &Options) -> Result<Self, ExecuteError> {
        compile::compile(model, options)
    }

    /// The weights, by the names of their initialisers. Empty if frozen.
    #[must_use]
    pub const fn vars(&self) -> &BTreeMap<String, Var> {
        &self.vars
    }

    /// Names of the inputs, in the order [`Self::run`] takes them.
    pub fn inputs(&self) -> impl Iterator<Item = &str> {
        self.inputs.iter().map(|(name, _)| name.as_str())
    }

    /// Runs the graph. `inputs` are single precision, in the graph's order.
    ///
    /// # Errors
    /// The inputs do not fit, or a node fails on them.
    pub fn run(&self, inputs: &[Tensor], mode: Mode) -> Result<Run, ExecuteError> {
        run::run(self, inputs, mode)
    }

    /// Moves running statistics towards those of a run in [`Mode::Train`]: `running += share * (batch - running)`, with the
    /// unbiased variance, as PyTorch does; its default share is 0.1.
    ///
    /// # Errors
    /// The run is another executor's.
    pub fn update_statistics(&mut self, run: &Run, share: f64) -> Result<(), ExecuteError> {
        write::update_statistics(self, run, share)
    }

    /// Writes weights and running statistics into a model that has initialisers of these names and shapes.
    ///
    /// # Errors
    /// It has not.
    pub fn write_to(&self, model: &mut Model) -> Result<(), ExecuteError> {
        write::write_to(self, model)
    }
}

#[cfg(test)]
mod tests;
