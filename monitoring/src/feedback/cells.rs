//! Counts of units by hour and by everything they are told apart by.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use takt_artifact::VersionDigest;
use takt_artifact::decision::Verdict;

use super::units::Truth;
use crate::events::{Arm, Name, UnixMillis};

/// What stations, products and classes beyond the bound are called.
pub const OTHER: &str = "other";

/// Milliseconds of an hour.
pub(crate) const HOUR: u64 = 3_600_000;

/// What units are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Model.
    pub model: Name,
    /// Version that judged.
    pub version: VersionDigest,
    /// Its role at the time.
    pub arm: Arm,
    /// Station, where the client named it.
    pub station: Option<Name>,
    /// Product, where the client named it.
    pub product: Option<Name>,
    /// Shift, where shifts are configured.
    pub shift: Option<Name>,
    /// Class that the verdict rests on, by its label.
    pub class: String,
}

/// Units of one verdict, by what they really were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// Nobody has said yet.
    pub unlabelled: u64,
    /// Good.
    pub good: u64,
    /// Defective.
    pub defect: u64,
    /// Labelled with a class of which it is not known whether it is good.
    pub unresolved: u64,
}

/// Units by verdict and by what they really were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Units the model passed.
    pub passed: Findings,
    /// Units the model flagged as defective.
    pub flagged: Findings,
    /// Units the model left to a person.
    pub uncertain: Findings,
    /// Units of these whose labels contradict each other.
    pub contradicted: u64,
}

/// Counts per hour since 1970 and cell.
pub(crate) type Hours = BTreeMap<u64, HashMap<Arc<Cell>, Counts>>;

/// All counts there are: those that are settled and those that labels may still change.
#[derive(Debug)]
pub struct Cube<'a> {
    pub(crate) settled: &'a Hours,
    pub(crate) live: Hours,
}

impl Findings {
    /// All units of the verdict.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.unlabelled + self.good + self.defect + self.unresolved
    }

    /// Units of which it is known whether they were good.
    #[must_use]
    pub const fn labelled(&self) -> u64 {
        self.good + self.defect
    }

    fn of(&mut self, truth: Truth) -> &mut u64 {
        match truth {
            Truth::Unlabelled => &mut self.unlabelled,
            Truth::Good => &mut self.good,
            Truth::Defect => &mut self.defect,
            Truth::Unresolved => &mut self.unresolved,
        }
    }

    fn add(&mut self, other: &Self) {
        self.unlabelled += other.unlabelled;
        self.good += other.good;
        self.defect += other.defect;
        self.unresolved += other.unresolved;
    }
}

impl Counts {
    /// All units.
    #[must_use]
    pub const fn inspected(&self) -> u64 {
        self.passed.total() + self.flagged.total() + self.uncertain.total()
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.passed.add(&other.passed);
        self.flagged.add(&other.flagged);
        self.uncertain.add(&other.uncertain);
        self.contradicted += other.contradicted;
    }

    /// Units of a verdict.
    #[must_use]
    pub const fn of(&self, verdict: Verdict) -> &Findings {
        match verdict {
            Verdict::Good => &self.passed,
            Verdict::Defect => &self.flagged,
            Verdict::Uncertain => &self.uncertain,
        }
    }

    pub(super) fn count(&mut self, verdict: Verdict, truth: Truth, contradicted: bool) {
        let findings = match verdict {
            Verdict::Good => &mut self.passed,
            Verdict::Defect => &mut self.flagged,
            Verdict::Uncertain => &mut self.uncertain,
        };
        *findings.of(truth) += 1;
        self.contradicted += u64::from(contradicted);
    }
}

impl Cube<'_> {
    /// Rows of the hours in `from <= hour < until`, hours counted since 1970. A cell may come twice in an hour, once
    /// settled and once not.
    pub fn rows(&self, from: u64, until: u64) -> impl Iterator<Item = (u64, &Cell, &Counts)> {
        let hours = between(self.settled, from, until).chain(between(&self.live, from, until));
        hours.flat_map(|(hour, cells)| cells.iter().map(|(cell, counts)| (*hour, &**cell, counts)))
    }

    /// The first hour with any counts.
    #[must_use]
    pub fn first_hour(&self) -> Option<u64> {
        self.settled.keys().next().into_iter().chain(self.live.keys().next()).min().copied()
    }
}

fn between(hours: &Hours, from: u64, until: u64) -> impl Iterator<Item = (&u64, &HashMap<Arc<Cell>, Counts>)> {
    // A range that ends before it begins would panic.
    hours.range(from..until.max(from))
}

/// The hour that a moment lies in.
pub(crate) const fn hour(at: UnixMillis) -> u64 {
    at.0 / HOUR
}

/// The cells in use, each once in memory, and bounds on how many there can be.
#[derive(Debug, Default)]
pub(super) struct Cells {
    cells: HashSet<Arc<Cell>>,
    stations: HashSet<Name>,
    products: HashSet<Name>,
    classes: HashSet<String>,
}

/// Cells at once. Beyond, stations, products and classes are not told apart any more.
const MOST_CELLS: usize = 4096;

impl Cells {
    /// The cell, with names beyond the bound replaced by [`OTHER`].
    pub(super) fn admit(&mut self, mut cell: Cell, max_names: usize) -> Arc<Cell> {
        bound_name(&mut cell.station, &mut self.stations, max_names);
        bound_name(&mut cell.product, &mut self.products, max_names);
        if !self.classes.contains(&cell.class) {
            if self.classes.len() < max_names {
                self.classes.insert(cell.class.clone());
            } else {
                OTHER.clone_into(&mut cell.class);
            }
        }
        if let Some(known) = self.cells.get(&cell) {
            return Arc::clone(known);
        }
        if self.cells.len() >= MOST_CELLS {
            self.cells.retain(|cell| Arc::strong_count(cell) > 1);
            if self.cells.len() >= MOST_CELLS {
                coarsen(&mut cell);
                if let Some(known) = self.cells.get(&cell) {
                    return Arc::clone(known);
                }
            }
        }
        let cell = Arc::new(cell);
        self.cells.insert(Arc::clone(&cell));
        cell
    }
}

fn bound_name(name: &mut Option<Name>, known: &mut HashSet<Name>, most: usize) {
    let Some(found) = name.as_ref().filter(|found| !known.contains(*found)) else {
        return;
    };
    if known.len() < most {
        known.insert(found.clone());
    } else {
        *name = Name::new(OTHER).ok();
    }
}

fn coarsen(cell: &mut Cell) {
    for name in [&mut cell.station, &mut cell.product] {
        if name.is_some() {
            *name = Name::new(OTHER).ok();
        }
    }
    OTHER.clone_into(&mut cell.class);
}
