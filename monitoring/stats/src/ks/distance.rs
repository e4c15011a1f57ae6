//! The distance, in whole numbers until the last division.
//!
//! Of large samples only those buckets are sorted that can hold the largest gap: F and G are known at the ends of
//! each, and what they can reach inside is bounded as on a reference grid (see [`crate::grid::ks_bounds`]).

use super::Ks;
use crate::order::{Buckets, LARGE, sorted_keys};

/// The distance of two samples; `None` where a side has no values.
pub(super) fn distance(a: &[f64], b: &[f64]) -> Option<Ks> {
    if a.len().max(b.len()) < LARGE {
        let (a, b) = (sorted_keys(a), sorted_keys(b));
        let (n, m) = (a.len() as i64, b.len() as i64);
        return ks(largest_gap(&a, &b, n, m, 0), n, m);
    }
    let buckets = Buckets::of(&[a, b]);
    let (counts_a, counts_b) = (buckets.count(a), buckets.count(b));
    let total = |counts: &[u64]| counts.iter().sum::<u64>() as i64;
    let (n, m) = (total(&counts_a), total(&counts_b));

    // The gap n m (F - G) after each bucket, and how far each bucket may push it either way.
    let mut gap = 0;
    let steps: Vec<Step> = counts_a
        .iter()
        .zip(&counts_b)
        .map(|(&in_a, &in_b)| {
            let before = gap;
            gap += m * in_a as i64 - n * in_b as i64;
            let reach = (before + m * in_a as i64).max(n * in_b as i64 - before) as u64;
            Step { before, reach, in_a: in_a as usize, in_b: in_b as usize }
        })
        .collect();
    let mut largest = steps.iter().map(|step| step.before.unsigned_abs()).max().unwrap_or(0);
    let wanted: Vec<bool> = steps.iter().map(|step| step.reach > largest).collect();

    let (keys_a, keys_b) = (buckets.gather(a, &wanted), buckets.gather(b, &wanted));
    let (mut rest_a, mut rest_b) = (&keys_a[..], &keys_b[..]);
    for (step, _) in steps.iter().zip(&wanted).filter(|(_, wanted)| **wanted) {
        let (inside_a, inside_b);
        (inside_a, rest_a) = rest_a.split_at(step.in_a);
        (inside_b, rest_b) = rest_b.split_at(step.in_b);
        if step.reach > largest {
            largest = largest.max(largest_gap(inside_a, inside_b, n, m, step.before));
        }
    }
    ks(largest, n, m)
}

/// What happens in a bucket.
struct Step {
    before: i64,
    /// The gap's size stays within.
    reach: u64,
    in_a: usize,
    in_b: usize,
}

/// The largest size of `start + m i - n j` where i and j are the values of sorted `a` and `b` up to any value.
fn largest_gap(a: &[u64], b: &[u64], n: i64, m: i64, start: i64) -> u64 {
    let (mut i, mut j) = (0, 0);
    let mut largest = 0;
    while let Some(value) = [a.get(i), b.get(j)].into_iter().flatten().min() {
        // All equal values count before the gap does.
        while a.get(i) == Some(value) {
            i += 1;
        }
        while b.get(j) == Some(value) {
            j += 1;
        }
        largest = largest.max((start + m * i as i64 - n * j as i64).unsigned_abs());
    }
    largest
}

fn ks(largest: u64, n: i64, m: i64) -> Option<Ks> {
    (n > 0 && m > 0).then(|| Ks { d: largest as f64 / (n * m) as f64, n: n as u64, m: m as u64 })
}
