//! Families of rollouts. A model without one has no samples.

use takt_rollout::state::{Phase, Rollback};

use super::families::Families;
use crate::rollout::RolloutReport;

/// Labels of every phase, so that each has a sample and dashboards need no `absent`.
const PHASES: [&str; 12] = [
    "validating",
    "placing",
    "warming",
    "shadowing",
    "stepping",
    "promoting",
    "baking",
    "held",
    "aborting",
    "degraded",
    "rolled_back",
    "succeeded",
];

/// Everything that a rollout says of itself.
pub(super) fn rollouts(families: &mut Families, reports: &[RolloutReport]) {
    let mut family = families.gauge("takt_rollout_phase", "1 for the phase that the model's rollout is in");
    for report in reports {
        for phase in PHASES {
            let is = f64::from(u8::from(report.progress.phase.label() == phase));
            family.sample(&[("model", &report.model), ("phase", phase)], is);
        }
    }
    let mut family =
        families.gauge("takt_rollout_candidate_version", "Number of the version that is tried, or was last");
    reports.iter().for_each(|report| family.sample(&[("model", &report.model)], report.candidate as f64));
    let mut family =
        families.gauge("takt_rollout_weight_desired", "The candidate's share of traffic, 0 to 1, as decided");
    reports.iter().for_each(|report| family.sample(&[("model", &report.model)], report.progress.desired.get()));
    let mut family =
        families.gauge("takt_rollout_weight_observed", "The candidate's share of what was answered, 0 to 1");
    for report in reports {
        if let Some(observed) = report.progress.observed {
            family.sample(&[("model", &report.model)], observed.get());
        }
    }
    evidence(families, reports);
    let mut family =
        families.gauge("takt_rollout_exposed_units", "Units of clients that the candidate was given in this rollout");
    reports.iter().for_each(|report| family.sample(&[("model", &report.model)], report.progress.exposed as f64));
    let mut family = families
        .gauge("takt_rollout_rollback_seconds", "From the decision to go back to a share of 0, of the last rollback");
    for report in reports {
        if let Some(took) = report.progress.rollback.as_ref().and_then(Rollback::took) {
            family.sample(&[("model", &report.model)], took.as_secs_f64());
        }
    }
    let mut family =
        families.gauge("takt_rollout_shadow_copies", "Copies of requests for the candidate, by what became of them");
    for report in reports {
        for (fate, count) in [("sampled", report.copies.chosen), ("dropped", report.copies.dropped)] {
            family.sample(&[("model", &report.model), ("fate", fate)], count as f64);
        }
    }
}

fn evidence(families: &mut Families, reports: &[RolloutReport]) {
    let active =
        || reports.iter().filter(|report| !matches!(report.progress.phase, Phase::Succeeded | Phase::RolledBack));
    let mut family = families.gauge(
        "takt_rollout_evidence_log",
        "Logarithm of the evidence against the candidate, by gate; it is taken back where that reaches the threshold",
    );
    for report in active() {
        for gate in &report.progress.gates {
            if let Some(against) = gate.against {
                family.sample(&[("model", &report.model), ("gate", gate.gate.label())], against.ln_e);
            }
        }
    }
    let mut family =
        families.gauge("takt_rollout_evidence_threshold_log", "Logarithm of the evidence that takes a candidate back");
    for report in active() {
        for gate in &report.progress.gates {
            if let Some(against) = gate.against {
                family.sample(&[("model", &report.model), ("gate", gate.gate.label())], against.ln_threshold);
            }
        }
    }
    let mut family =
        families.gauge("takt_rollout_units", "Units that a gate has seen, by version and whether they were bad");
    for report in active() {
        for gate in &report.progress.gates {
            for (arm, tally) in [("stable", gate.seen.stable), ("canary", gate.seen.canary)] {
                for (bad, count) in [("false", tally.units.saturating_sub(tally.bad)), ("true", tally.bad)] {
                    let labels =
                        [("model", report.model.as_str()), ("gate", gate.gate.label()), ("arm", arm), ("bad", bad)];
                    family.sample(&labels, count as f64);
                }
            }
        }
    }
}
