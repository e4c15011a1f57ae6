//! Structural pruning: which channels hang together, and how to drop them everywhere at once.
//!
//! Every axis of every value and weight is a row of elements. Each node *ties* elements that must stay or go together: an
//! `Add` its operands, a convolution its filters and output channels, a depthwise one also its input. What no rule ties is
//! *locked*: spatial axes, the graph's inputs and outputs, everything an unknown operator sees. What hangs together is a
//! [unit](Unit); units that run through the same weights form a [group](Group). (Fang et al. 2023, "DepGraph: Towards Any
//! Structural Pruning", works on whole layers; slices make `Concat`, `Split` and shuffles exact.)

mod collect;
mod fix;
mod prune;
mod rules;
mod segments;
mod shuffle;
mod slices;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub use prune::{Kept, PruneError, kept, prune};

use crate::Model;
use crate::shape::ShapeError;
use slices::Classes;

/// What an axis of an initialiser is to its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A weight's axis of outputs: dropping an index drops a filter.
    Filters,
    /// A weight's axis of inputs: dropping an index drops what a filter reads of a channel.
    Inputs,
    /// A bias.
    Bias,
    /// BatchNormalization's gamma.
    Scale,
    /// BatchNormalization's beta.
    Shift,
    /// BatchNormalization's running mean.
    Mean,
    /// BatchNormalization's running variance.
    Variance,
    /// Scales and zero points of quantisation, and everything else that runs along.
    Other,
}

/// An axis of an initialiser that a group runs through.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The initialiser.
    pub initializer: String,
    /// The axis.
    pub axis: usize,
    /// What the axis is to its node.
    pub role: Role,
}

/// What can only be kept or dropped as a whole: a channel, with all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// For each member of the group: which indices of its axis.
    pub slices: Vec<Vec<Range<usize>>>,
    class: u32,
}

/// Units that run through the same axes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The axes, in the order of the graph's initialisers.
    pub members: Vec<Member>,
    /// The units, in the order of the first member's indices.
    pub units: Vec<Unit>,
}

/// An axis of a weight, some or all of which cannot be pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locked {
    /// The initialiser.
    pub initializer: String,
    /// The axis.
    pub axis: usize,
    /// How many of its indices.
    pub count: usize,
    /// The first reason found.
    pub reason: String,
}

/// All groups of a model, and what is locked. Belongs to the model it was made of, as it was then.
#[derive(Debug, Clone)]
pub struct Groups {
    /// What can be pruned.
    pub groups: Vec<Group>,
    /// What cannot, for people who ask why.
    pub locked: Vec<Locked>,
    classes: Classes,
}

/// Which units to drop, by group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection(BTreeMap<usize, BTreeSet<usize>>);

impl Selection {
    /// Drops nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops more units of a group; both are places in [`Groups::groups`] and [`Group::units`].
    #[must_use]
    pub fn drop_units(mut self, group: usize, units: impl IntoIterator<Item = usize>) -> Self {
        self.0.entry(group).or_default().extend(units);
        self
    }

    /// Group and unit of everything that is dropped.
    pub fn iter(&self) -> impl Iterator<Item = (usize, usize)> {
        self.0.iter().flat_map(|(&group, units)| units.iter().map(move |&unit| (group, unit)))
    }
}

/// Finds the groups of a model, which should be [clean](crate::clean::clean): shapes computed at run time lock what they
/// touch.
///
/// # Errors
/// The model's shapes are impossible.
pub fn groups(model: &Model) -> Result<Groups, ShapeError> {
    let facts = crate::shape::infer(model)?;
    let slices = rules::tie_all(model, &facts);
    Ok(collect::collect(model, slices))
}

#[cfg(test)]
mod tests;
