//! Buckets of about equal share whose order is that of the values in them.

use super::key::key;

/// About so many buckets hold the values; a bucket is so small a share of them.
const BUCKETS: u64 = 8_192;
/// Values looked at to find where values are.
const SAMPLE: usize = 4_096;
/// A key's upper bits (sign, exponent and the first bits of the fraction) choose a cell, the lower ones a bucket of it.
const LOWER_BITS: u32 = 48;
const CELLS: usize = 1 << (u64::BITS - LOWER_BITS);

/// A map from values to buckets that never falls.
pub(crate) struct Buckets {
    cells: Vec<Cell>,
    len: usize,
}

/// All keys with the same upper bits, divided evenly into a power of two of buckets.
#[derive(Clone, Copy)]
struct Cell {
    first: u32,
    /// Lower bits that do not tell buckets apart.
    shift: u32,
}

impl Buckets {
    /// Fit for these samples: the more values a cell has, the more buckets.
    pub(crate) fn of(samples: &[&[f64]]) -> Self {
        let mut seen = vec![0_u64; CELLS];
        let mut all = 0;
        for sample in samples {
            for value in sample.iter().step_by((sample.len() / SAMPLE).max(1)).filter(|value| !value.is_nan()) {
                seen[(key(*value) >> LOWER_BITS) as usize] += 1;
                all += 1;
            }
        }
        let mut first = 0;
        let cells = seen.into_iter().map(|seen| {
            let bits = (seen * BUCKETS / all.max(1)).max(1).ilog2();
            let cell = Cell { first, shift: LOWER_BITS - bits };
            first += 1 << bits;
            cell
        });
        let cells = cells.collect();
        Self { cells, len: first as usize }
    }

    /// How many values each bucket has, without NaN.
    pub(crate) fn count(&self, values: &[f64]) -> Vec<u64> {
        let mut counts = vec![0; self.len];
        for value in values.iter().filter(|value| !value.is_nan()) {
            counts[self.bucket(key(*value))] += 1;
        }
        counts
    }

    /// No bucket, to mark some of.
    pub(crate) fn none(&self) -> Vec<bool> {
        vec![false; self.len]
    }

    /// The sorted keys of the values in the wanted buckets.
    pub(crate) fn gather(&self, values: &[f64], wanted: &[bool]) -> Vec<u64> {
        let known = values.iter().filter(|value| !value.is_nan()).map(|value| key(*value));
        let mut keys: Vec<u64> = known.filter(|key| wanted[self.bucket(*key)]).collect();
        keys.sort_unstable();
        keys
    }

    fn bucket(&self, key: u64) -> usize {
        let cell = self.cells[(key >> LOWER_BITS) as usize];
        let lower = key & ((1 << LOWER_BITS) - 1);
        cell.first as usize + (lower >> cell.shift) as usize
    }
}
