//! Dawid and Skene, "Maximum likelihood estimation of observer error-rates using the EM algorithm", 1979: what items
//! probably are and how each annotator errs, each from the other.

use serde::{Deserialize, Serialize};

use super::Ratings;

/// The fitted model. Classes, items and annotators are in the order of the ratings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DawidSkene {
    /// How frequent each class is.
    pub prior: Vec<f64>,
    /// For each item the probability of each class.
    pub items: Vec<Vec<f64>>,
    /// For each annotator and true class the probability of each class that is said. A true class that an annotator never
    /// met has zeros.
    pub confusion: Vec<Vec<Vec<f64>>>,
    /// Rounds until the probabilities stood still.
    pub rounds: usize,
    /// Whether they did.
    pub converged: bool,
}

const MOST_ROUNDS: usize = 2000;
/// No probability changes by more.
const STILL: f64 = 1e-10;

/// Fits the model, beginning with the shares of votes.
#[must_use]
pub fn dawid_skene(ratings: &Ratings) -> DawidSkene {
    let mut items: Vec<_> = ratings.rows.iter().map(|row| shares(&ratings.votes(row))).collect();
    let mut model = maximise(ratings, &items);
    for rounds in 1..=MOST_ROUNDS {
        let next: Vec<_> = ratings.rows.iter().map(|row| expect(row, &model)).collect();
        let moved = items.iter().flatten().zip(next.iter().flatten()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        items = next;
        model = maximise(ratings, &items);
        if moved <= STILL {
            return DawidSkene { items, rounds, converged: true, ..model };
        }
    }
    DawidSkene { items, rounds: MOST_ROUNDS, converged: false, ..model }
}

fn shares(votes: &[usize]) -> Vec<f64> {
    normalised(votes.iter().map(|&votes| votes as f64).collect())
}

/// Divided by its sum, where that is not zero.
fn normalised(mut numbers: Vec<f64>) -> Vec<f64> {
    let sum: f64 = numbers.iter().sum();
    if sum > 0.0 {
        numbers.iter_mut().for_each(|number| *number /= sum);
    }
    numbers
}

/// Priors and error rates from the items' probabilities.
fn maximise(ratings: &Ratings, items: &[Vec<f64>]) -> DawidSkene {
    let classes = ratings.classes.len();
    let mut prior = vec![0.0; classes];
    let mut confusion = vec![vec![vec![0.0; classes]; classes]; ratings.annotators.len()];
    for (row, probabilities) in ratings.rows.iter().zip(items) {
        prior.iter_mut().zip(probabilities).for_each(|(sum, probability)| *sum += probability);
        for (said, confusion) in row.iter().zip(&mut confusion) {
            let Some(said) = *said else { continue };
            for (errors, probability) in confusion.iter_mut().zip(probabilities) {
                errors[said] += probability;
            }
        }
    }
    let confusion = confusion.into_iter().map(|matrix| matrix.into_iter().map(normalised).collect()).collect();
    DawidSkene { prior: normalised(prior), items: Vec::new(), confusion, rounds: 0, converged: false }
}

/// Probabilities of an item's classes. Logarithms, as products over many annotators underflow.
fn expect(row: &[Option<usize>], model: &DawidSkene) -> Vec<f64> {
    let likelihood = |(class, prior): (usize, &f64)| {
        let said = row.iter().zip(&model.confusion).filter_map(|(said, confusion)| Some(confusion[class][(*said)?]));
        prior.ln() + said.map(f64::ln).sum::<f64>()
    };
    let logs: Vec<_> = model.prior.iter().enumerate().map(likelihood).collect();
    // At least one class is possible: the one that gave the item its probability the round before.
    let greatest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    normalised(logs.into_iter().map(|log| (log - greatest).exp()).collect())
}
