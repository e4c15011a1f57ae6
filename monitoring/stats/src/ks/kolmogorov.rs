//! The law of the one-sample KS distance at finite n, choosing among methods as Simard and L'Ecuyer do ("Computing the
//! Two-Sided Kolmogorov-Smirnov Distribution", Journal of Statistical Software 39(11), 2011).

use std::f64::consts::PI;

use crate::special::binomial_term;

/// Up to here the matrix method is exact and cheap.
const MATRIX_TO: f64 = 140.0;
/// From this `n d^2` on the two one-sided events all but exclude each other.
const ONE_SIDED_FROM: f64 = 2.2;
/// The same where the matrix method could take over.
const ONE_SIDED_FROM_SMALL: f64 = 4.0;
/// From this `n d^2` on the probability is below the smallest number.
const VANISHES_AT: f64 = 370.0;
/// A sum over more terms than this is one over so many of them.
const TERMS: u64 = 4_096;

/// `P(D >= d)` for the KS distance between a sample of `n` values, a whole number, and the distribution it is from.
/// Relative error about 1e-6 where scipy's is, 1e-12 where the law is computed exactly.
#[must_use]
pub fn kolmogorov_upper(n: f64, d: f64) -> f64 {
    let t = n * d;
    let square = t * d;
    if n.is_nan() || d.is_nan() || n < 1.0 {
        f64::NAN
    } else if t <= 0.5 {
        1.0
    } else if d >= 1.0 || square >= VANISHES_AT && n > MATRIX_TO {
        0.0
    } else if t <= 1.0 {
        1.0 - (ln_factorial_over_power(n) + n * (2.0 * t - 1.0).ln()).exp()
    } else if d >= 0.5 || square >= if n > MATRIX_TO { ONE_SIDED_FROM } else { ONE_SIDED_FROM_SMALL } {
        (2.0 * one_sided_upper(n, d)).min(1.0)
    } else if n <= MATRIX_TO || n <= 100_000.0 && t * d.sqrt() <= 1.4 {
        1.0 - matrix(n, d)
    } else {
        1.0 - expansion(n, d)
    }
}

/// `ln(n! / n^n)`, by Stirling.
fn ln_factorial_over_power(n: f64) -> f64 {
    libm::lgamma(n + 1.0) - n * n.ln()
}

/// `P(D+ >= d)`, exactly: `d sum_j C(n, j) p^(j-1) q^(n-j)` with `p = d + j/n = 1 - q` (Birnbaum and Tingey 1951), each term
/// a binomial probability over p.
///
/// Over many j the terms are a smooth function that vanishes with all its derivatives at both ends, where the trapezoidal
/// rule converges faster than any power: a few thousand points of it give all digits.
fn one_sided_upper(n: f64, d: f64) -> f64 {
    let last = (n * (1.0 - d)).floor() as u64;
    let step = (last / TERMS).max(1);
    let terms = (0..=last).step_by(step as usize).map(|j| {
        let p = d + j as f64 / n;
        binomial_term(j as f64, n, p) / p
    });
    d * step as f64 * terms.sum::<f64>()
}

/// `P(D < d)`, exactly, by the matrix form of Durbin's recursion (Marsaglia, Tsang and Wang 2003): with d = (k - h)/n it is
/// `n!/n^n` times the middle element of the n-th power of a matrix of side 2k - 1.
fn matrix(n: f64, d: f64) -> f64 {
    let t = n * d;
    let k = t.ceil();
    let h = k - t;
    let side = 2 * k as usize - 1;
    let inverse_factorial: Vec<f64> = (1..=side)
        .scan(1.0, |f, i| {
            *f /= i as f64;
            Some(*f)
        })
        .collect();
    let mut base = Scaled::zero(side);
    for row in 0..side {
        for column in 0..side.min(row + 2) {
            // 1 / (row - column + 1)!
            let entry = if row + 1 == column { 1.0 } else { inverse_factorial[row - column] };
            base.entries[row * side + column] = entry;
        }
    }
    for (i, inverse) in inverse_factorial.iter().enumerate() {
        let missing = h.powi(i as i32 + 1) * inverse;
        base.entries[i * side] -= missing;
        base.entries[(side - 1) * side + side - 1 - i] -= missing;
    }
    if 2.0 * h > 1.0 {
        base.entries[(side - 1) * side] += (2.0 * h - 1.0).powi(side as i32) * inverse_factorial[side - 1];
    }
    let power = base.power(n as u64);
    let middle = power.entries[(side / 2) * side + side / 2];
    middle * (ln_factorial_over_power(n) + power.ln_scale).exp()
}

