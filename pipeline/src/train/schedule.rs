//! The learning rate over a run: linear warm-up (Goyal et al. 2017), then half a cosine (Loshchilov and Hutter 2017).

use super::settings::Settings;

/// Learning rate at a place in the run, in epochs from its start.
pub(super) fn learning_rate(settings: &Settings, at: f64) -> f64 {
    let warmup = settings.warmup_epochs;
    if at < warmup {
        // Never zero: the first step is to move something.
        return settings.learning_rate * ((at + 0.05) / (warmup + 0.05)).min(1.0);
    }
    let rest = (f64::from(settings.epochs) - warmup).max(f64::EPSILON);
    let through = ((at - warmup) / rest).clamp(0.0, 1.0);
    settings.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * through).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_to_the_rate_asked_for_and_falls_to_nothing() {
        let settings = Settings { epochs: 10, warmup_epochs: 2.0, learning_rate: 0.4, ..Settings::default() };
        let rates: Vec<f64> = (0..=100).map(|tenth| learning_rate(&settings, f64::from(tenth) / 10.0)).collect();
        assert!(rates[0] > 0.0 && rates[0] < 0.02);
        assert!((rates[20] - 0.4).abs() < 1e-9);
        assert!(rates[..20].is_sorted() && rates[20..].is_sorted_by(|a, b| a >= b));
        assert!((rates[60] - 0.2).abs() < 1e-9, "half way down at half time");
        assert!(rates[100] < 1e-9);
    }
}
