//! Krippendorff's alpha for nominal data ("Content Analysis", 4th edition, 2019, chapter 12): any number of annotators, with
//! gaps.

use super::Ratings;

impl Ratings {
    /// Krippendorff's alpha: 1 for full agreement, 0 for as much as chance gives. Items with one rating say nothing.
    #[must_use]
    pub fn krippendorff(&self) -> Option<f64> {
        let mut classes = vec![0.0; self.classes.len()];
        let mut disagreed = 0.0;
        for row in &self.rows {
            let votes = self.votes(row);
            let ratings: usize = votes.iter().sum();
            if ratings < 2 {
                continue;
            }
            let agreeing: usize = votes.iter().map(|&votes| votes * votes.saturating_sub(1)).sum();
            let pairs = ratings * (ratings - 1);
            disagreed += (pairs - agreeing) as f64 / (ratings - 1) as f64;
            classes.iter_mut().zip(&votes).for_each(|(sum, &votes)| *sum += votes as f64);
        }
        let all: f64 = classes.iter().sum();
        let alike: f64 = classes.iter().map(|count| count * (count - 1.0)).sum();
        let expected = (all * (all - 1.0) - alike) / (all - 1.0);
        (expected > 0.0).then(|| 1.0 - disagreed / expected)
    }
}
