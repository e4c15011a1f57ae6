//! Counters that are read from outside and may begin anew.

use serde::{Deserialize, Serialize};

/// Turns readings of a counter into what was counted in between.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    last: Option<u64>,
}

impl Counter {
    /// What was counted since the last reading. The first reading counts nothing: who knows since when. A reading below the
    /// last is a counter that began anew, and all of it counts.
    pub fn delta(&mut self, reading: u64) -> u64 {
        match self.last.replace(reading) {
            None => 0,
            Some(last) if reading < last => reading,
            Some(last) => reading - last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_begins_anew_counts_what_it_shows() {
        let mut counter = Counter::default();
        assert_eq!([100, 130, 130, 7, 9].map(|reading| counter.delta(reading)), [0, 30, 0, 7, 2]);
    }
}
