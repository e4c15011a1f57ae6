//! The incomplete beta function by its continued fraction (DLMF 8.17.22), its inverse, and Student's t from it.

use super::gamma::{away_from_zero, deviance, stirling_error};
use super::solve::increasing;

/// Steps grow with the square root of the larger argument; this bounds them for any count.
const MOST_STEPS: usize = 10_000_000;

/// Which tail a probability is the size of, so that a small one keeps its digits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Tail {
    Lower(f64),
    Upper(f64),
}

/// `I_x(a, b)`, the share of a beta distribution below `x`, for positive `a` and `b`.
pub(crate) fn beta_lower(x: f64, a: f64, b: f64) -> f64 {
    let y = 1.0 - x;
    if x <= 0.0 {
        0.0
    } else if y <= 0.0 {
        1.0
    } else if x <= (a + 1.0) / (a + b + 2.0) {
        fraction(x, y, a, b)
    } else {
        1.0 - fraction(y, x, b, a)
    }
}

/// `I_{1-x}(b, a)`, the share above `x`, with all its digits where it is small.
pub(crate) fn beta_upper(x: f64, a: f64, b: f64) -> f64 {
    let y = 1.0 - x;
    if x <= 0.0 {
        1.0
    } else if y <= 0.0 {
        0.0
    } else if x <= (a + 1.0) / (a + b + 2.0) {
        1.0 - fraction(x, y, a, b)
    } else {
        fraction(y, x, b, a)
    }
}

/// Where a beta distribution has the given tail.
pub(crate) fn beta_quantile(tail: Tail, a: f64, b: f64) -> f64 {
    let density = |x: f64| binomial(a, b, x, 1.0 - x) * a * b / ((a + b) * x * (1.0 - x));
    let excess = |x: f64| match tail {
        Tail::Lower(p) => beta_lower(x, a, b) - p,
        Tail::Upper(q) => q - beta_upper(x, a, b),
    };
    increasing(|x| (excess(x), density(x)), 0.0, 1.0, a / (a + b))
}

/// The share of Student's t with `degrees` of freedom above `t`.
pub(crate) fn student_upper(t: f64, degrees: f64) -> f64 {
    // Of the two complementary forms the one whose argument is not rounded to 1.
    let half = if t * t < degrees {
        0.5 * beta_upper(t * t / (degrees + t * t), 0.5, degrees / 2.0)
    } else {
        0.5 * beta_lower(degrees / (degrees + t * t), degrees / 2.0, 0.5)
    };
    if t < 0.0 { 1.0 - half } else { half }
}

/// The probability of `k` hits in `n` trials of probability `p`.
pub(crate) fn binomial_term(k: f64, n: f64, p: f64) -> f64 {
    if k == 0.0 {
        (n * (-p).ln_1p()).exp()
    } else if k == n {
        (n * p.ln()).exp()
    } else {
        binomial(k, n - k, p, 1.0 - p)
    }
}

/// `gamma(a + b + 1) / (gamma(a + 1) gamma(b + 1)) x^a y^b` with `y = 1 - x`, in saddle-point form (Loader 2000).
fn binomial(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    let correction = stirling_error(n) - stirling_error(a) - stirling_error(b);
    let exponent = correction - deviance(a, n * x) - deviance(b, n * y);
    exponent.exp() * (n / (std::f64::consts::TAU * a * b)).sqrt()
}

/// `I_x(a, b)` where the continued fraction converges fast, `x` at most the mean or so; modified method of Lentz.
fn fraction(x: f64, y: f64, a: f64, b: f64) -> f64 {
    let mut c = 1.0;
    let mut d = away_from_zero(1.0 - (a + b) * x / (a + 1.0)).recip();
    let mut product = d;
    let mut m = 0.0;
    for _ in 0..MOST_STEPS {
        m += 1.0;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut last = 1.0;
        for numerator in [even, odd] {
            d = away_from_zero(1.0 + numerator * d).recip();
            c = away_from_zero(1.0 + numerator / c);
            last = c * d;
            product *= last;
        }
        if (last - 1.0_f64).abs() < 1e-16 {
            break;
        }
    }
    binomial(a, b, x, y) * b / (a + b) * product
}
