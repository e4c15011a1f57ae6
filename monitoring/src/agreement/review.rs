//! Batches that an expert should look at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AgreementError, Annotation, Ratings};
use crate::events::Name;

/// When a batch goes to an expert.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReviewLimits {
    /// Annotators that must have rated an item for it to count.
    pub annotators: usize,
    /// Share of these items on which they do not all agree, above which the batch is reviewed.
    pub disagreement: f64,
}

impl Default for ReviewLimits {
    fn default() -> Self {
        Self { annotators: 3, disagreement: 0.15 }
    }
}

/// A batch and how far its annotators agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// The batch.
    pub batch: Name,
    /// What is to be done with it.
    pub standing: BatchStanding,
    /// Items that enough annotators rated.
    pub items: usize,
    /// Those of them on which they do not all agree.
    pub disputed: Vec<String>,
    /// Disputed items of all that count.
    pub disagreement: f64,
    /// Krippendorff's alpha over all ratings of the batch, where it is defined.
    pub alpha: Option<f64>,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchStanding {
    /// Its annotators agree well enough.
    Accepted,
    /// An expert should look at the disputed items.
    Review,
    /// Too few annotators rated any item for this to be said.
    TooFewAnnotators,
}

/// Looks at each batch by itself. In the order of their names.
///
/// # Errors
/// An annotator rated an item of a batch twice, differently.
pub fn review(annotations: &[Annotation], limits: &ReviewLimits) -> Result<Vec<Batch>, AgreementError> {
    let mut batches: BTreeMap<&Name, Vec<&Annotation>> = BTreeMap::new();
    for annotation in annotations {
        batches.entry(&annotation.batch).or_default().push(annotation);
    }
    let of = |(batch, annotations): (&Name, Vec<&Annotation>)| Ok(look(batch, &Ratings::new(annotations)?, limits));
    batches.into_iter().map(of).collect()
}

fn look(batch: &Name, ratings: &Ratings, limits: &ReviewLimits) -> Batch {
    let mut items = 0;
    let mut disputed = Vec::new();
    for (item, row) in ratings.items.iter().zip(&ratings.rows) {
        let votes = ratings.votes(row);
        if votes.iter().sum::<usize>() < limits.annotators {
            continue;
        }
        items += 1;
        if votes.iter().filter(|votes| **votes > 0).count() > 1 {
            disputed.push(item.clone());
        }
    }
    let disagreement = if items > 0 { disputed.len() as f64 / items as f64 } else { 0.0 };
    let standing = match items {
        0 => BatchStanding::TooFewAnnotators,
        _ if disagreement > limits.disagreement => BatchStanding::Review,
        _ => BatchStanding::Accepted,
    };
    Batch { batch: batch.clone(), standing, items, disputed, disagreement, alpha: ratings.krippendorff() }
}
