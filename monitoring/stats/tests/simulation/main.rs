//! How often verdicts are wrong, and how often right, by simulation. Seeds are fixed, so a rate is the same on every run;
//! tolerances are three standard errors around the rate that is claimed.

#![allow(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod autocorrelated;
mod evidence;
mod independent;
mod line;
mod long_run;
mod random;
mod rates;
mod stations;

/// Three standard errors of a rate seen in so many trials.
fn three_sigma(rate: f64, trials: usize) -> f64 {
    3.0 * (rate * (1.0 - rate) / trials as f64).sqrt()
}

/// A share that should be at most `claimed`.
#[track_caller]
fn at_most(claimed: f64, hits: usize, trials: usize, what: &str) {
    let found = hits as f64 / trials as f64;
    assert!(
        found <= claimed + three_sigma(claimed, trials),
        "{what}: {found:.4} of {trials}, at most {claimed} is claimed"
    );
}

/// A share that should be about `claimed`.
#[track_caller]
fn about(claimed: f64, hits: usize, trials: usize, what: &str) {
    let found = hits as f64 / trials as f64;
    assert!(
        (found - claimed).abs() <= 0.01 + three_sigma(claimed, trials),
        "{what}: {found:.4} of {trials}, about {claimed} is claimed"
    );
}