/// A square matrix times `e^ln_scale`, so that high powers stay within range.
struct Scaled {
    side: usize,
    entries: Vec<f64>,
    ln_scale: f64,
}

impl Scaled {
    fn zero(side: usize) -> Self {
        Self { side, entries: vec![0.0; side * side], ln_scale: 0.0 }
    }

    fn power(self, exponent: u64) -> Self {
        let mut result = Self::zero(self.side);
        result.entries.iter_mut().step_by(self.side + 1).for_each(|entry| *entry = 1.0);
        let mut square = self;
        let mut rest = exponent;
        while rest > 0 {
            if rest % 2 == 1 {
                result = result.times(&square);
            }
            square = square.times(&square);
            rest /= 2;
        }
        result
    }

    fn times(&self, other: &Self) -> Self {
        let mut product = Self::zero(self.side);
        let rows = self.entries.chunks_exact(self.side).zip(product.entries.chunks_exact_mut(self.side));
        for (row, sums) in rows {
            for (factor, line) in row.iter().zip(other.entries.chunks_exact(self.side)) {
                sums.iter_mut().zip(line).for_each(|(sum, entry)| *sum += factor * entry);
            }
        }
        let largest = product.entries.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        product.entries.iter_mut().for_each(|entry| *entry /= largest);
        product.ln_scale = self.ln_scale + other.ln_scale + largest.ln();
        product
    }
}

/// `P(D < d)` by the expansion of Pelz and Good (1976) in powers of `1 / sqrt n`, to the third, with the terms in the form
/// that Jacobi's theta functions give them, which converges for small `z = d sqrt n`.
fn expansion(n: f64, d: f64) -> f64 {
    let z = d * n.sqrt();
    let (z2, z3, z4, z6) = (z * z, z.powi(3), z.powi(4), z.powi(6));
    let mut odd = [0.0; 4];
    let mut even = [0.0; 2];
    // e^{-x} of the last terms is below 1e-40 at z <= 1.5.
    for k in 0..12 {
        let x = (PI * (f64::from(k) + 0.5)).powi(2);
        let weight = (-x / (2.0 * z2)).exp();
        odd[0] += weight;
        odd[1] += weight * (x - z2);
        odd[2] += weight * (6.0 * z6 + 2.0 * z4 + x * (2.0 * z4 - 5.0 * z2) + x * x * (1.0 - 2.0 * z2));
        odd[3] += weight
            * (x.powi(3) * (5.0 - 30.0 * z2) + x * x * (212.0 * z4 - 60.0 * z2) + x * (135.0 * z4 - 96.0 * z6)
                - 30.0 * z6
                - 90.0 * z4 * z4);
        let x = (PI * f64::from(k)).powi(2);
        let weight = (-x / (2.0 * z2)).exp();
        even[0] += weight * x;
        even[1] += weight * (3.0 * x * z2 - x * x);
    }
    // Sums over all integers are twice those over k >= 0.
    let twice = 2.0 * (PI / 2.0).sqrt();
    let root = n.sqrt();
    let by_order = [
        odd[0] / z,
        odd[1] / (6.0 * z4),
        odd[2] / (72.0 * z3 * z4) - even[0] / (36.0 * z3),
        odd[3] / (6480.0 * z6 * z4) + even[1] / (216.0 * z6),
    ];
    twice * by_order.iter().rev().fold(0.0, |sum, term| sum / root + term)
}
