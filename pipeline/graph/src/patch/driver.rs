//! Applies what passes propose, and checks it.

use super::Patch;
use crate::Model;
use crate::check::CheckErrors;
use crate::onnx::ValueInfoProto;
use crate::shape::{Fact, Facts, ShapeError, infer};

/// One idea of how to change a graph.
pub trait Pass {
    /// Stable name, for messages.
    fn name(&self) -> &'static str;

    /// What to change; an empty patch if there is nothing to do. A pass is asked again until then.
    ///
    /// # Errors
    /// Says what cannot be read, such as an initialiser.
    fn propose(&self, model: &Model, facts: &Facts) -> Result<Patch, String>;
}

/// Why a pass was not carried out. The model is as it was before that pass's last proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// The pass itself failed.
    #[error("{pass}: {fault}")]
    Propose {
        /// The pass.
        pass: &'static str,
        /// What it said.
        fault: String,
    },
    /// The model it started from is impossible.
    #[error(transparent)]
    Shapes(#[from] ShapeError),
    /// The result breaks the rules of the format.
    #[error("{pass} would break the graph: {faults}")]
    Broken {
        /// The pass.
        pass: &'static str,
        /// What would be broken.
        faults: CheckErrors,
    },
    /// The result's shapes are impossible, or not what they were.
    #[error("{pass} would change shapes: {fault}")]
    ShapesChanged {
        /// The pass.
        pass: &'static str,
        /// Which.
        fault: String,
    },
    /// The caller's check refused the result.
    #[error("{pass} was refused: {fault}")]
    Refused {
        /// The pass.
        pass: &'static str,
        /// What the check said.
        fault: String,
    },
    /// A pass finds something to do for ever.
    #[error("{pass} found something to do {rounds} times and still does")]
    Endless {
        /// The pass.
        pass: &'static str,
        /// How often it was asked.
        rounds: usize,
    },
}

/// What was done: names of passes, and how many patches of each were taken.
pub type Report = Vec<(&'static str, usize)>;

/// More rounds than any of our passes needs: each settles in as many as its longest chain at worst, in two as a rule.
const MAX_ROUNDS: usize = 1000;

/// Runs `passes` one after the other, each until it has nothing to propose.
///
/// `check` sees the model before and after each patch and may refuse it: a pass that must not change numbers is held to
/// that by running both.
///
/// # Errors
/// A pass fails, or its result was refused. Patches taken before that stay.
pub fn run(
    model: &mut Model,
    passes: &[&dyn Pass],
    check: &mut dyn FnMut(&Model, &Model) -> Result<(), String>,
) -> Result<Report, PassError> {
    let mut facts = infer(model)?;
    let mut report = Report::new();
    for pass in passes {
        let name = pass.name();
        let mut taken = 0;
        loop {
            let patch = pass.propose(model, &facts).map_err(|fault| PassError::Propose { pass: name, fault })?;
            if patch.is_empty() {
                break;
            }
            if taken == MAX_ROUNDS {
                return Err(PassError::Endless { pass: name, rounds: taken });
            }
            let mut changed = model.clone();
            patch.apply(changed.graph_mut());
            changed.check().map_err(|faults| PassError::Broken { pass: name, faults })?;
            let shapes_changed = |fault| PassError::ShapesChanged { pass: name, fault };
            let changed_facts = infer(&changed).map_err(|error| shapes_changed(error.to_string()))?;
            same_shapes(&changed, &facts, &changed_facts).map_err(shapes_changed)?;
            check(model, &changed).map_err(|fault| PassError::Refused { pass: name, fault })?;
            (*model, facts) = (changed, changed_facts);
            taken += 1;
        }
        tracing::debug!(pass = name, patches = taken, "pass settled");
        report.push((name, taken));
    }
    Ok(report)
}

/// A check that takes everything, for passes whose effect is wanted or tested elsewhere.
///
/// # Errors
/// Never.
pub const fn no_check(_: &Model, _: &Model) -> Result<(), String> {
    Ok(())
}

/// Values that there were before have the sizes they had.
fn same_shapes(model: &Model, before: &Facts, after: &Facts) -> Result<(), String> {
    let graph = model.graph();
    let outputs = graph.output.iter().map(ValueInfoProto::name);
    for name in graph.node.iter().flat_map(|node| &node.output).map(String::as_str).chain(outputs) {
        let (old, new) = (before.get(name), after.get(name));
        if name.is_empty() || !differ(old, new) {
            continue;
        }
        return Err(format!("'{name}' was {old} and would be {new}"));
    }
    Ok(())
}

fn differ(old: &Fact, new: &Fact) -> bool {
    let (Some(old), Some(new)) = (&old.shape, &new.shape) else { return false };
    old.len() != new.len()
        || old.iter().zip(new).any(|(old, new)| old.known().zip(new.known()).is_some_and(|(old, new)| old != new))
}
