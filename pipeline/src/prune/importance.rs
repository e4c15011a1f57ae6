//! How much each channel matters.
//!
//! Scores of channels are only comparable where their weights are alike, so each group's scores are divided by their mean
//! (Fang et al. 2023, "DepGraph", normalises likewise).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::{Group, Groups, Member, Role};

use super::error::PruneStageError;

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
    /// Gradient times weight: by how much the loss would change (Molchanov et al. 2019).
    Taylor,
}

/// Sums of gradient times weight, by initialiser and element: see [`Criterion::Taylor`].
pub type Taylor = BTreeMap<String, Vec<f32>>;

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
    const fn counts(self, role: Role) -> bool {
        match self {
            Self::Gamma => matches!(role, Role::Scale),
            Self::L1 | Self::L2 => matches!(role, Role::Filters | Role::Inputs),
            Self::Taylor => matches!(role, Role::Filters | Role::Bias | Role::Scale | Role::Shift),
        }
    }
}

impl Importance {
    /// Scores every unit of every group. `taylor` is needed for [`Criterion::Taylor`] alone.
    ///
    /// # Errors
    /// The model has not what the criterion needs, or a weight cannot be read.
    pub fn of(
        model: &Model,
        groups: &Groups,
        criterion: Criterion,
        taylor: Option<&Taylor>,
    ) -> Result<Self, PruneStageError> {
        let missing = |needs, instead| PruneStageError::Criterion { criterion: criterion.label(), needs, instead };
        let mut scored = Vec::with_capacity(groups.groups.len());
        for group in &groups.groups {
            let mut scores = vec![0.0; group.units.len()];
            let mut any = false;
            for (place, member) in group.members.iter().enumerate().filter(|(_, member)| criterion.counts(member.role))
            {
                let values = match criterion {
                    Criterion::Taylor => {
                        let taylor = taylor.ok_or_else(|| missing("gradients", "gamma or l2"))?;
                        taylor.get(&member.initializer).cloned().unwrap_or_default()
                    }
                    _ => weight(model, member)?,
                };
                any |= !values.is_empty();
                add(model, group, place, member, &values, criterion, &mut scores);
            }
            if !any {
                return Err(missing("BatchNormalization on every channel", "l2 or taylor"));
            }
            if criterion != Criterion::L1 && criterion != Criterion::Taylor {
                scores.iter_mut().for_each(|score| *score = score.sqrt());
            }
            let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
            let mean = if mean > 0.0 { mean } else { 1.0 };
            scored.push(scores.into_iter().map(|score| score / mean).collect());
        }
        Ok(Self(scored))
    }
}

fn weight(model: &Model, member: &Member) -> Result<Vec<f32>, PruneStageError> {
    match model.graph().initializer_named(&member.initializer) {
        Some(tensor) => Ok(tensor.f32s()?),
        None => Ok(Vec::new()),
    }
}

/// Adds what a member says of each unit.
fn add(
    model: &Model,
    group: &Group,
    place: usize,
    member: &Member,
    values: &[f32],
    criterion: Criterion,
    scores: &mut [f64],
) {
    let dims =
        model.graph().initializer_named(&member.initializer).map(|tensor| tensor.dims.clone()).unwrap_or_default();
    let extent = |dims: &[i64]| dims.iter().map(|&dim| usize::try_from(dim).unwrap_or(0)).product::<usize>();
    let (Some(&along), Some(after)) = (dims.get(member.axis), dims.get(member.axis + 1..)) else { return };
    let (along, inner) = (usize::try_from(along).unwrap_or(0), extent(after));
    // What each index of the axis amounts to.
    let mut of_index = vec![0.0; along];
    if inner == 0 || along == 0 || values.len() != extent(&dims) {
        return;
    }
    for (row, chunk) in values.chunks_exact(inner).enumerate() {
        let sum: f64 = match criterion {
            Criterion::Gamma | Criterion::L2 => chunk.iter().map(|&value| f64::from(value).powi(2)).sum(),
            Criterion::L1 => chunk.iter().map(|&value| f64::from(value.abs())).sum(),
            Criterion::Taylor => chunk.iter().map(|&value| f64::from(value)).sum(),
        };
        of_index[row % along] += sum;
    }
    for (unit, score) in group.units.iter().zip(scores) {
        let indices = unit.slices[place].iter().cloned().flatten();
        let sum: f64 = indices.filter_map(|index| of_index.get(index)).sum();
        *score += if criterion == Criterion::Taylor { sum.abs() } else { sum };
    }
}
