//! The few functions that images need beyond `+ - * /` and `sqrt`, each exact in what bits it gives.

/// The greatest integer up to `x`, which must be within 2^31: without SSE 4.1, `f32::floor` is a slow function call.
pub(crate) fn floor(x: f32) -> f32 {
    let towards_zero = x as i32 as f32;
    if towards_zero > x { towards_zero - 1.0 } else { towards_zero }
}

/// Sine of an angle in turns (1 is a full circle), within 4e-6.
pub(crate) fn sin(turns: f32) -> f32 {
    // Folded to a quarter turn on both sides of 0, then the Taylor series, whose rest there is below 3.6e-6.
    let phase = turns - floor(turns + 0.5);
    let folded = if phase > 0.25 {
        0.5 - phase
    } else if phase < -0.25 {
        -0.5 - phase
    } else {
        phase
    };
    let x = folded * std::f32::consts::TAU;
    let x2 = x * x;
    x * (1.0 - x2 / 6.0 * (1.0 - x2 / 20.0 * (1.0 - x2 / 42.0 * (1.0 - x2 / 72.0))))
}

/// Cosine of an angle in turns.
pub(crate) fn cos(turns: f32) -> f32 {
    sin(turns + 0.25)
}

/// 0 up to `low`, 1 from `high` on, and a smooth cubic between them.
pub(crate) fn smooth_step(low: f32, high: f32, x: f32) -> f32 {
    let t = ((x - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// A bell of height 1 at 0 that reaches 0 smoothly at -1 and 1: what a Gaussian would be used for, without `exp`.
pub(crate) fn bell(x: f32) -> f32 {
    let rest = (1.0 - x * x).max(0.0);
    rest * rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sine_is_within_its_stated_error() {
        for step in -4000..4000 {
            let turns = step as f32 / 1000.0;
            let exact = (f64::from(turns) * std::f64::consts::TAU).sin();
            assert!((f64::from(sin(turns)) - exact).abs() < 4e-6, "{turns}");
        }
    }

    #[test]
    fn floor_is_the_floor() {
        for step in -4000..4000 {
            let x = step as f32 / 8.0;
            assert_eq!(floor(x), x.floor());
        }
    }

    #[test]
    fn smooth_step_ends_where_it_is_told_to() {
        assert_eq!(smooth_step(1.0, 3.0, 0.0), 0.0);
        assert_eq!(smooth_step(1.0, 3.0, 2.0), 0.5);
        assert_eq!(smooth_step(1.0, 3.0, 4.0), 1.0);
    }
}
