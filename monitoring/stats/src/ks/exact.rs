//! The exact p-value. Two samples without ties in random order are a random lattice path from (0, 0) to (n, m); D reaches d
//! where the path leaves a band around the diagonal (Hodges 1957).

/// Beyond this exponent of its upper bound a p-value is below the smallest number.
const VANISHES_AT: f64 = 760.0;

/// The probability that two samples of `n` and `m` observations of one continuous distribution are at least `d` apart,
/// by the share of paths to each point that have left the band. Only sums of products of positive numbers, so small ones
/// keep their digits (Viehmann, arXiv:2102.08037).
pub(super) fn p_value(d: f64, n: u64, m: u64) -> f64 {
    if n == 0 || m == 0 {
        return f64::NAN;
    }
    let (n, m) = (n.max(m), n.min(m));
    let divisor = gcd(n, m);
    let (step_i, step_j) = (m / divisor, n / divisor);
    // d is a multiple of one over the least common multiple.
    let width = (d * (n * step_i) as f64).round() as u64;
    if width == 0 {
        return 1.0;
    }
    if 2.0 * d * d * (n as f64 / (n + m) as f64) * m as f64 > VANISHES_AT {
        return 0.0;
    }
    let band = |i: u64| {
        let at = i * step_i;
        let low = at.saturating_sub(width - 1).div_ceil(step_j);
        (low, ((at + width - 1) / step_j).min(m))
    };
    // outside[j]: of the paths to (i, j), the share that has left the band; 1 at every point outside of it.
    let mut outside = vec![1.0_f64; m as usize + 2];
    let inverses: Vec<f64> = (0..=n + m).map(|steps| (steps as f64).recip()).collect();
    for i in 0..=n {
        let (low, high) = band(i);
        let mut left = 1.0;
        if low == 0 {
            // Along the axis there is one path, and here it is still inside.
            outside[0] = 0.0;
            left = 0.0;
        } else {
            outside[low as usize - 1] = 1.0;
        }
        for j in low.max(1)..=high {
            let below = outside[j as usize];
            left = (i as f64 * below + j as f64 * left) * inverses[(i + j) as usize];
            outside[j as usize] = left;
        }
    }
    outside[m as usize]
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
