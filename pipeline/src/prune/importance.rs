//! How much each channel matters.
//!
//! Scores of channels are only comparable where their weights are alike, so each group's scores are divided by their mean
//! (Fang et al. 2023, "DepGraph", normalises likewise).

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::{Group, Groups, Role};

use super::error::PruneStageError;
use super::taylor::Taylor;
use crate::quantise::integers;

/// By what a channel is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// Magnitude of BatchNormalization's gamma (Liu et al. 2017, "Network Slimming").
    #[default]
    Gamma,
    /// Sum of its weights' magnitudes (Li et al. 2017).
    L1,
    /// Root of its weights' squares.
    L2,
    /// By how much the loss would change, to the first order (Molchanov et al. 2019): see [`Taylor`].
    Taylor,
}

/// A score per group and unit; the mean of each group is 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Importance(pub Vec<Vec<f64>>);

impl Criterion {
    const fn label(self) -> &'static str {
        match self {
            Self::Gamma => "gamma",
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::Taylor => "taylor",
        }
    }

    /// Which parts of a channel count.
    pub(super) const fn counts(self, role: Role) -> bool {
        match self {
            Self::Gamma => matches!(role, Role::Scale),
            Self::L1 | Self::L2 => matches!(role, Role::Filters | Role::Inputs),
            // What is read of a channel is gone with it, but says the same a second time.
            Self::Taylor => matches!(role, Role::Filters | Role::Bias | Role::Scale | Role::Shift),
        }
    }
}

impl Importance {
    /// Scores every unit of every group. `taylor` is needed for [`Criterion::Taylor`] alone.
    ///
    /// # Errors
    /// The model is quantised or has not what the criterion needs, or a weight cannot be read.
    pub fn of(
        model: &Model,
        groups: &Groups,
        criterion: Criterion,
        taylor: Option<&Taylor>,
    ) -> Result<Self, PruneStageError> {
        in_single_precision(model)?;
        let missing = |needs, instead| PruneStageError::Criterion { criterion: criterion.label(), needs, instead };
        if criterion == Criterion::Taylor {
            let taylor = taylor.ok_or_else(|| missing("gradients", "gamma or l2"))?;
            return Ok(Self(taylor.scores().into_iter().map(normalised).collect()));
        }
        let mut scored = Vec::with_capacity(groups.groups.len());
        for group in &groups.groups {
            let mut scores = vec![0.0; group.units.len()];
            let mut any = false;
            for (place, member) in group.members.iter().enumerate().filter(|(_, member)| criterion.counts(member.role))
            {
                let Some(tensor) = model.graph().initializer_named(&member.initializer) else { continue };
                let (shape, values) = (tensor.shape()?, tensor.f32s()?);
                any |= !values.is_empty();
                let value = |at: usize| values.get(at).copied().map_or(0.0, f64::from);
                let amount = |at: usize| match criterion {
                    Criterion::L1 => value(at).abs(),
                    _ => value(at).powi(2),
                };
                add(group, place, &shape, amount, &mut scores);
            }
            if !any {
                return Err(missing("BatchNormalization on every channel", "l2 or taylor"));
            }
            if criterion != Criterion::L1 {
                scores.iter_mut().for_each(|score| *score = score.sqrt());
            }
            scored.push(normalised(scores));
        }
        Ok(Self(scored))
    }
}

/// Refuses a model of integers, of whose weights none can be dropped.
pub(crate) fn in_single_precision(model: &Model) -> Result<(), PruneStageError> {
    integers(model).map_or(Ok(()), |node| Err(PruneStageError::Quantised { node: node.label() }))
}

fn normalised(scores: Vec<f64>) -> Vec<f64> {
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    let mean = if mean > 0.0 { mean } else { 1.0 };
    scores.into_iter().map(|score| score / mean).collect()
}

/// Adds to each unit of a group what its elements of a member amount to. `amount` is told an element's place in the member's
/// tensor, which has this `shape`.
pub(super) fn add(group: &Group, place: usize, shape: &[usize], amount: impl Fn(usize) -> f64, scores: &mut [f64]) {
    let Some(member) = group.members.get(place) else { return };
    let (Some(&along), Some(after)) = (shape.get(member.axis), shape.get(member.axis + 1..)) else { return };
    let inner: usize = after.iter().product();
    // What each index of the axis amounts to.
    let mut of_index = vec![0.0; along];
    for at in 0..shape.iter().product() {
        of_index[at / inner % along] += amount(at);
    }
    for (unit, score) in group.units.iter().zip(scores) {
        let indices = unit.slices[place].iter().cloned().flatten();
        *score += indices.filter_map(|index| of_index.get(index)).sum::<f64>();
    }
}
