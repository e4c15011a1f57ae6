//! Counting of values between edges.

/// With more edges than this a search per value is faster than a pass per edge.
const PASSES_TO: usize = 64;
/// So many values stay in the first-level cache from pass to pass.
const CHUNK: usize = 2_048;

/// Counts per bin between ascending `edges`, `[a, b)` with open ends; NaN in none.
#[must_use]
pub fn count(values: &[f64], edges: &[f64]) -> Vec<f64> {
    let counts = if edges.len() <= PASSES_TO { by_passes(values, edges) } else { by_search(values, edges) };
    counts.into_iter().map(|count| count as f64).collect()
}

/// The same of ascending values without NaN: a search per edge instead of one per value.
#[must_use]
pub fn count_sorted(sorted: &[f64], edges: &[f64]) -> Vec<f64> {
    let mut from = 0;
    let ends = edges.iter().map(|edge| sorted.partition_point(|value| value < edge)).chain([sorted.len()]);
    ends.map(|to| (to - std::mem::replace(&mut from, to)) as f64).collect()
}

/// How many values are not below each edge, and the differences of that: comparisons without branches or scattered
/// writes, several values at a time.
fn by_passes(values: &[f64], edges: &[f64]) -> Vec<u64> {
    let mut from = vec![0_u64; edges.len() + 1];
    for chunk in values.chunks(CHUNK) {
        let thresholds = std::iter::once(f64::NEG_INFINITY).chain(edges.iter().copied());
        for (from, edge) in from.iter_mut().zip(thresholds) {
            // Checked additions would be done one at a time; a chunk's count can't overflow.
            *from += chunk.iter().fold(0_u64, |n, value| n.wrapping_add(u64::from(*value >= edge)));
        }
    }
    let next = from.iter().skip(1).copied().chain([0]).collect::<Vec<_>>();
    from.iter().zip(next).map(|(from, next)| from - next).collect()
}

fn by_search(values: &[f64], edges: &[f64]) -> Vec<u64> {
    let mut counts = vec![0; edges.len() + 1];
    for value in values.iter().filter(|value| !value.is_nan()) {
        counts[edges.partition_point(|edge| edge <= value)] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_of_counting_agree() {
        let values: Vec<f64> = (0..5_000)
            .map(|i| match i % 50 {
                0 => f64::NAN,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                _ => f64::from((i * 7_919) % 100),
            })
            .collect();
        let edges: Vec<f64> = (10..90).step_by(10).map(f64::from).collect();
        let found = by_passes(&values, &edges);
        assert_eq!(found, by_search(&values, &edges));
        assert_eq!(found.iter().sum::<u64>(), 4_900);
        assert_eq!(count(&[1.0, f64::NAN], &[]), [1.0]);
        assert_eq!(count_sorted(&crate::order::ascending(&values), &edges), count(&values, &edges));
        assert_eq!(count_sorted(&[], &edges), vec![0.0; edges.len() + 1]);
    }
}
