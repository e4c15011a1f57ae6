//! Where an increasing function is zero.

/// Bisection alone would need this many steps between the smallest and the largest number.
const MOST_STEPS: usize = 2_200;

/// The zero between `low` and `high` of a function that gives its value and its slope: Newton's steps from `start`, and
/// a bisection wherever one leaves the bracket or the bracket shrinks too slowly.
pub(crate) fn increasing(f: impl Fn(f64) -> (f64, f64), mut low: f64, mut high: f64, start: f64) -> f64 {
    let mut x = start;
    let mut size = high - low;
    for step in 0..MOST_STEPS {
        let (value, slope) = f(x);
        if value == 0.0 {
            return x;
        }
        if value < 0.0 {
            low = x;
        } else {
            high = x;
        }
        let newton = x - value / slope;
        let stuck = step % 4 == 3 && std::mem::replace(&mut size, high - low) < 4.0 * (high - low);
        let middle = low + 0.5 * (high - low);
        let converging = (newton - x).abs() <= 1e-3 * x.abs();
        let next = if newton > low && newton < high && (converging || !stuck) { newton } else { middle };
        if (next - x).abs() <= 4.0 * f64::EPSILON * x.abs() || next == x {
            return next;
        }
        x = next;
    }
    x
}
