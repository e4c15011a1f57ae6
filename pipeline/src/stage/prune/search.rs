//! How far to cut next: down to the target in even steps, and back half of the way where a step loses too much.

use std::num::NonZeroU32;

/// Smaller cuts that are tried after one that lost too much.
const SMALLER_CUTS: u32 = 2;

/// Where a run of cuts stands. Shares are of the measure that the model had at first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Search {
    target: f64,
    rounds: u32,
    /// Rounds that were kept before one was taken back.
    done: u32,
    /// Share of the last cut that was kept.
    good: f64,
    /// Share of the last cut that was taken back, and how many smaller ones have been tried since the first.
    bad: Option<(f64, u32)>,
}

impl Search {
    pub(super) const fn new(target: f64, rounds: NonZeroU32) -> Self {
        Self { target, rounds: rounds.get(), done: 0, good: 1.0, bad: None }
    }

    /// Share to cut to next; `None` at the end. Rounds that a coarse cut has already reached are passed over.
    pub(super) fn next(&mut self) -> Option<f64> {
        match self.bad {
            // In the middle by ratio, as the rounds are.
            Some((bad, tried)) => (tried < SMALLER_CUTS).then(|| (self.good * bad).sqrt()),
            None => loop {
                if self.done >= self.rounds {
                    return None;
                }
                let share = self.target.powf(f64::from(self.done + 1) / f64::from(self.rounds));
                if share < self.good {
                    return Some(share);
                }
                self.done += 1;
            },
        }
    }

    /// How the cut that comes next is called.
    pub(super) fn name(&self) -> String {
        match self.bad {
            None => format!("round-{}", self.done + 1),
            Some((_, tried)) => format!("round-{}-smaller-{}", self.done + 1, tried + 1),
        }
    }

    /// The cut to this share did well.
    pub(super) fn keep(&mut self, share: f64) {
        self.good = share;
        match &mut self.bad {
            None => self.done += 1,
            Some((_, tried)) => *tried += 1,
        }
    }

    /// The cut to this share lost too much.
    pub(super) fn take_back(&mut self, share: f64) {
        self.bad = Some((share, self.bad.map_or(0, |(_, tried)| tried + 1)));
    }

    /// Whether a cut to this share is the one that was taken back: blocks are coarse.
    pub(super) fn was_taken_back(&self, share: f64) -> bool {
        self.bad.is_some_and(|(bad, _)| share <= bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search() -> Search {
        Search::new(0.25, NonZeroU32::new(2).unwrap())
    }

    /// Every cut to at least `limit` does well.
    fn shares(limit: f64) -> Vec<(String, f64)> {
        let (mut search, mut shares) = (search(), Vec::new());
        while let Some(share) = search.next() {
            shares.push((search.name(), (share * 1000.0).round() / 1000.0));
            if share >= limit { search.keep(share) } else { search.take_back(share) }
        }
        shares
    }

    fn named(shares: &[(&str, f64)]) -> Vec<(String, f64)> {
        shares.iter().map(|&(name, share)| (name.to_owned(), share)).collect()
    }

    #[test]
    fn rounds_go_down_by_even_ratios() {
        assert_eq!(shares(0.0), named(&[("round-1", 0.5), ("round-2", 0.25)]));
    }

    #[test]
    fn a_cut_that_loses_too_much_is_followed_by_two_smaller_ones() {
        let found = shares(0.3);
        let expected =
            [("round-1", 0.5), ("round-2", 0.25), ("round-2-smaller-1", 0.354), ("round-2-smaller-2", 0.297)];
        assert_eq!(found, named(&expected));
        let found = shares(0.4);
        assert_eq!(found[2..], named(&[("round-2-smaller-1", 0.354), ("round-2-smaller-2", 0.42)]));
    }

    #[test]
    fn the_first_round_may_lose_too_much_as_well() {
        assert_eq!(shares(0.9), named(&[("round-1", 0.5), ("round-1-smaller-1", 0.707), ("round-1-smaller-2", 0.841)]));
    }

    #[test]
    fn a_round_that_a_coarse_cut_has_reached_is_passed_over() {
        let mut search = search();
        search.next().unwrap();
        search.keep(0.2);
        assert_eq!(search.next(), None);
    }

    #[test]
    fn the_same_coarse_cut_is_known_again() {
        let mut search = search();
        search.take_back(0.4);
        assert!(search.was_taken_back(0.4) && !search.was_taken_back(0.5));
    }
}
