//! What a model costs as a function of how many channels each group keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::{Groups, Role};
use takt_graph::cost::{NodeCost, per_node};
use takt_graph::shape::ShapeError;

use crate::latency::Timed;

/// What is to shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Multiply-accumulates of one image.
    Macs,
    /// Weights; in INT8 about a byte each.
    Parameters,
    /// Time of one image in INT8 on this machine: microseconds, summed over convolutions and matrix products.
    Latency,
}

/// One node with weights: what it costs, and what the axes of its weight depend on.
#[derive(Debug, Clone, PartialEq)]
struct Weight {
    law: Law,
    axes: Vec<Axis>,
}

/// From what is kept of the axes to a cost.
#[derive(Debug, Clone, PartialEq)]
enum Law {
    /// This when whole, and the product of the axes' shares of it otherwise.
    Product(f64),
    /// As it was measured.
    Timed(Box<Timed>),
}

/// An axis of a weight that groups run through.
#[derive(Debug, Clone, PartialEq)]
struct Axis {
    role: Role,
    extent: f64,
    /// Group, and how many indices of the axis one of its units takes.
    groups: Vec<(usize, f64)>,
}

/// Cost of a model by what its groups keep.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    measure: Measure,
    weights: Vec<Weight>,
    /// Weights that a group changes.
    of_group: Vec<Vec<usize>>,
    units: Vec<usize>,
}

impl Measure {
    /// For messages.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Macs => "multiply-accumulates",
            Self::Parameters => "parameters",
            Self::Latency => "microseconds",
        }
    }
}

impl Budget {
    /// Multiply-accumulates of a model by what its groups keep.
    ///
    /// # Errors
    /// The model's shapes are impossible.
    pub fn macs(model: &Model, groups: &Groups) -> Result<Self, ShapeError> {
        Self::products(model, groups, Measure::Macs, |cost| cost.macs)
    }

    /// Its weights.
    ///
    /// # Errors
    /// The model's shapes are impossible.
    pub fn parameters(model: &Model, groups: &Groups) -> Result<Self, ShapeError> {
        Self::products(model, groups, Measure::Parameters, |cost| cost.parameters)
    }

    /// Its microseconds, from the measured layers of this model.
    #[must_use]
    pub fn latency(model: &Model, groups: &Groups, layers: Vec<Timed>) -> Self {
        let laws = layers.into_iter().map(|timed| (timed.node, Law::Timed(Box::new(timed))));
        Self::new(model, groups, Measure::Latency, laws)
    }

    fn products(
        model: &Model,
        groups: &Groups,
        measure: Measure,
        of: fn(&NodeCost) -> u64,
    ) -> Result<Self, ShapeError> {
        let costs = per_node(model)?;
        let laws = costs.iter().map(|cost| (cost.node, Law::Product(of(cost) as f64)));
        Ok(Self::new(model, groups, measure, laws))
    }

    fn new(model: &Model, groups: &Groups, measure: Measure, laws: impl Iterator<Item = (usize, Law)>) -> Self {
        let axes = axes(model, groups);
        let mut weights = Vec::new();
        let mut of_group = vec![Vec::new(); groups.groups.len()];
        for (node, law) in laws {
            let Some(node) = model.graph().node.get(node) else { continue };
            let weight = node.input.iter().skip(1).find_map(|name| axes.get(name.as_str()));
            let axes: Vec<Axis> = weight.map(|axes| axes.values().cloned().collect()).unwrap_or_default();
            for &(group, _) in axes.iter().flat_map(|axis| &axis.groups) {
                if of_group[group].last() != Some(&weights.len()) {
                    of_group[group].push(weights.len());
                }
            }
            weights.push(Weight { law, axes });
        }
        let units = groups.groups.iter().map(|group| group.units.len()).collect();
        Self { measure, weights, of_group, units }
    }

    /// What shrinks.
    #[must_use]
    pub const fn measure(&self) -> Measure {
        self.measure
    }

    /// Cost when each group keeps so many of its units.
    #[must_use]
    pub fn cost(&self, kept: &[usize]) -> f64 {
        self.weights.iter().map(|weight| self.cost_of(weight, kept)).sum()
    }

    /// What one group saves by keeping `fewer` units less than `kept` says.
    #[must_use]
    pub fn saved(&self, kept: &[usize], group: usize, fewer: usize) -> f64 {
        let Some(weights) = self.of_group.get(group) else { return 0.0 };
        let mut after = kept.to_vec();
        if let Some(kept) = after.get_mut(group) {
            *kept = kept.saturating_sub(fewer);
        }
        let weights = weights.iter().filter_map(|&weight| self.weights.get(weight));
        weights.map(|weight| self.cost_of(weight, kept) - self.cost_of(weight, &after)).sum()
    }

    /// Cost of the model as it is.
    #[must_use]
    pub fn whole(&self) -> f64 {
        self.cost(&self.units)
    }

    fn cost_of(&self, weight: &Weight, kept: &[usize]) -> f64 {
        match &weight.law {
            Law::Product(whole) => {
                let share = |axis| self.left(axis, kept) / f64::max(axis.extent, 1.0);
                whole * weight.axes.iter().map(share).product::<f64>()
            }
            Law::Timed(timed) => {
                let left = |role, whole: usize| {
                    let axis = weight.axes.iter().find(|axis| axis.role == role);
                    axis.map_or(whole as f64, |axis| self.left(axis, kept))
                };
                timed.at(left(Role::Inputs, timed.inputs), left(Role::Filters, timed.outputs))
            }
        }
    }

    /// Indices of an axis that are left.
    fn left(&self, axis: &Axis, kept: &[usize]) -> f64 {
        let gone = |&(group, per_unit): &(usize, f64)| {
            let units = self.units.get(group).copied().unwrap_or(0);
            (units.saturating_sub(kept.get(group).copied().unwrap_or(units))) as f64 * per_unit
        };
        (axis.extent - axis.groups.iter().map(gone).sum::<f64>()).max(0.0)
    }
}

/// The axes that groups run through, by initialiser and axis.
fn axes<'a>(model: &Model, groups: &'a Groups) -> BTreeMap<&'a str, BTreeMap<usize, Axis>> {
    let mut axes: BTreeMap<&str, BTreeMap<usize, Axis>> = BTreeMap::new();
    for (place, group) in groups.groups.iter().enumerate() {
        for (member, of) in group.members.iter().enumerate() {
            let tensor = model.graph().initializer_named(&of.initializer);
            let extent = tensor.and_then(|tensor| tensor.dims.get(of.axis)).map_or(0, |&extent| extent.max(0));
            let indices: usize =
                group.units.iter().flat_map(|unit| &unit.slices[member]).map(ExactSizeIterator::len).sum();
            let axis = axes.entry(&of.initializer).or_default().entry(of.axis);
            let axis = axis.or_insert_with(|| Axis { role: of.role, extent: extent as f64, groups: Vec::new() });
            axis.groups.push((place, indices as f64 / group.units.len().max(1) as f64));
        }
    }
    axes
}
