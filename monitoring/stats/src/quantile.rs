//! Sample quantiles by linear interpolation (Hyndman and Fan 1996, type 7), as numpy computes them.

/// The `q`-quantile, `q` in [0, 1], of a sorted sample of `n` values.
pub(crate) fn linear(n: usize, sorted: &impl Fn(usize) -> f64, q: f64) -> f64 {
    let Some(last) = n.checked_sub(1) else { return f64::NAN };
    let position = last as f64 * q.clamp(0.0, 1.0);
    let below = (position.floor() as usize).min(last);
    let (low, high) = (sorted(below), sorted((below + 1).min(last)));
    if low == high {
        return low;
    }
    let weight = position - below as f64;
    // From the nearer end, so that neither end is missed by rounding.
    if weight < 0.5 { low + (high - low) * weight } else { high - (high - low) * (1.0 - weight) }
}
