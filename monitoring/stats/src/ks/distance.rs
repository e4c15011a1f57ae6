//! The distance of two sorted samples, in whole numbers until the last division.

/// `sup |F - G|`, in one merge. Both sides have values.
pub(super) fn sorted(a: &[u64], b: &[u64]) -> f64 {
    let (n, m) = (a.len() as i64, b.len() as i64);
    let (mut i, mut j) = (0, 0);
    // n m (F - G), and the largest of its sizes where a run of equal values ends.
    let mut difference = 0_i64;
    let mut largest = 0_u64;
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let value = x.min(y);
        let (from_a, from_b) = (x <= y, y <= x);
        i += usize::from(from_a);
        j += usize::from(from_b);
        difference += m * i64::from(from_a) - n * i64::from(from_b);
        // Without a branch: which way it goes is a coin toss.
        let run_ends = (a.get(i) != Some(value)) & (b.get(j) != Some(value));
        largest = largest.max(difference.unsigned_abs() * u64::from(run_ends));
    }
    // One side is used up: what is left of the other takes the difference back to zero, from the end of this run.
    let (rest, last, step) = if i == a.len() { (&b[j..], a.last(), -n) } else { (&a[i..], b.last(), m) };
    let ties = rest.iter().take_while(|value| Some(*value) == last).count() as i64;
    largest = largest.max((difference + ties * step).unsigned_abs());
    largest as f64 / (n * m) as f64
}
