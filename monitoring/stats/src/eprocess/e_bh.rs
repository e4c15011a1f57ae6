//! Naming features: which of many e-values are evidence, when all were looked at.

/// The indices, ascending, of the hypotheses that e-BH rejects (Wang and Ramdas, "False discovery rate control with
/// e-values", 2022): those of the k largest e-values, for the largest k whose k-th is at least `K / (k alpha)`. Of the features
/// named, at most a share of `alpha` is named wrongly on average, however the features depend on each other. NaN is no evidence.
#[must_use]
pub fn e_bh(e_values: &[f64], alpha: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..e_values.len()).filter(|&i| !e_values[i].is_nan()).collect();
    order.sort_by(|&i, &j| e_values[j].total_cmp(&e_values[i]));
    let all = e_values.len() as f64;
    let enough = |k: usize, i: usize| (k as f64) * e_values[i] * alpha >= all;
    let named = order.iter().enumerate().rfind(|(rank, i)| enough(rank + 1, **i)).map_or(0, |(rank, _)| rank + 1);
    order.truncate(named);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::e_bh;

    #[test]
    fn a_lone_e_value_must_pay_for_all_features() {
        assert_eq!(e_bh(&[39.0, 1.0], 0.05), []);
        assert_eq!(e_bh(&[1.0, 40.0], 0.05), [1]);
    }

    #[test]
    fn features_that_drift_together_carry_each_other() {
        // 4 / (2 * 0.05) = 40 and 4 / (3 * 0.05) = 26.7.
        assert_eq!(e_bh(&[27.0, 0.5, 50.0, 30.0], 0.05), [0, 2, 3]);
        assert_eq!(e_bh(&[26.0, 0.5, 50.0, 30.0], 0.05), []);
        assert_eq!(e_bh(&[26.0, f64::NAN, f64::INFINITY, 40.0], 0.05), [2, 3]);
    }

    #[test]
    fn no_feature_names_none() {
        assert_eq!(e_bh(&[], 0.05), []);
    }
}
