//! Agreement beyond chance: Cohen 1960, weighted Cohen 1968, Fleiss 1971.

use serde::{Deserialize, Serialize};

use super::{AgreementError, Ratings};

/// How much a disagreement counts, by how far apart the classes are in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// All alike: for classes without an order.
    #[default]
    None,
    /// As far as they are apart.
    Linear,
    /// As the square of that.
    Quadratic,
}

impl Weights {
    fn of(self, a: usize, b: usize) -> f64 {
        let apart = a.abs_diff(b) as f64;
        match self {
            Self::None => f64::from(a != b),
            Self::Linear => apart,
            Self::Quadratic => apart * apart,
        }
    }
}

impl Ratings {
    /// Cohen's kappa of two annotators over the items that both rated: 1 for full agreement, 0 for as much as chance gives.
    /// `1 - sum w_ij n_ij / sum w_ij n_i. n_.j / n`.
    ///
    /// # Errors
    /// There is no such annotator.
    pub fn cohen(&self, first: &str, second: &str, weights: Weights) -> Result<Option<f64>, AgreementError> {
        let (first, second) = (self.annotator(first)?, self.annotator(second)?);
        let both = |row: &Vec<Option<usize>>| Some(((*row.get(first)?)?, (*row.get(second)?)?));
        let pairs: Vec<_> = self.rows.iter().filter_map(both).collect();
        let count = |of: fn(&(usize, usize)) -> usize| {
            let mut counts = vec![0.0; self.classes.len()];
            pairs.iter().map(of).for_each(|class| counts[class] += 1.0);
            counts
        };
        let (rows, columns) = (count(|pair| pair.0), count(|pair| pair.1));
        let observed: f64 = pairs.iter().map(|&(a, b)| weights.of(a, b)).sum();
        let mut expected = 0.0;
        for (a, row) in rows.iter().enumerate() {
            for (b, column) in columns.iter().enumerate() {
                expected += weights.of(a, b) * row * column;
            }
        }
        expected /= pairs.len() as f64;
        Ok((expected > 0.0).then(|| 1.0 - observed / expected))
    }

    /// Fleiss' kappa of all annotators. `None` also where items were rated by different numbers of them, for which
    /// [`krippendorff`](Self::krippendorff) is made.
    #[must_use]
    pub fn fleiss(&self) -> Option<f64> {
        let votes: Vec<_> = self.rows.iter().map(|row| self.votes(row)).collect();
        let raters: usize = votes.first()?.iter().sum();
        if raters < 2 || votes.iter().any(|votes| votes.iter().sum::<usize>() != raters) {
            return None;
        }
        let (items, raters) = (votes.len() as f64, raters as f64);
        let squares = |votes: &Vec<usize>| votes.iter().map(|&votes| (votes * votes) as f64).sum::<f64>();
        let agreed =
            votes.iter().map(|votes| (squares(votes) - raters) / (raters * (raters - 1.0))).sum::<f64>() / items;
        let share =
            |class: usize| votes.iter().filter_map(|votes| votes.get(class)).sum::<usize>() as f64 / (items * raters);
        let chance: f64 = (0..self.classes.len()).map(|class| share(class).powi(2)).sum();
        (chance < 1.0).then(|| (agreed - chance) / (1.0 - chance))
    }
}
