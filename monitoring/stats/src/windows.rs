//! Counters over time and place: merging is adding, so the order in which instances, devices and sites are merged does not
//! matter, and a window is the sum of its panes.

use std::collections::VecDeque;

/// Adds one vector of counters to another. `false`, and nothing done, where they differ in length.
#[must_use]
pub fn merge(into: &mut [u64], from: &[u64]) -> bool {
    let same = into.len() == from.len();
    if same {
        into.iter_mut().zip(from).for_each(|(sum, count)| *sum = sum.saturating_add(*count));
    }
    same
}

/// A ring of sealed panes and their sum: the rolling window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    panes: VecDeque<Vec<u64>>,
    capacity: usize,
    sum: Vec<u64>,
}

impl Window {
    /// For the last `panes` panes, at least one, of `slots` counters each.
    #[must_use]
    pub fn new(panes: usize, slots: usize) -> Self {
        let capacity = panes.max(1);
        Self { panes: VecDeque::with_capacity(capacity), capacity, sum: vec![0; slots] }
    }

    /// Takes a sealed pane in; the oldest one leaves a full window and is handed back, for its memory. `Err` with the
    /// pane where it has another number of counters.
    ///
    /// # Errors
    /// The pane itself, where it does not fit.
    pub fn push(&mut self, pane: Vec<u64>) -> Result<Option<Vec<u64>>, Vec<u64>> {
        if pane.len() != self.sum.len() {
            return Err(pane);
        }
        let oldest = (self.panes.len() == self.capacity).then(|| self.panes.pop_front()).flatten();
        self.panes.push_back(pane);
        // Summed anew rather than carried on: a sum that saturated would never come back.
        self.sum.fill(0);
        for pane in &self.panes {
            let fits = merge(&mut self.sum, pane);
            debug_assert!(fits, "panes of one window have one length");
        }
        Ok(oldest)
    }

    /// The sum of the panes held.
    #[must_use]
    pub fn rolling(&self) -> &[u64] {
        &self.sum
    }

    /// The last sealed pane.
    #[must_use]
    pub fn tumbling(&self) -> Option<&[u64]> {
        self.panes.back().map(Vec::as_slice)
    }

    /// Panes held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.panes.len()
    }

    /// Whether no pane was sealed yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.panes.is_empty()
    }

    /// Forgets all panes, as at a changeover.
    pub fn clear(&mut self) {
        self.panes.clear();
        self.sum.fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_is_the_sum_of_its_last_panes() {
        let mut window = Window::new(2, 2);
        assert_eq!((window.rolling(), window.tumbling(), window.is_empty()), (&[0, 0][..], None, true));
        assert_eq!(window.push(vec![1, 10]), Ok(None));
        assert_eq!(window.push(vec![2, 20]), Ok(None));
        assert_eq!(window.push(vec![3, 30]), Ok(Some(vec![1, 10])));
        assert_eq!((window.rolling(), window.tumbling(), window.len()), (&[5, 50][..], Some(&[3, 30][..]), 2));
        window.clear();
        assert_eq!((window.rolling(), window.len()), (&[0, 0][..], 0));
    }

    #[test]
    fn a_pane_of_another_grid_is_refused() {
        let mut window = Window::new(2, 2);
        assert_eq!(window.push(vec![1]), Err(vec![1]));
        assert!(!merge(&mut [1], &[1, 2]));
    }

    #[test]
    fn full_counters_stay_full() {
        let mut sum = [u64::MAX, 1];
        assert!(merge(&mut sum, &[1, 1]));
        assert_eq!(sum, [u64::MAX, 2]);
    }
}
