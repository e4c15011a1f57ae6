//! Who called which item what.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::events::Name;

/// What one annotator says of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// The batch that was handed out.
    pub batch: Name,
    /// The item: a path, an id.
    pub item: String,
    /// Who says so.
    pub annotator: Name,
    /// The class, by its label.
    pub class: String,
}

/// Ratings of items by annotators, with gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ratings {
    /// Sorted.
    pub(super) items: Vec<String>,
    /// Sorted.
    pub(super) annotators: Vec<Name>,
    /// Sorted, or in the order that was given.
    pub(super) classes: Vec<String>,
    /// For each item the class of each annotator, by index.
    pub(super) rows: Vec<Vec<Option<usize>>>,
}

/// Why annotations make no ratings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgreementError {
    /// An annotator rated an item twice, differently.
    #[error("item '{item}': '{annotator}' says both '{first}' and '{second}', expected one class; remove one of them")]
    Twice {
        /// The item.
        item: String,
        /// The annotator.
        annotator: Name,
        /// One class.
        first: String,
        /// The other.
        second: String,
    },
    /// A class is not among those that were given.
    #[error("item '{item}': '{annotator}' says '{found}', expected one of {expected}; correct it, or add the class")]
    Class {
        /// The item.
        item: String,
        /// The annotator.
        annotator: Name,
        /// The class.
        found: String,
        /// The classes there are.
        expected: String,
    },
    /// There is no such annotator.
    #[error("found annotator '{found}', expected one of {expected}")]
    Annotator {
        /// The name.
        found: String,
        /// The annotators there are.
        expected: String,
    },
}

impl Ratings {
    /// Ratings with the classes that occur, sorted.
    ///
    /// # Errors
    /// An annotator rated an item twice, differently.
    pub fn new<'a>(annotations: impl IntoIterator<Item = &'a Annotation>) -> Result<Self, AgreementError> {
        let annotations: Vec<_> = annotations.into_iter().collect();
        let classes: BTreeSet<_> = annotations.iter().map(|annotation| &annotation.class).collect();
        Self::with_classes(annotations, &classes.into_iter().cloned().collect::<Vec<_>>())
    }

    /// Ratings with classes in a given order, which weighted kappas depend on.
    ///
    /// # Errors
    /// An annotator rated an item twice, differently, or named another class.
    pub fn with_classes<'a>(
        annotations: impl IntoIterator<Item = &'a Annotation>,
        classes: &[String],
    ) -> Result<Self, AgreementError> {
        let annotations: Vec<_> = annotations.into_iter().collect();
        let items: BTreeSet<_> = annotations.iter().map(|annotation| annotation.item.as_str()).collect();
        let annotators: BTreeSet<_> = annotations.iter().map(|annotation| &annotation.annotator).collect();
        let class_of: BTreeMap<_, _> = classes.iter().enumerate().map(|(at, class)| (class.as_str(), at)).collect();
        let item_of: BTreeMap<_, _> = items.iter().enumerate().map(|(at, item)| (*item, at)).collect();
        let annotator_of: BTreeMap<_, _> = annotators.iter().enumerate().map(|(at, name)| (*name, at)).collect();
        let mut rows = vec![vec![None; annotators.len()]; items.len()];
        for Annotation { item, annotator, class, .. } in annotations {
            let Some(&index) = class_of.get(class.as_str()) else {
                let (item, annotator, found) = (item.clone(), annotator.clone(), class.clone());
                return Err(AgreementError::Class { item, annotator, found, expected: listed(classes) });
            };
            let cell = item_of.get(item.as_str()).zip(annotator_of.get(annotator));
            let cell = cell.and_then(|(&row, &column)| rows.get_mut(row)?.get_mut(column));
            match cell.and_then(|cell| cell.replace(index)).filter(|known| *known != index) {
                None => {}
                Some(known) => {
                    return Err(AgreementError::Twice {
                        item: item.clone(),
                        annotator: annotator.clone(),
                        first: classes.get(known).cloned().unwrap_or_default(),
                        second: class.clone(),
                    });
                }
            }
        }
        Ok(Self {
            items: items.into_iter().map(str::to_owned).collect(),
            annotators: annotators.into_iter().cloned().collect(),
            classes: classes.to_vec(),
            rows,
        })
    }

    /// Who rated, sorted.
    #[must_use]
    pub fn annotators(&self) -> &[Name] {
        &self.annotators
    }

    /// What was rated, sorted.
    #[must_use]
    pub fn items(&self) -> &[String] {
        &self.items
    }

    /// What it may be, in the order that weights depend on.
    #[must_use]
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    pub(super) fn annotator(&self, name: &str) -> Result<usize, AgreementError> {
        let found = self.annotators.iter().position(|known| known.as_str() == name);
        found.ok_or_else(|| AgreementError::Annotator { found: name.to_owned(), expected: listed(&self.annotators) })
    }

    /// How many annotators said each class of an item.
    pub(super) fn votes(&self, row: &[Option<usize>]) -> Vec<usize> {
        let mut votes = vec![0; self.classes.len()];
        for class in row.iter().flatten() {
            if let Some(votes) = votes.get_mut(*class) {
                *votes += 1;
            }
        }
        votes
    }
}

fn listed<T: std::fmt::Display>(names: &[T]) -> String {
    match names.len() {
        0 => "none".to_owned(),
        1..=12 => names.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", "),
        n => format!("{n} names"),
    }
}
