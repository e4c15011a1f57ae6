//! What an expert decided, and labels made of ratings and rulings.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use takt_artifact::fault::{self, Document, DocumentError, Fault};

use super::Ratings;
use crate::events::{Name, UnixMillis};

/// An expert's decision about a disputed item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruling {
    /// The item.
    pub item: String,
    /// What it is.
    pub class: String,
    /// Who says so.
    pub expert: Name,
    /// When.
    pub at: UnixMillis,
    /// Version of the labelling guide that says so from now on.
    pub guide: u32,
    /// What the guide now says, for those who read it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// All rulings, with the labelling guide's version: `rulings.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rulings {
    /// Always 1.
    schema: u32,
    /// Version of the labelling guide in force; 1 before there was any ruling.
    guide: u32,
    /// In the order in which they were made.
    rulings: Vec<Ruling>,
}

impl Default for Rulings {
    fn default() -> Self {
        Self { schema: Self::SCHEMA, guide: 1, rulings: Vec::new() }
    }
}

impl Rulings {
    /// Reads the file.
    ///
    /// # Errors
    /// A newer or missing schema, a fault of form with its path, or all faults of meaning together.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        fault::read(bytes)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Its faults.
    pub fn to_bytes(&self) -> Result<Vec<u8>, DocumentError> {
        fault::write(self)
    }

    /// Records what an expert decided in one sitting, as pairs of item and class. The guide has a new version after
    /// that, which is returned. Without decisions nothing changes.
    pub fn record(
        &mut self,
        expert: &Name,
        at: UnixMillis,
        reason: &str,
        decisions: impl IntoIterator<Item = (String, String)>,
    ) -> u32 {
        let guide = self.guide.saturating_add(1);
        let before = self.rulings.len();
        self.rulings.extend(decisions.into_iter().map(|(item, class)| Ruling {
            item,
            class,
            expert: expert.clone(),
            at,
            guide,
            reason: reason.to_owned(),
        }));
        if self.rulings.len() > before {
            self.guide = guide;
        }
        self.guide
    }

    /// Version of the labelling guide in force.
    #[must_use]
    pub const fn guide(&self) -> u32 {
        self.guide
    }

    /// In the order in which they were made.
    #[must_use]
    pub fn rulings(&self) -> &[Ruling] {
        &self.rulings
    }
}

impl Document for Rulings {
    const NAME: &'static str = "rulings.json";
    const SCHEMA: u32 = 1;

    fn faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut seen = BTreeSet::new();
        let mut last = 1;
        for (at, ruling) in self.rulings.iter().enumerate() {
            let mut fault = |key: &str, found: String, expected: String, fix: &str| {
                faults.push(Fault::new(format!("rulings[{at}].{key}"), found, expected, fix));
            };
            if ruling.item.is_empty() || ruling.class.is_empty() {
                fault("item", "no item or no class".to_owned(), "both".to_owned(), "say what was ruled to be what");
            }
            if !(last.max(2)..=self.guide).contains(&ruling.guide) {
                let expected = format!("a version from {} to {}, the guide's", last.max(2), self.guide);
                fault("guide", ruling.guide.to_string(), expected, "rulings come in the order of the guide's versions");
            }
            if !seen.insert((&ruling.item, ruling.guide)) {
                let found = format!("'{}' again", ruling.item);
                fault("item", found, "each item once per version of the guide".to_owned(), "remove one of the two");
            }
            last = last.max(ruling.guide);
        }
        faults
    }
}

/// An item with its label, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The item.
    pub item: String,
    /// Its class; none while it is disputed.
    pub class: Option<String>,
    /// Where that comes from.
    pub source: Source,
}

/// Where a label comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An expert, under this version of the labelling guide.
    Ruling {
        /// The version.
        guide: u32,
    },
    /// All who rated it.
    Unanimous,
    /// More than half of them.
    Majority,
    /// Nobody: there is no majority and no ruling yet.
    Disputed,
}

/// Labels of all items that were rated or ruled upon, in the order of their names. A ruling outweighs any number of votes;
/// of several the one under the newest guide counts.
#[must_use]
pub fn settle(ratings: &Ratings, rulings: &Rulings) -> Vec<Resolved> {
    let mut resolved: BTreeMap<&str, Resolved> = BTreeMap::new();
    for (item, row) in ratings.items.iter().zip(&ratings.rows) {
        let votes = ratings.votes(row);
        let all: usize = votes.iter().sum();
        let best = votes.iter().enumerate().max_by_key(|(_, votes)| **votes).filter(|(_, votes)| **votes * 2 > all);
        let (class, source) = match best {
            Some((class, votes)) => {
                let source = if *votes == all { Source::Unanimous } else { Source::Majority };
                (ratings.classes.get(class).cloned(), source)
            }
            None => (None, Source::Disputed),
        };
        resolved.insert(item, Resolved { item: item.clone(), class, source });
    }
    // In the order of the guide's versions, so the last one stays.
    for Ruling { item, class, guide, .. } in &rulings.rulings {
        let source = Source::Ruling { guide: *guide };
        resolved.insert(item, Resolved { item: item.clone(), class: Some(class.clone()), source });
    }
    resolved.into_values().collect()
}
