//! Adaptive gradient clipping (Brock et al. 2021, section 4.1): a gradient may be so large as its weights are, times a factor.
//!
//! For networks without normalisation, where a channel's weights may be a hundred times smaller than its neighbour's and its
//! gradients a hundred times larger.

use crate::simd::sum;

/// Units much smaller than the others of their variable could not move at all: they count as this share of the others'.
const LEAST: f32 = 0.01;

/// Shrinks the gradient of each unit of `row` weights to at most `most` times the length of the unit.
pub(crate) fn clip(weights: &[f32], gradient: &mut [f32], row: usize, most: f32) {
    let row = row.max(1);
    let length = |values: &[f32]| sum(values, |value| value * value).sqrt();
    let mean = length(weights) * (row as f32 / weights.len().max(1) as f32).sqrt();
    for (weights, gradient) in weights.chunks(row).zip(gradient.chunks_mut(row)) {
        let (allowed, found) = (most * length(weights).max(LEAST * mean), length(gradient));
        // A variable that is zero throughout is left to its gradient.
        if found > allowed && allowed > 0.0 {
            gradient.iter_mut().for_each(|value| *value *= allowed / found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_larger_than_their_unit_allows_are_shrunk_and_others_are_not() {
        let weights = [3.0, 4.0, 0.003, 0.004];
        let mut gradient = [0.3, 0.4, 30.0, 40.0];
        clip(&weights, &mut gradient, 2, 0.2);
        assert_eq!(gradient[..2], [0.3, 0.4]);
        // Of the length 5, 5 and 0.005 have the mean 5 / sqrt(2), of which a hundredth counts.
        let allowed = 0.2 * 0.01 * 5.0 / 2.0_f32.sqrt();
        assert!((gradient[2] / gradient[3] - 0.75).abs() < 1e-5, "the direction stays");
        assert!((gradient[2].hypot(gradient[3]) - allowed).abs() < 1e-5, "{gradient:?}");
    }

    #[test]
    fn a_variable_of_zeros_is_left_to_its_gradient() {
        let mut gradient = [1.0, 2.0];
        clip(&[0.0, 0.0], &mut gradient, 1, 0.1);
        assert_eq!(gradient, [1.0, 2.0]);
    }
}
