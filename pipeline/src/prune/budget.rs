//! What a model costs as a function of how many channels each group keeps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use takt_graph::Model;
use takt_graph::channels::Groups;
use takt_graph::cost::per_node;
use takt_graph::shape::ShapeError;

/// What is to shrink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Multiply-accumulates of one image.
    Macs,
    /// Weights.
    Parameters,
}

/// One weight: what it costs when whole, and what its axes depend on.
#[derive(Debug, Clone, PartialEq)]
struct Weight {
    cost: f64,
    axes: Vec<Axis>,
}

/// An axis of a weight that groups run through.
#[derive(Debug, Clone, PartialEq)]
struct Axis {
    extent: f64,
    /// Group, and how many indices of the axis one of its units takes.
    groups: Vec<(usize, f64)>,
}

/// Cost of a model by what its groups keep. Convolutions and matrices cost by the product of their axes.
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
        }
    }
}

impl Budget {
    /// Reads costs off a model and its groups.
    ///
    /// # Errors
    /// The model's shapes are impossible.
    pub fn new(model: &Model, groups: &Groups, measure: Measure) -> Result<Self, ShapeError> {
        let mut axes: BTreeMap<&str, BTreeMap<usize, Axis>> = BTreeMap::new();
        for (place, group) in groups.groups.iter().enumerate() {
            for (member, of) in group.members.iter().enumerate() {
                let tensor = model.graph().initializer_named(&of.initializer);
                let extent = tensor.and_then(|tensor| tensor.dims.get(of.axis)).map_or(0, |&extent| extent.max(0));
                let indices: usize =
                    group.units.iter().flat_map(|unit| &unit.slices[member]).map(ExactSizeIterator::len).sum();
                let axis = axes.entry(&of.initializer).or_default().entry(of.axis);
                let axis = axis.or_insert_with(|| Axis { extent: extent as f64, groups: Vec::new() });
                axis.groups.push((place, indices as f64 / group.units.len().max(1) as f64));
            }
        }
        let mut weights = Vec::new();
        let mut of_group = vec![Vec::new(); groups.groups.len()];
        for cost in per_node(model)? {
            let Some(node) = model.graph().node.get(cost.node) else { continue };
            let weight = node.input.iter().skip(1).find(|name| axes.contains_key(name.as_str()));
            let measured = match measure {
                Measure::Macs => cost.macs,
                Measure::Parameters => cost.parameters,
            };
            let axes = weight.and_then(|name| axes.get(name.as_str())).map(|axes| axes.values().cloned().collect());
            let axes: Vec<Axis> = axes.unwrap_or_default();
            for &(group, _) in axes.iter().flat_map(|axis| &axis.groups) {
                if of_group[group].last() != Some(&weights.len()) {
                    of_group[group].push(weights.len());
                }
            }
            weights.push(Weight { cost: measured as f64, axes });
        }
        let units = groups.groups.iter().map(|group| group.units.len()).collect();
        Ok(Self { measure, weights, of_group, units })
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

    fn cost_of(&self, weight: &Weight, kept: &[usize]) -> f64 {
        let share = |axis: &Axis| {
            let gone: f64 = axis
                .groups
                .iter()
                .map(|&(group, per_unit)| {
                    let units = self.units.get(group).copied().unwrap_or(0);
                    (units.saturating_sub(kept.get(group).copied().unwrap_or(units))) as f64 * per_unit
                })
                .sum();
            if axis.extent > 0.0 { (1.0 - gone / axis.extent).max(0.0) } else { 1.0 }
        };
        weight.cost * weight.axes.iter().map(share).product::<f64>()
    }
}
