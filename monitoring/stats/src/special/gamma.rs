//! The incomplete gamma function by its series and continued fraction (DLMF 8.7.1 and 8.9.2), with the factor before
//! them as a Poisson probability in saddle-point form (Loader, "Fast and accurate computation of binomial
//! probabilities", 2000).

/// Below this relative size a further term changes nothing.
const EPSILON: f64 = 1e-17;
/// More steps than any argument below 1e14 needs; a bound against looping on nonsense.
const MOST_STEPS: usize = 100_000_000;
/// Keeps Lentz's method from dividing by zero.
const TINY: f64 = 1e-300;
/// From here on Stirling's series has all digits.
const STIRLING_FROM: f64 = 16.0;

/// `P(a, x)`, the share of a gamma distribution of shape `a` below `x`.
pub(crate) fn gamma_lower(a: f64, x: f64) -> f64 {
    if (a + x).is_nan() {
        f64::NAN
    } else if x <= 0.0 {
        0.0
    } else if x < a + 1.0 {
        series(a, x)
    } else {
        1.0 - fraction(a, x)
    }
}

/// `Q(a, x) = 1 - P(a, x)`, with all its digits where it is small.
pub(crate) fn gamma_upper(a: f64, x: f64) -> f64 {
    if (a + x).is_nan() {
        f64::NAN
    } else if x <= 0.0 {
        1.0
    } else if x < a + 1.0 {
        1.0 - series(a, x)
    } else {
        fraction(a, x)
    }
}

/// `x^k e^-x / gamma(k + 1)`, the Poisson probability of `k` at mean `x`, also for `k` that is no integer.
pub(crate) fn poisson(k: f64, x: f64) -> f64 {
    if x == 0.0 {
        return if k == 0.0 { 1.0 } else { 0.0 };
    }
    if k == 0.0 {
        return (-x).exp();
    }
    (-stirling_error(k) - deviance(k, x)).exp() / (std::f64::consts::TAU * k).sqrt()
}

/// `ln gamma(n + 1)` less Stirling's approximation of it: `1/(12 n) - 1/(360 n^3) + ...`.
pub(super) fn stirling_error(n: f64) -> f64 {
    if n < STIRLING_FROM {
        let half_ln_tau = 0.5 * std::f64::consts::TAU.ln();
        return libm::lgamma(n + 1.0) - (n + 0.5) * n.ln() + n - half_ln_tau;
    }
    let square = n * n;
    let inner = 1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / (1188.0 * square)) / square;
    (1.0 / 12.0 - (1.0 / 360.0 - inner / square) / square) / n
}

/// `x ln(x / mean) + mean - x`, without cancellation where `x` is near `mean`.
pub(super) fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - difference;
    }
    // x ln(x / mean) = 2 x artanh(v), whose first term all but cancels the difference.
    let v = difference / (x + mean);
    let mut sum = difference * v;
    let mut power = 2.0 * x * v;
    let mut odd = 3.0;
    loop {
        power *= v * v;
        let next = sum + power / odd;
        if next == sum {
            return next;
        }
        sum = next;
        odd += 2.0;
    }
}

/// `P(a, x)` for `x < a + 1`.
fn series(a: f64, x: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    let mut shape = a;
    for _ in 0..MOST_STEPS {
        shape += 1.0;
        term *= x / shape;
        sum += term;
        if term < sum * EPSILON {
            break;
        }
    }
    sum * poisson(a, x)
}

/// `Q(a, x)` for `x >= a + 1`, by the modified method of Lentz (Thompson and Barnett 1986).
fn fraction(a: f64, x: f64) -> f64 {
    let mut b = x + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut product = d;
    let mut i = 0.0;
    for _ in 0..MOST_STEPS {
        i += 1.0;
        let numerator = -i * (i - a);
        b += 2.0;
        d = away_from_zero(numerator * d + b).recip();
        c = away_from_zero(b + numerator / c);
        product *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    product * poisson(a, x) * a
}

pub(super) fn away_from_zero(x: f64) -> f64 {
    if x.abs() < TINY { TINY } else { x }
}
