//! tract, the runtime that is always there: pure Rust, on the processor, one thread per session.
//!
//! Weights are held per *plan*, and optimising packs them anew for each one, so a plan per batch size would cost the model's
//! size again every time. Measured on ResNet-18 at 64x64, a plan with a free batch dimension is as fast as one made for the
//! size, except at batch 1, where it takes 30 % longer. Hence two plans: one for batch 1, one for every other size; and
//! sessions of the same file share them ([`shared`]).
//!
//! QDQ models run, in float arithmetic.

mod convert;
mod graph;
mod plan;
mod shared;

use std::sync::Arc;

use takt_artifact::Signature;
use tract_onnx::prelude::{TVec, TypedSimpleState};

use crate::{
    Backend, InputView, LoadError, LoadRequest, OutputTensor, Placement, Provider, RunError, Session, check, contain,
};
use plan::Plans;

/// Stable name of this runtime.
pub const NAME: &str = "tract";

/// The tract that is linked in; see `Cargo.toml`.
pub const VERSION: &str = "0.23.9";

/// The tract runtime. Cheap to make; keep one, since sessions of the same model file share weights through it.
#[derive(Debug, Default)]
pub struct TractBackend {
    loaded: shared::Loaded,
}

impl TractBackend {
    /// The runtime, with nothing loaded.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Backend for TractBackend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn version(&self) -> String {
        VERSION.to_owned()
    }

    fn load(&self, request: &LoadRequest) -> Result<Box<dyn Session>, LoadError> {
        let placement = placement(request)?;
        let plans = self.loaded.get_or_load(&request.model, || {
            let made = contain::panics(|| Plans::load(&request.model, &request.batch_sizes));
            made.unwrap_or_else(|panic| Err(refused(&request.model, panic)))
        })?;
        Ok(Box::new(TractSession { plans, states: Vec::new(), placement }))
    }
}

struct TractSession {
    plans: Arc<Plans>,
    /// One per plan used so far, by the plan's index.
    states: Vec<(usize, TypedSimpleState)>,
    placement: Placement,
}

impl Session for TractSession {
    fn signature(&self) -> &Signature {
        self.plans.signature()
    }

    fn placement(&self) -> &Placement {
        &self.placement
    }

    fn run(&mut self, inputs: &[InputView<'_>]) -> Result<Vec<OutputTensor>, RunError> {
        check::inputs(self.plans.signature(), inputs)?;
        let outcome = contain::panics(|| self.run_checked(inputs));
        if !matches!(outcome, Ok(Ok(_))) {
            // What a failed run left behind in a state is not worth guessing.
            self.states.clear();
        }
        outcome.unwrap_or_else(|panic| Err(RunError::Runtime(format!("tract failed to run the model: {panic}"))))
    }
}

impl TractSession {
    fn run_checked(&mut self, inputs: &[InputView<'_>]) -> Result<Vec<OutputTensor>, RunError> {
        let failed = |error: tract_onnx::prelude::TractError| {
            RunError::Runtime(format!("tract failed to run the model: {error:#}"))
        };
        let (index, plan) = self.plans.choose(inputs)?;
        let at = match self.states.iter().position(|(of, _)| *of == index) {
            Some(at) => at,
            None => {
                self.states.push((index, plan.spawn().map_err(failed)?));
                self.states.len() - 1
            }
        };
        let inputs = inputs.iter().map(convert::input).collect::<Result<TVec<_>, _>>()?;
        let outputs = self.states[at].1.run(inputs).map_err(failed)?;
        outputs
            .into_iter()
            .zip(&self.plans.signature().outputs)
            .map(|(value, spec)| convert::output(value, spec))
            .collect()
    }
}

fn placement(request: &LoadRequest) -> Result<Placement, LoadError> {
    let reason = "tract runs on the processor only";
    let asked = request.providers.iter().filter(|provider| !matches!(provider, Provider::Cpu(_)));
    let declined =
        asked.map(|provider| (provider.name(), format!("{}: {reason}", provider.name()))).collect::<Vec<_>>();
    if let Some((provider, _)) = declined.first().filter(|_| request.strict) {
        return Err(LoadError::Provider {
            provider: (*provider).to_owned(),
            reason: reason.to_owned(),
            remedy: "install an ONNX Runtime that has it (`takt doctor` shows which were found)".to_owned(),
        });
    }
    let declined = declined.into_iter().map(|(_, reason)| reason).collect();
    Ok(Placement { runtime: NAME, provider: NAME.to_owned(), declined, nodes: Vec::new() })
}

fn refused(path: &std::path::Path, reason: String) -> LoadError {
    LoadError::Model { path: path.to_owned(), runtime: NAME, reason }
}
