//! Order of samples, large ones without sorting what need not be: finding a quantile or the KS distance of a million values
//! takes two passes over them instead of a sort.

mod buckets;
mod key;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

pub(crate) use buckets::Buckets;
pub(crate) use key::key;

/// Below this size sorting is as fast as anything.
pub(crate) const LARGE: usize = 32_768;

/// The values that are not NaN, ascending, with +0 for -0; what is so already is not copied.
#[must_use]
pub fn ascending(values: &[f64]) -> Cow<'_, [f64]> {
    let negative_zero = (-0.0_f64).to_bits();
    // A NaN is in no order with anything, but may be alone.
    let ready = values.is_sorted() && values.iter().all(|x| x.to_bits() != negative_zero && !x.is_nan());
    if ready { values.into() } else { sorted_keys(values).into_iter().map(key::number).collect() }
}

/// The same as keys. Integers sort twice as fast as numbers do by their total order.
pub(crate) fn sorted_keys(values: &[f64]) -> Vec<u64> {
    let mut keys: Vec<u64> = values.iter().filter(|value| !value.is_nan()).map(|value| key(*value)).collect();
    keys.sort_unstable();
    keys
}

/// The values at ascending `ranks`, counted from 0 without NaN; NaN at ranks beyond the last.
pub(crate) fn at_ranks(values: &[f64], ranks: &[usize]) -> Vec<f64> {
    if values.len() < LARGE {
        let sorted = ascending(values);
        return ranks.iter().map(|rank| sorted.get(*rank).copied().unwrap_or(f64::NAN)).collect();
    }
    let buckets = Buckets::of(&[values]);
    let mut wanted = buckets.none();
    // Of each rank, how far it lies behind the start of what will be gathered.
    let mut places = Vec::with_capacity(ranks.len());
    let (mut start, mut gathered) = (0, 0);
    let mut ranks = ranks.iter().peekable();
    for (count, wanted) in buckets.count(values).into_iter().zip(&mut wanted) {
        let end = start + count as usize;
        while let Some(rank) = ranks.next_if(|rank| **rank < end) {
            *wanted = true;
            places.push(gathered + rank - start);
        }
        gathered += if *wanted { end - start } else { 0 };
        start = end;
    }
    places.extend(ranks.map(|_| usize::MAX));
    let found = buckets.gather(values, &wanted);
    places.into_iter().map(|place| found.get(place).map_or(f64::NAN, |key| key::number(*key))).collect()
}
