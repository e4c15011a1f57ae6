//! Group sparsity while training: channels that nobody needs are driven to zero before they are cut.
//!
//! The proximal step of the group lasso (Yuan and Lin 2006) on BatchNorm's gamma, over everything that hangs on a channel, as
//! dependency groups want it (Liu et al. 2017; Fang et al. 2023).

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use serde::{Deserialize, Serialize};
use takt_graph::channels::{Groups, Role};

use super::error::TrainError;

/// How strongly channels are pulled to zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sparsity {
    /// What a channel's norm loses per step, times the learning rate.
    pub strength: f64,
}

/// The gammas that belong together, by name.
pub(super) struct Shrink {
    strength: f64,
    names: Vec<String>,
    /// For each channel: which elements of which gamma.
    channels: Vec<Vec<(usize, usize)>>,
}

impl Shrink {
    pub(super) fn new(sparsity: Sparsity, groups: &Groups) -> Self {
        let (mut names, mut channels) = (Vec::new(), Vec::new());
        for group in &groups.groups {
            let scales: Vec<usize> =
                (0..group.members.len()).filter(|&member| group.members[member].role == Role::Scale).collect();
            let first = names.len();
            names.extend(scales.iter().map(|&member| group.members[member].initializer.clone()));
            for unit in &group.units {
                let places = scales.iter().enumerate().flat_map(|(at, &member)| {
                    unit.slices[member].iter().cloned().flatten().map(move |index| (first + at, index))
                });
                let places: Vec<_> = places.collect();
                if !places.is_empty() {
                    channels.push(places);
                }
            }
        }
        Self { strength: sparsity.strength, names, channels }
    }

    /// After a step of the optimiser: `gamma *= max(0, 1 - rate * strength * sqrt(n) / |gamma|)` per channel of n gammas.
    pub(super) fn step(&self, vars: &BTreeMap<String, Var>, rate: f64) -> Result<(), TrainError> {
        let mut gammas = Vec::with_capacity(self.names.len());
        for name in &self.names {
            gammas.push(match vars.get(name) {
                Some(var) => var.as_tensor().to_vec1::<f32>()?,
                None => Vec::new(),
            });
        }
        for places in &self.channels {
            let of = |gammas: &[Vec<f32>], &(gamma, index): &(usize, usize)| {
                gammas[gamma].get(index).copied().unwrap_or(0.0)
            };
            let norm = places.iter().map(|place| of(&gammas, place).powi(2)).sum::<f32>().sqrt();
            let pull = (rate * self.strength) as f32 * (places.len() as f32).sqrt();
            let keep = if norm > pull { 1.0 - pull / norm } else { 0.0 };
            for &(gamma, index) in places {
                if let Some(value) = gammas[gamma].get_mut(index) {
                    *value *= keep;
                }
            }
        }
        for (name, values) in self.names.iter().zip(gammas) {
            if let Some(var) = vars.get(name) {
                var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu)?)?;
            }
        }
        Ok(())
    }
}
