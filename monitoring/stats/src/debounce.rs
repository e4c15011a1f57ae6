//! From panes to one alert: entered by k of n panes, left by k of n, and quiet for a while after.

use std::collections::VecDeque;

/// How an alert is entered and left. Counts are panes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Debounce {
    /// Values from here on speak for the alert.
    pub enter: f64,
    /// Values up to here speak against it; between the two nothing changes.
    pub exit: f64,
    /// So many ...
    pub k: usize,
    /// ... of the last so many panes must speak alike.
    pub n: usize,
    /// After an alert has cleared, none fires for so many panes.
    pub cool_down: usize,
}

/// What a pane says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// There is something.
    For,
    /// Nothing either way: between the thresholds, an open verdict, or no data.
    Open,
    /// There is nothing.
    Against,
}

/// What a pane changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The alert fires now.
    Fired,
    /// The alert clears now.
    Cleared,
}

/// An alert.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    rule: Debounce,
    firing: bool,
    quiet_for: usize,
    last: VecDeque<Signal>,
}

impl Debounce {
    /// What a value says; NaN says nothing.
    #[must_use]
    pub fn signal(&self, value: f64) -> Signal {
        if value >= self.enter {
            Signal::For
        } else if value <= self.exit {
            Signal::Against
        } else {
            Signal::Open
        }
    }
}

impl Alert {
    /// Not firing. `k` and `n` below 1 count as 1, `k` above `n` as `n`.
    #[must_use]
    pub fn new(rule: Debounce) -> Self {
        let n = rule.n.max(1);
        let rule = Debounce { n, k: rule.k.clamp(1, n), ..rule };
        Self { rule, firing: false, quiet_for: 0, last: VecDeque::with_capacity(n) }
    }

    /// Firing, as after a restart.
    #[must_use]
    pub fn firing(rule: Debounce) -> Self {
        Self { firing: true, ..Self::new(rule) }
    }

    /// Whether it fires.
    #[must_use]
    pub fn is_firing(&self) -> bool {
        self.firing
    }

    /// Takes in a pane by its value.
    pub fn pane(&mut self, value: f64) -> Option<Change> {
        self.update(self.rule.signal(value))
    }

    /// Takes in a pane by what it says.
    pub fn update(&mut self, signal: Signal) -> Option<Change> {
        if self.last.len() == self.rule.n {
            self.last.pop_front();
        }
        self.last.push_back(signal);
        let quiet = self.quiet_for > 0;
        self.quiet_for = self.quiet_for.saturating_sub(1);
        let (wanted, change) =
            if self.firing { (Signal::Against, Change::Cleared) } else { (Signal::For, Change::Fired) };
        let alike = self.last.iter().filter(|signal| **signal == wanted).count();
        if quiet || alike < self.rule.k {
            return None;
        }
        self.firing = !self.firing;
        if !self.firing {
            self.quiet_for = self.rule.cool_down;
        }
        self.last.clear();
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Debounce = Debounce { enter: 0.2, exit: 0.1, k: 2, n: 3, cool_down: 2 };

    fn changes(values: &[f64]) -> Vec<(usize, Change)> {
        let mut alert = Alert::new(RULE);
        values.iter().enumerate().filter_map(|(i, value)| Some((i, alert.pane(*value)?))).collect()
    }

    #[test]
    fn one_pane_of_three_does_not_fire() {
        assert_eq!(changes(&[0.3, 0.0, 0.0, 0.3, 0.0, 0.0]), []);
    }

    #[test]
    fn two_of_three_fire_and_values_between_the_thresholds_keep_it() {
        let found = changes(&[0.3, 0.15, 0.2, 0.15, 0.15, 0.05, f64::NAN, 0.1]);
        assert_eq!(found, [(2, Change::Fired), (7, Change::Cleared)]);
    }

    #[test]
    fn after_clearing_it_is_quiet_for_a_while() {
        let found = changes(&[0.3, 0.3, 0.0, 0.0, 0.3, 0.3, 0.3]);
        assert_eq!(found, [(1, Change::Fired), (3, Change::Cleared), (6, Change::Fired)]);
    }

    #[test]
    fn senseless_counts_are_made_sensible() {
        let mut alert = Alert::new(Debounce { k: 9, n: 0, ..RULE });
        assert_eq!(alert.update(Signal::For), Some(Change::Fired));
        assert!(alert.is_firing());
    }
}
