//! The exponential function in plain arithmetic, which loops are compiled to vectors with; that of the C library is a call.

/// `exp(x)` within 3e-7 of itself; beyond -87 and 88 as there.
///
/// `exp(x) = 2^n * exp(r)` with the integer `n` nearest to `x / ln 2`, so that `|r| <= ln 2 / 2`, where Taylor's polynomial of the
/// seventh degree is off by `r^8 / 8! < 6e-9`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    /// Added to a number below 2^22 it leaves no room for a fraction: the sum's low bits are the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    /// `ln 2` in two parts, of which the first has 9 bits: its product with `n` is exact (Cody and Waite 1980).
    const HIGH: f32 = 355.0 / 512.0;
    #[expect(clippy::cast_possible_truncation, reason = "the rest is small")]
    const LOW: f32 = (std::f64::consts::LN_2 - 355.0 / 512.0) as f32;
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * HIGH) - n * LOW;
    let tail = 1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0));
    let series = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * tail))));
    // n at the place of a float's exponent, whose zero is 127.
    series * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential_function_from_end_to_end() {
        for step in -8700..=8800 {
            let x = step as f32 / 100.0;
            let expected = f64::from(x).exp();
            let off = (f64::from(exp(x)) / expected - 1.0).abs();
            assert!(off < 3e-7, "exp({x}) is {off} off");
        }
    }

    #[test]
    fn the_ends_are_finite_and_nan_comes_through() {
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
        assert_eq!(exp(f32::INFINITY), exp(88.0));
        assert!(exp(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
        assert_eq!((sigmoid(200.0), sigmoid(0.0)), (1.0, 0.5));
        assert!(sigmoid(-200.0) > 0.0 && sigmoid(-200.0) < 1e-37);
    }
}
