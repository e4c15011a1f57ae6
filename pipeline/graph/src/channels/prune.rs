//! Drops selected units everywhere.

use std::collections::{BTreeSet, HashSet};

use super::slices::Classes;
use super::{Groups, Selection, fix};
use crate::check::CheckErrors;
use crate::shape::{Facts, ShapeError, infer};
use crate::{Model, TensorError};

/// Why nothing was pruned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PruneError {
    /// The selection names what is not there.
    #[error("found unit {unit} of group {group} in the selection, expected {expected}")]
    NoSuchUnit {
        /// The group.
        group: usize,
        /// The unit.
        unit: usize,
        /// What there is.
        expected: String,
    },
    /// Nothing would be left.
    #[error("'{value}' would lose all its {count} channels on axis {axis}; keep at least one")]
    Empty {
        /// A value or initialiser.
        value: String,
        /// The axis.
        axis: usize,
        /// How many there are.
        count: usize,
    },
    /// The model is not the one the groups were made of.
    #[error("'{0}' is not what it was when the groups were made; make them anew")]
    Stale(String),
    /// An initialiser cannot be read.
    #[error("initialiser '{name}': {fault}")]
    Tensor {
        /// The initialiser.
        name: String,
        /// What is wrong with it.
        fault: TensorError,
    },
    /// A node cannot be told its new sizes.
    #[error("{node}: {fault}")]
    Node {
        /// The node.
        node: String,
        /// What is wrong.
        fault: String,
    },
    /// The result breaks the rules of the format: a fault of ours.
    #[error("pruning would break the graph: {0}")]
    Broken(#[from] CheckErrors),
    /// The result's shapes are impossible: a fault of ours.
    #[error("pruning would break shapes: {0}")]
    Shapes(#[from] ShapeError),
    /// A value has another size than its channels: a fault of ours.
    #[error("'{value}' would have {found} elements on axis {axis}, expected {expected}")]
    Size {
        /// The value.
        value: String,
        /// The axis.
        axis: usize,
        /// By shape inference.
        found: usize,
        /// By what was kept.
        expected: usize,
    },
}

/// What a selection leaves: which indices of which axes stay.
#[derive(Debug)]
pub struct Kept<'a> {
    classes: &'a Classes,
    dropped: HashSet<u32>,
}

/// What dropping the selected units leaves of each axis.
///
/// # Errors
/// The selection names what is not there.
pub fn kept<'a>(groups: &'a Groups, selection: &Selection) -> Result<Kept<'a>, PruneError> {
    Ok(Kept { classes: &groups.classes, dropped: dropped(groups, selection)? })
}

impl Kept<'_> {
    /// Whether the value's axes are known to us; those of lists of sizes and within a shuffle are not.
    fn follows(&self, value: &str) -> bool {
        self.classes.0.contains_key(value)
    }

    /// Names of all values and weights whose axes are followed, in their order.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> = self.classes.0.keys().map(String::as_str).collect();
        names.into_iter()
    }

    /// How many indices an axis has before; `None` where it is not followed.
    #[must_use]
    pub fn extent(&self, value: &str, axis: usize) -> Option<usize> {
        self.classes.of(value, axis).map(<[u32]>::len)
    }

    /// The indices that stay; `None` if the axis stays as it is.
    #[must_use]
    pub fn indices(&self, value: &str, axis: usize) -> Option<Vec<usize>> {
        let classes = self.classes.of(value, axis)?;
        let kept: Vec<_> = (0..classes.len()).filter(|&index| !self.dropped.contains(&classes[index])).collect();
        (kept.len() < classes.len()).then_some(kept)
    }
}

/// Drops the selected units from every weight, and adapts the nodes that say how many there are. On an error the model is
/// as it was.
///
/// # Errors
/// The selection does not fit the model or leaves nothing.
pub fn prune(model: &mut Model, groups: &Groups, selection: &Selection) -> Result<(), PruneError> {
    let facts = infer(model)?;
    let kept = kept(groups, selection)?;
    check_axes(&facts, &kept)?;
    let mut pruned = model.clone();
    for tensor in &mut pruned.graph_mut().initializer {
        let name = tensor.name().to_owned();
        for axis in 0..tensor.dims.len() {
            if let Some(indices) = kept.indices(&name, axis) {
                *tensor =
                    tensor.take(axis, &indices).map_err(|fault| PruneError::Tensor { name: name.clone(), fault })?;
            }
        }
    }
    fix::nodes(model, &mut pruned, &facts, &kept)?;
    let changed =
        |value: &str| (0..facts.get(value).rank().unwrap_or(0)).any(|axis| kept.indices(value, axis).is_some());
    pruned.graph_mut().value_info.retain(|value| !changed(value.name()));
    pruned.check()?;
    check_sizes(&infer(&pruned)?, &facts, &kept)?;
    *model = pruned;
    Ok(())
}

fn dropped(groups: &Groups, selection: &Selection) -> Result<HashSet<u32>, PruneError> {
    let mut dropped = HashSet::new();
    for (group, unit) in selection.iter() {
        let missing = |expected| PruneError::NoSuchUnit { group, unit, expected };
        let units = groups.groups.get(group).map(|group| &group.units);
        let units = units.ok_or_else(|| missing(format!("a group below {}", groups.groups.len())))?;
        let unit = units.get(unit).ok_or_else(|| missing(format!("a unit below {}", units.len())))?;
        dropped.insert(unit.class);
    }
    Ok(dropped)
}

/// The model must be the one the groups were made of, and every axis must keep something.
fn check_axes(facts: &Facts, kept: &Kept<'_>) -> Result<(), PruneError> {
    // Sorted, so that the same fault is told each time.
    let mut values: Vec<_> = kept.classes.0.iter().collect();
    values.sort_unstable_by_key(|(value, _)| *value);
    for (value, axes) in values {
        for (&axis, classes) in axes {
            let count = classes.len();
            if facts.get(value).dim(axis).and_then(crate::shape::Dim::size) != Some(count) {
                return Err(PruneError::Stale(value.clone()));
            }
            if kept.indices(value, axis).is_some_and(|indices| indices.is_empty()) {
                return Err(PruneError::Empty { value: value.clone(), axis, count });
            }
        }
    }
    Ok(())
}

/// What shape inference makes of the result is what we meant.
fn check_sizes(after: &Facts, before: &Facts, kept: &Kept<'_>) -> Result<(), PruneError> {
    for (value, fact) in before.iter() {
        for axis in 0..fact.rank().unwrap_or(0) {
            let expected = kept.indices(value, axis).map(|indices| indices.len());
            let expected = expected.or_else(|| fact.dim(axis).and_then(crate::shape::Dim::size));
            let found = after.get(value).dim(axis).and_then(crate::shape::Dim::size);
            if let (Some(found), Some(expected)) = (found, expected)
                && found != expected
                && kept.follows(value)
            {
                return Err(PruneError::Size { value: value.to_owned(), axis, found, expected });
            }
        }
    }
    Ok(())
}
