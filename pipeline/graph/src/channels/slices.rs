//! Union-find over the elements of axes.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::Role;
use crate::shape::{Dim, Facts};

/// Axes with more elements are not followed, hence not pruned: the longest we know, of VGG's first dense layer, has 25,088.
const MAX_FOLLOWED: usize = 1 << 17;

/// An axis of a value or an initialiser.
pub(super) type Axis<'a> = (&'a str, usize);

/// Elements of all axes that rules have looked at, and which of them hang together.
pub(super) struct Slices<'a> {
    facts: &'a Facts,
    /// Where the elements of an axis lie in `parents`.
    rows: HashMap<Axis<'a>, Range<usize>>,
    parents: Vec<u32>,
    /// By representative: an index into `reasons`.
    locks: HashMap<u32, usize>,
    reasons: Vec<String>,
    pub roles: HashMap<Axis<'a>, Role>,
    /// Axes that the present node has accounted for.
    touched: HashSet<Axis<'a>>,
}

/// The class of each element of each axis, once all is tied.
#[derive(Debug, Clone, Default)]
pub(super) struct Classes(pub HashMap<String, HashMap<usize, Vec<u32>>>);

impl Classes {
    /// Classes of the elements of an axis, if it was followed.
    pub fn of(&self, value: &str, axis: usize) -> Option<&[u32]> {
        self.0.get(value).and_then(|axes| axes.get(&axis)).map(Vec::as_slice)
    }
}

impl<'a> Slices<'a> {
    pub fn new(facts: &'a Facts) -> Self {
        Self {
            facts,
            rows: HashMap::new(),
            parents: Vec::new(),
            locks: HashMap::new(),
            reasons: Vec::new(),
            roles: HashMap::new(),
            touched: HashSet::new(),
        }
    }

    /// The elements of an axis; `None` if there is at most one, or too many to be channels, or their number is not known.
    pub fn row(&mut self, axis: Axis<'a>) -> Option<Range<usize>> {
        if let Some(row) = self.rows.get(&axis) {
            return Some(row.clone());
        }
        let size =
            self.facts.get(axis.0).dim(axis.1).and_then(Dim::size).filter(|size| (2..=MAX_FOLLOWED).contains(size))?;
        let start = self.parents.len();
        // Ids are 32 bits; no network we could prune has as many channels.
        let ids = u32::try_from(start).ok()?..u32::try_from(start.checked_add(size)?).ok()?;
        self.parents.extend(ids);
        self.rows.insert(axis, start..start + size);
        Some(start..start + size)
    }

    pub fn rank(&self, value: &str) -> usize {
        self.facts.get(value).rank().unwrap_or(0)
    }

    /// The dimensions of a value, if it is known how many.
    pub fn dims(&self, value: &str) -> Option<&'a [Dim]> {
        self.facts.get(value).shape.as_deref()
    }

    /// The number of elements of an axis, if it is known.
    pub fn size(&self, axis: Axis<'_>) -> Option<usize> {
        self.facts.get(axis.0).dim(axis.1).and_then(Dim::size)
    }

    /// Marks an axis as accounted for by the present node.
    pub fn touch(&mut self, axis: Axis<'a>) {
        self.touched.insert(axis);
    }

    /// Ties two axes element by element. Where one is not known as well as the other, that one is left to be locked.
    pub fn tie(&mut self, left: Axis<'a>, right: Axis<'a>) {
        let (Some(a), Some(b)) = (self.row(left), self.row(right)) else { return };
        if a.len() == b.len() {
            a.zip(b).for_each(|(a, b)| self.unite(a, b));
            self.touch(left);
            self.touch(right);
        }
    }

    /// Ties an axis of a weight and says what it is.
    pub fn tie_as(&mut self, role: Role, weight: Axis<'a>, value: Axis<'a>) {
        self.tie(weight, value);
        self.roles.entry(weight).or_insert(role);
    }

    /// Ties all axes of two values of the same shape but those for which `but` holds.
    pub fn tie_all(&mut self, left: &'a str, right: &'a str, but: impl Fn(usize) -> bool) {
        for axis in (0..self.rank(left)).filter(|&axis| !but(axis)) {
            self.tie((left, axis), (right, axis));
        }
    }

    /// Ties an operand to the result it is broadcast to.
    pub fn tie_broadcast(&mut self, operand: &'a str, result: &'a str) {
        let (rank, result_rank) = (self.rank(operand), self.rank(result));
        for axis in 0..rank {
            if let Some(at) = (axis + result_rank).checked_sub(rank) {
                self.tie((operand, axis), (result, at));
            }
        }
        // An axis of the result that this operand repeats along is tied by another operand, or is locked.
    }

    /// Ties two elements.
    pub fn unite(&mut self, a: usize, b: usize) {
        let (Some(a), Some(b)) = (self.find(a), self.find(b)) else { return };
        let (root, child) = (a.min(b), a.max(b));
        if root != child {
            self.parents[child as usize] = root;
            if let Some(reason) = self.locks.remove(&child) {
                self.locks.entry(root).or_insert(reason);
            }
        }
    }

    fn find(&mut self, element: usize) -> Option<u32> {
        let mut at = *self.parents.get(element)?;
        while self.parents[at as usize] != at {
            let grandparent = self.parents[self.parents[at as usize] as usize];
            self.parents[at as usize] = grandparent;
            at = grandparent;
        }
        self.parents[element] = at;
        Some(at)
    }

    /// Locks elements.
    pub fn lock(&mut self, elements: Range<usize>, reason: &str) {
        self.reasons.push(reason.to_owned());
        let reason = self.reasons.len() - 1;
        for element in elements {
            if let Some(root) = self.find(element) {
                self.locks.entry(root).or_insert(reason);
            }
        }
    }

    /// Whether every element of the axis is locked already.
    pub fn is_locked(&mut self, axis: Axis<'a>) -> bool {
        let row = self.row(axis).unwrap_or_default();
        row.into_iter().all(|element| self.find(element).is_some_and(|root| self.locks.contains_key(&root)))
    }

    /// Locks every axis of `value`.
    pub fn lock_value(&mut self, value: &'a str, reason: &str) {
        for axis in 0..self.rank(value) {
            if let Some(row) = self.row((value, axis)) {
                self.lock(row, reason);
            }
        }
    }

    /// Ends a node: what it has not accounted for is locked.
    pub fn lock_untouched(&mut self, values: impl Iterator<Item = &'a str>, reason: &str) {
        for value in values {
            for axis in 0..self.rank(value) {
                if !self.touched.contains(&(value, axis))
                    && let Some(row) = self.row((value, axis))
                {
                    self.lock(row, reason);
                }
            }
        }
        self.touched.clear();
    }

    /// Why a class is locked.
    pub fn reason(&self, class: u32) -> Option<&str> {
        self.locks.get(&class).and_then(|&reason| self.reasons.get(reason)).map(String::as_str)
    }

    /// The class of each element of each axis.
    pub fn classes(&mut self) -> Classes {
        let rows: Vec<_> = self.rows.iter().map(|(&axis, row)| (axis, row.clone())).collect();
        let mut classes = Classes::default();
        for ((value, axis), row) in rows {
            let of_row = row.filter_map(|element| self.find(element)).collect();
            classes.0.entry(value.to_owned()).or_default().insert(axis, of_row);
        }
        classes
    }
}
