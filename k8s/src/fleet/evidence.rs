//! Evidence of independent devices, multiplied.
//!
//! Each device reports the logarithm of an e-process: its expectation under "the candidate is not worse" is at most 1 whenever one
//! looks, and stays so when the device stops. The product over independent devices has the same property, so that by
//! Ville's inequality it reaches 1/alpha with probability alpha at most, however many devices there are and however often one
//! looks. (Vovk and Wang, "E-values: calibration, combination and applications", 2021.)

use std::collections::BTreeMap;

use takt_rollout::Plan;

use super::device::Device;

/// Logarithms of e-values by gate.
pub type LnE = BTreeMap<String, f64>;

/// What all devices together have against the candidate.
#[derive(Debug, Clone, PartialEq)]
pub struct Pooled {
    /// The gate.
    pub gate: String,
    /// Logarithm of the product of e-values.
    pub ln_e: f64,
    /// Logarithm at which it decides; `None` where the gate may not reject.
    pub ln_threshold: Option<f64>,
}

impl Pooled {
    /// Whether it decides.
    #[must_use]
    pub fn rejects(&self) -> bool {
        self.ln_threshold.is_some_and(|threshold| self.ln_e >= threshold)
    }
}

/// The evidence of all devices by gate. Those that stopped or went away count with what they had seen.
#[must_use]
pub fn pool<'a>(plan: &Plan, devices: impl IntoIterator<Item = &'a Device>) -> Vec<Pooled> {
    let mut sums = LnE::new();
    for device in devices {
        add(&mut sums, &device.evidence);
        add(&mut sums, &device.past);
    }
    let rejecting: BTreeMap<String, bool> =
        plan.gates.modes().map(|(gate, mode)| (gate.to_string(), mode.may_reject())).collect();
    let threshold = plan.alpha_per_gate().ln_threshold();
    sums.into_iter()
        .map(|(gate, ln_e)| {
            let rejects = rejecting.get(&gate).copied().unwrap_or(false);
            Pooled { gate, ln_e, ln_threshold: rejects.then_some(threshold) }
        })
        .collect()
}

/// Adds logarithms gate by gate.
pub(super) fn add(sums: &mut LnE, more: &LnE) {
    for (gate, ln_e) in more {
        *sums.entry(gate.clone()).or_default() += ln_e;
    }
}
