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
    /// Each gamma once, though several groups may run through it.
    names: Vec<String>,
    /// For each channel: which elements of which gamma.
    channels: Vec<Vec<(usize, usize)>>,
}

impl Shrink {
    pub(super) fn new(sparsity: Sparsity, groups: &Groups) -> Self {
        let (mut names, mut channels) = (Vec::new(), Vec::new());
        for group in &groups.groups {
            let scales = group.members.iter().enumerate().filter(|(_, member)| member.role == Role::Scale);
            let scales: Vec<(usize, usize)> =
                scales.map(|(place, member)| (place, place_of(&mut names, &member.initializer))).collect();
            for unit in &group.units {
                let places = scales.iter().flat_map(|&(member, gamma)| {
                    unit.slices[member].iter().cloned().flatten().map(move |index| (gamma, index))
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

/// Where a gamma is listed, or is now.
fn place_of(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_owned());
        names.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use takt_graph::Model;
    use takt_graph::channels;
    use takt_graph::onnx::tensor_proto::DataType;
    use takt_graph::onnx::{GraphProto, NodeProto, TensorProto};
    use takt_graph::shape::{Dim, Fact};

    use super::*;

    /// Four channels behind one BatchNormalization, the halves of which two convolutions read.
    fn halves() -> Model {
        let conv = |name: &str, input: &str, output: &str| NodeProto::new("Conv", name, &[input, name], &[output]);
        let ones = |name: &str, shape: &[usize]| TensorProto::from_f32(name, shape, &vec![1.0; shape.iter().product()]);
        let value = |name: &str, channels: usize| {
            let dims = vec![Dim::symbol("batch"), channels.into(), Dim::from(4_usize), Dim::from(4_usize)];
            Fact::new(Some(DataType::Float), dims).declare(name)
        };
        let norm = ["maps", "gamma", "beta", "mean", "variance"];
        let graph = GraphProto {
            name: Some("halves".to_owned()),
            node: vec![
                conv("filters", "image", "maps"),
                NodeProto::new("BatchNormalization", "norm", &norm, &["normal"]),
                NodeProto::new("Split", "split", &["normal"], &["left", "right"]).with_int("axis", 1),
                conv("one", "left", "first"),
                conv("other", "right", "second"),
            ],
            input: vec![value("image", 3)],
            output: vec![value("first", 1), value("second", 1)],
            initializer: vec![
                ones("filters", &[4, 3, 1, 1]),
                ones("gamma", &[4]),
                ones("beta", &[4]),
                ones("mean", &[4]),
                ones("variance", &[4]),
                ones("one", &[1, 2, 1, 1]),
                ones("other", &[1, 2, 1, 1]),
            ],
            ..GraphProto::default()
        };
        Model::from_graph(graph, 17).unwrap()
    }

    #[test]
    fn a_gamma_that_two_groups_share_loses_what_each_takes() {
        let groups = channels::groups(&halves()).unwrap();
        assert_eq!(groups.groups.len(), 2);
        let gamma = Var::from_slice(&[0.5_f32, 2.0, 0.5, 2.0], 4, &Device::Cpu).unwrap();
        let vars = BTreeMap::from([("gamma".to_owned(), gamma.clone())]);
        Shrink::new(Sparsity { strength: 1.0 }, &groups).step(&vars, 1.0).unwrap();
        assert_eq!(gamma.as_tensor().to_vec1::<f32>().unwrap(), [0.0, 1.0, 0.0, 1.0]);
    }
}
