//! P-values from what a statistic came to while nothing was wrong.

/// The p-value of an observation among `null` ones: `(1 + #{null >= observed}) / (1 + N)`, never zero (Davison and Hinkley,
/// "Bootstrap Methods and their Application", 1997, section 4.2). Uniform at worst if the observation is exchangeable
/// with the null ones. NaN among the null ones counts as larger; an observation of NaN has p = 1.
#[must_use]
pub fn p_value(null: &[f32], observed: f32) -> f64 {
    let beyond = null.len() - null.iter().filter(|&&value| value < observed).count();
    (1 + beyond) as f64 / (1 + null.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::p_value;

    #[test]
    fn the_largest_of_a_hundred_has_one_in_a_hundred_and_one() {
        let null: Vec<f32> = (0..100_u8).map(f32::from).collect();
        assert_eq!(p_value(&null, 100.0), 1.0 / 101.0);
        assert_eq!(p_value(&null, 99.0), 2.0 / 101.0);
        assert_eq!(p_value(&null, -1.0), 1.0);
        assert_eq!(p_value(&null, f32::NAN), 1.0);
        assert_eq!(p_value(&[], 1.0), 1.0);
    }
}
