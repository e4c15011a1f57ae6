//! Drift over sealed panes, with a stated rate of false alarms.

/// How the KS distance of a pane becomes evidence against `H0: D <= tau`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaneTest {
    /// Distance that is not worth an alarm.
    tau: f64,
    /// Exponent of the calibrator that turns p-values into e-values.
    kappa: f64,
    /// What the reference may be off by.
    reference_error: f64,
}

impl PaneTest {
    /// Distance that is not worth an alarm where nobody says another.
    pub const TAU: f64 = 0.05;
    /// Exponent of the calibrator where nobody says another.
    pub const KAPPA: f64 = 0.5;

    /// For a reference of `n` independent observations. The p-values of *all* panes are valid with probability `1 - delta`
    /// over the reference (Dvoretzky, Kiefer and Wolfowitz 1956; Massart 1990).
    #[must_use]
    pub fn new(tau: f64, delta: f64, n: f64) -> Self {
        Self { tau, kappa: Self::KAPPA, reference_error: ((2.0 / delta).ln() / (2.0 * n)).sqrt() }
    }

    /// With another exponent, in (0, 1): the smaller, the more a single pane can say and the less many small ones do.
    #[must_use]
    pub fn with_kappa(self, kappa: f64) -> Self {
        Self { kappa, ..self }
    }

    /// The p-value of a pane of `m` independent observations whose KS distance is at least `ks_lo`:
    /// `min(1, 2 exp(-2 m u^2))`, `u = (ks_lo - tau - sqrt(ln(2/delta) / (2n)))+`. May be as small as 0 by underflow.
    #[must_use]
    pub fn p_value(&self, ks_lo: f64, m: f64) -> f64 {
        self.ln_p_value(ks_lo, m).exp()
    }

    /// The logarithm of the e-value `kappa p^(kappa - 1)` (Vovk and Wang, "E-values: Calibration, combination and
    /// applications", 2021).
    #[must_use]
    pub fn ln_e_value(&self, ks_lo: f64, m: f64) -> f64 {
        self.kappa.ln() + (self.kappa - 1.0) * self.ln_p_value(ks_lo, m)
    }

    fn ln_p_value(&self, ks_lo: f64, m: f64) -> f64 {
        let beyond = (ks_lo - self.tau - self.reference_error).max(0.0);
        (std::f64::consts::LN_2 - 2.0 * m * beyond * beyond).min(0.0)
    }
}

/// Evidence over panes: `M <- e max(M, 1)`, alarm at `M >= c`, then anew from 1.
///
/// While nothing is wrong, alarms are at least `c` panes apart *on average* (an e-detector of CUSUM form: Shin, Ramdas and
/// Rinaldo, "E-detectors", 2023). That there will never be one is not promised: with c = 20, one comes by pane 1,000 nearly
/// always. One false alarm a year and feature at panes of 5 minutes is c = 105,120.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PaneProcess {
    ln_c: f64,
    ln_m: f64,
}

impl PaneProcess {
    /// With no evidence yet. A `c` below 1 counts as 1, which alarms at everything.
    #[must_use]
    pub fn new(c: f64) -> Self {
        Self { ln_c: c.max(1.0).ln(), ln_m: 0.0 }
    }

    /// Takes in a pane's e-value; whether that is an alarm. Whoever has no e-value for a pane takes in none; NaN is no
    /// evidence either.
    pub fn update(&mut self, ln_e_value: f64) -> bool {
        if ln_e_value.is_nan() {
            return false;
        }
        self.ln_m = ln_e_value + self.ln_m.max(0.0);
        let alarm = self.ln_m >= self.ln_c;
        if alarm {
            self.ln_m = 0.0;
        }
        alarm
    }

    /// Least number of panes between false alarms on average, per feature.
    #[must_use]
    pub fn average_run_length(&self) -> f64 {
        self.ln_c.exp()
    }

    /// The evidence M.
    #[must_use]
    pub fn evidence(&self) -> f64 {
        self.ln_m.exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_pane_halves_the_evidence_but_not_below_the_floor() {
        let test = PaneTest::new(0.05, 0.01, 1e6);
        let mut process = PaneProcess::new(100.0);
        for _ in 0..50 {
            assert!(!process.update(test.ln_e_value(0.04, 1_000.0)));
            assert!((process.evidence() - 0.5).abs() < 1e-12);
        }
    }

    #[test]
    fn the_p_value_is_the_formula() {
        let p = PaneTest::new(0.05, 0.01, 10_000.0).p_value(0.2, 300.0);
        let u: f64 = 0.2 - 0.05 - (200.0_f64.ln() / 20_000.0).sqrt();
        assert!((p / (2.0 * (-600.0 * u * u).exp()) - 1.0).abs() < 1e-12);
        assert_eq!(PaneTest::new(0.05, 0.01, 10_000.0).p_value(0.05, 300.0), 1.0);
    }

    #[test]
    fn weak_evidence_adds_up_to_an_alarm_and_begins_anew() {
        let mut process = PaneProcess::new(1e5);
        let alarms: Vec<bool> = (0..12).map(|_| process.update(10.0_f64.ln() + 1e-9)).collect();
        assert_eq!(alarms.iter().filter(|alarm| **alarm).count(), 2);
        assert!(alarms[4] && alarms[9]);
        assert!((process.average_run_length() - 1e5).abs() < 1e-6);
    }

    #[test]
    fn certain_drift_alarms_without_overflow() {
        let test = PaneTest::new(0.05, 0.01, 1e6).with_kappa(0.1);
        let mut process = PaneProcess::new(1e300);
        assert!(process.update(test.ln_e_value(1.0, 1e9)));
        assert_eq!(process.evidence(), 1.0);
        assert!(!process.update(f64::NAN));
    }
}
