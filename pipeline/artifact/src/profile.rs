//! `profile.json`: what normal looks like, the reference that drift is measured against.
//!
//! Features are single-precision numbers, so edges are too: an edge survives JSON bit for bit, and a value that lay on
//! it when the reference was made lies on it when it is served. How PSI, KS and their verdicts follow from the counts
//! is the monitor's matter; this file only fixes what is counted where.

mod check;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use crate::VersionDigest;
use crate::fault::{self, Document, DocumentError, Fault};

/// Schema number of profiles that this code reads and writes.
pub const SCHEMA: u32 = 1;

/// The segment for products that have none of their own.
pub const ANY_SEGMENT: &str = "*";

/// Fewest panes from which a null distribution gives a p-value.
pub const MIN_NULL_PANES: usize = 200;

/// A drift reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Model name.
    pub model: String,
    /// When it was made or frozen, RFC 3339 UTC.
    pub created: String,
    /// Where it came from.
    pub origin: Origin,
    /// The version whose outputs it describes. Absent from a packaged profile: a package cannot hold its own digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<VersionDigest>,
    /// File of the artefact whose answers these are. Another one's are not compared with them: quantisation moves scores
    /// near 1 further, in rank, than most drift does. Absent where the profile is of one version as it was served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artefact: Option<String>,
    /// sha256 of the reference data, lower-case hex; published with every figure made from this profile.
    pub reference_sha256: String,
    /// References by product or recipe; [`ANY_SEGMENT`] takes what has none of its own. At most 256.
    pub segments: BTreeMap<String, Segment>,
}

/// Where a reference came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Made from reference data when the version was packaged.
    Packaged,
    /// Learned on the line, then frozen.
    Learned,
}

/// The reference of one product or recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Independent units (parts, or frames thinned to one per decorrelation time) by station: the station mix that
    /// the monitor reweights to the current one. Reference data without stations stands under one name.
    pub units: BTreeMap<String, u64>,
    /// Features by name.
    pub features: BTreeMap<String, Feature>,
}

/// The reference of one feature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Feature {
    /// What is counted where.
    pub bins: Bins,
    /// Counts by station; the reference is their sum, weighted by the mix of stations.
    pub counts: BTreeMap<String, Counts>,
    /// What PSI and KS do while nothing is wrong; absent where the reference data has no time order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null: Option<NullPanes>,
}

/// What is counted where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bins {
    /// Numbers.
    Grid(Grid),
    /// Classes, one slot each.
    Categories(Vec<String>),
}

/// The fixed grid of a numeric feature. Edges `e_0 < e_1 < ...` make one slot more than there are edges: below `e_0`,
/// `[e_i, e_{i+1})`, and from the last edge up. An atom, a single value v with a share of its own, has the slot
/// `[v, next_up(v))`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Slot edges, finite and increasing: the deduplicated reference quantiles.
    pub edges: Vec<f32>,
    /// Indices into `edges` of the PSI bin edges, increasing. A bin is a run of whole slots, so PSI from slot counts
    /// is exact.
    pub psi_edges: Vec<usize>,
}

/// How often each slot was hit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// One count per slot or class. Infinities count in the end slots.
    pub slots: Vec<u64>,
    /// Missing values (NaN, not computed), in no slot.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// How many of the first slot's were -inf.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub neg_inf: u64,
    /// How many of the last slot's were +inf.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pos_inf: u64,
}

/// PSI and KS of held-out reference panes in the order of time, which carries the autocorrelation of the line.
/// `p = (1 + #{null >= observed}) / (1 + N)`, from [`MIN_NULL_PANES`] panes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NullPanes {
    /// How long each pane was.
    pub pane: Pane,
    /// PSI of each pane.
    pub psi: Vec<f32>,
    /// Lower bound of the KS distance of each pane, as published.
    pub ks: Vec<f32>,
}

/// Length of a pane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pane {
    /// A number of units.
    Units(NonZeroU64),
    /// A number of seconds.
    Seconds(NonZeroU64),
}

impl Profile {
    /// Reads and checks a profile.
    ///
    /// # Errors
    /// A newer or missing schema, then the first fault of form, then all faults of meaning together.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        fault::read(bytes)
    }

    /// As `profile.json`: one line of JSON per file, as counts make it long. The same profile gives the same bytes.
    ///
    /// # Errors
    /// Its faults, so that what is written can be read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DocumentError> {
        fault::write_line(self)
    }

    /// The segment of a product: its own, else [`ANY_SEGMENT`].
    #[must_use]
    pub fn segment(&self, product: &str) -> Option<&Segment> {
        self.segments.get(product).or_else(|| self.segments.get(ANY_SEGMENT))
    }
}

impl Document for Profile {
    const NAME: &'static str = "profile.json";
    const SCHEMA: u32 = SCHEMA;

    fn faults(&self) -> Vec<Fault> {
        check::profile(self)
    }
}

impl Bins {
    /// Number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        match self {
            Self::Grid(grid) => grid.slots(),
            Self::Categories(names) => names.len(),
        }
    }
}

impl Grid {
    /// Number of slots.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.edges.len() + 1
    }

    /// Number of PSI bins, the B of DRIFT's formulas.
    #[must_use]
    pub fn psi_bins(&self) -> usize {
        self.psi_edges.len() + 1
    }

    /// The slot of a value; infinities fall in the end slots, NaN in none.
    #[must_use]
    pub fn slot(&self, value: f32) -> Option<usize> {
        (!value.is_nan()).then(|| self.edges.partition_point(|&edge| edge <= value))
    }

    /// Whether a slot holds a single value, so that nothing can hide inside it.
    #[must_use]
    pub fn is_atom(&self, slot: usize) -> bool {
        let edge = |i: usize| self.edges.get(i).copied();
        match (slot.checked_sub(1).and_then(edge), edge(slot)) {
            (Some(low), Some(high)) => low.next_up() == high,
            _ => false,
        }
    }
}

impl Counts {
    /// All values that fell in a slot.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.slots.iter().fold(0, |sum, &n| sum.saturating_add(n))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}
