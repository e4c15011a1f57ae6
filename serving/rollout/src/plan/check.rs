//! From what was written to what is meant: all faults at once.

use std::time::Duration;

use takt_artifact::fault::{DocumentError, Fault};
use takt_artifact::share::TrafficShare;
use takt_stats::sequential::Alpha;

use super::raw::{RawNumber, RawPlan, RawShare, RawStep};
use super::{Bake, OnInconclusive, Placement, Plan, Shadow, Step, Unit, parse_duration};

mod gates;

/// What is read, and what was wrong with it so far. Each reader gives the default where something is missing or wrong, so
/// that reading goes on and finds the next fault.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) faults: Vec<Fault>,
}

impl TryFrom<RawPlan> for Plan {
    type Error = DocumentError;

    fn try_from(raw: RawPlan) -> Result<Self, DocumentError> {
        let mut reader = Reader::default();
        let plan = reader.plan(&raw);
        match reader.faults {
            faults if faults.is_empty() => Ok(plan),
            faults => Err(DocumentError::Faults { document: "rollout plan", faults }),
        }
    }
}

impl Reader {
    fn plan(&mut self, raw: &RawPlan) -> Plan {
        let default = Plan::default();
        let bake = raw.bake.clone().unwrap_or_default();
        let placement = raw.placement.clone().unwrap_or_default();
        let plan = Plan {
            alpha: self.alpha(raw.alpha.as_ref(), default.alpha),
            unit: self.unit(raw),
            shadow: self.shadow(raw, default.shadow),
            steps: self.steps(raw.steps.as_deref(), default.steps),
            gates: self.gates(raw.gates.clone().unwrap_or_default()),
            bake: Bake {
                duration: self.time("bake.duration", bake.duration.as_deref(), default.bake.duration),
                holdback: self.share_in("bake.holdback", bake.holdback.as_ref(), default.bake.holdback, 1.0, 5.0),
            },
            placement: Placement {
                swap: placement.swap.unwrap_or(default.placement.swap),
                headroom: placement.headroom_mib.map_or(default.placement.headroom, |mib| mib.saturating_mul(1 << 20)),
            },
            on_inconclusive: self.on_inconclusive(raw.on_inconclusive.as_deref()),
            hold_timeout: match raw.hold_timeout.as_deref() {
                Some("never") => None,
                text => Some(self.time("hold_timeout", text, default.hold_timeout.unwrap_or_default())),
            },
            progress_deadline: self.positive_time(
                "progress_deadline",
                raw.progress_deadline.as_deref(),
                default.progress_deadline,
            ),
            dead_man: self.at_least_one("dead_man", raw.dead_man, default.dead_man),
            max_age: self.positive_time("max_age", raw.max_age.as_deref(), default.max_age),
        };
        self.together(&plan);
        plan
    }

    /// What makes sense by itself and not together.
    fn together(&mut self, plan: &Plan) {
        let needs_copies = [
            ("gates.disagreement", plan.gates.disagreement.map(|gate| gate.mode)),
            ("gates.drift", plan.gates.drift.map(|gate| gate.mode)),
        ];
        for (path, mode) in needs_copies {
            if plan.shadow.is_none() && mode == Some(super::Mode::Mandatory) {
                self.fault(
                    path,
                    "mandatory, and no shadow",
                    "a shadow to learn it from",
                    "enable shadow, or set mode = \"guard\"",
                );
            }
        }
        let without_ceiling = plan.gates.errors.is_none_or(|gate| gate.ceiling.is_none());
        if plan.placement.swap && without_ceiling {
            self.fault(
                "placement.swap",
                "true, and no ceiling for errors",
                "gates.errors.ceiling: in stable's place there is nothing to compare with",
                "set gates.errors.ceiling, or swap = false",
            );
        }
        let counting = |mode: Option<super::Mode>| mode == Some(super::Mode::Mandatory);
        let judged = counting(plan.gates.errors.map(|gate| gate.mode))
            || counting(plan.gates.latency.map(|gate| gate.mode))
            || plan.gates.metrics.iter().any(|metric| counting(Some(metric.mode)));
        if !judged {
            self.fault(
                "gates",
                "none that must accept a step",
                "errors, latency or a metric as mandatory",
                "enable one with mode = \"mandatory\": without it nothing would ever speak for the candidate",
            );
        }
    }

    fn alpha(&mut self, raw: Option<&RawNumber>, default: Alpha) -> Alpha {
        let Some(number) = self.number("alpha", raw) else { return default };
        Alpha::new(number).ok().filter(|alpha| alpha.get() <= 0.5).unwrap_or_else(|| {
            self.fault(
                "alpha",
                number.to_string(),
                "a probability above 0, at most 0.5",
                "write 0.05 for one wrong rejection in twenty",
            );
            default
        })
    }

    fn unit(&mut self, raw: &RawPlan) -> Unit {
        let routing = raw.routing.clone().unwrap_or_default();
        let epoch = self.positive_time("routing.epoch", routing.epoch.as_deref(), Unit::LONGEST_EPOCH);
        match routing.unit.as_deref() {
            Some("station") => {
                if epoch > Unit::LONGEST_EPOCH {
                    self.fault(
                        "routing.epoch",
                        super::duration_text(epoch),
                        "at most 5m",
                        "shorten it: evidence is gathered per epoch, and long ones leave too few",
                    );
                }
                Unit::Station { epoch }
            }
            unit => {
                if routing.epoch.is_some() {
                    self.fault(
                        "routing.epoch",
                        "an epoch",
                        "none unless whole stations are routed",
                        "remove it or set routing.unit = \"station\"",
                    );
                }
                match unit {
                    None | Some("part") => Unit::Part,
                    Some("request") => Unit::Request,
                    Some(other) => {
                        self.fault(
                            "routing.unit",
                            format!("'{other}'"),
                            "'part', 'request' or 'station'",
                            "choose one of them",
                        );
                        Unit::Part
                    }
                }
            }
        }
    }

    fn shadow(&mut self, raw: &RawPlan, default: Option<Shadow>) -> Option<Shadow> {
        let raw = raw.shadow.clone().unwrap_or_default();
        if raw.enabled == Some(false) {
            return None;
        }
        let default = default?;
        Some(Shadow {
            share: self.share_in("shadow.share", raw.share.as_ref(), default.share, 0.01, 100.0),
            units: raw.units.unwrap_or(default.units).max(1),
            budget: self.positive_time("shadow.budget", raw.budget.as_deref(), default.budget),
            max_dropped: self.share_in("shadow.max_dropped", raw.max_dropped.as_ref(), default.max_dropped, 0.0, 5.0),
        })
    }

    fn steps(&mut self, raw: Option<&[RawStep]>, default: Vec<Step>) -> Vec<Step> {
        let Some(raw) = raw else { return default };
        let template = default.first().copied();
        let mut steps = Vec::new();
        for (i, step) in raw.iter().enumerate() {
            let path = format!("steps[{i}]");
            let Some(template) = template else { break };
            if step.weight.is_none() {
                self.fault(format!("{path}.weight"), "nothing", "a share in percent", "write weight = 5 for 5 %");
            }
            let weight = self.share_in(&format!("{path}.weight"), step.weight.as_ref(), template.weight, 0.01, 100.0);
            let margin = step.margin.as_ref().map(|margin| self.ratio(&format!("{path}.margin"), Some(margin), 2.0));
            let budget = self.positive_time(&format!("{path}.budget"), step.budget.as_deref(), template.budget);
            let min_dwell = self.time(&format!("{path}.min_dwell"), step.min_dwell.as_deref(), template.min_dwell);
            if min_dwell > budget {
                self.fault(
                    format!("{path}.min_dwell"),
                    super::duration_text(min_dwell),
                    format!("at most its budget, {}", super::duration_text(budget)),
                    "shorten it or lengthen the budget",
                );
            }
            steps.push(Step { weight, margin, min_dwell, budget, pause: step.pause.unwrap_or(false) });
        }
        let rising = steps.windows(2).all(|pair| pair[0].weight < pair[1].weight);
        if !rising {
            self.fault(
                "steps",
                "weights that do not rise",
                "each weight above the one before",
                "sort the steps, such as 5, 20, 100",
            );
        }
        // All of the traffic is the promotion; writing it down is allowed and adds nothing.
        steps.retain(|step| step.weight < TrafficShare::ALL);
        if steps.is_empty() {
            self.fault(
                "steps",
                "no step below 100 %",
                "at least one",
                "write steps such as 5, 20, 100: at 100 % there is nothing to compare with",
            );
        }
        steps
    }

    fn on_inconclusive(&mut self, text: Option<&str>) -> OnInconclusive {
        match text {
            None | Some("hold") => OnInconclusive::Hold,
            Some("abort") => OnInconclusive::Abort,
            Some(other) => {
                self.fault("on_inconclusive", format!("'{other}'"), "'hold' or 'abort'", "choose one of them");
                OnInconclusive::Hold
            }
        }
    }

    pub(super) fn fault(
        &mut self,
        path: impl Into<String>,
        found: impl Into<String>,
        expected: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.faults.push(Fault::new(path, found, expected, fix));
    }

    pub(super) fn number(&mut self, path: &str, raw: Option<&RawNumber>) -> Option<f64> {
        let (number, text) = match raw? {
            RawNumber::Number(number) => (Some(*number), number.to_string()),
            RawNumber::Text(text) => (text.trim().parse().ok(), format!("'{text}'")),
        };
        let number = number.filter(|number| number.is_finite());
        if number.is_none() {
            self.fault(path, text, "a number", "write it with digits, such as 2 or \"0.05\"");
        }
        number
    }

    /// A ratio of rates, from 1 to 100.
    pub(super) fn ratio(&mut self, path: &str, raw: Option<&RawNumber>, default: f64) -> f64 {
        let Some(number) = self.number(path, raw) else { return default };
        if (1.0..=100.0).contains(&number) {
            return number;
        }
        self.fault(path, number.to_string(), "a ratio of rates from 1 to 100", "write 2 for twice as often as stable");
        default
    }

    /// A share between two percentages.
    pub(super) fn share_in(
        &mut self,
        path: &str,
        raw: Option<&RawShare>,
        default: TrafficShare,
        low: f64,
        high: f64,
    ) -> TrafficShare {
        let Some(raw) = raw else { return default };
        let (percent, text) = match raw {
            // 0.05 may be 5 % or a twentieth of a percent; nobody should have to guess.
            RawNumber::Number(number) => (Some(*number).filter(|n| *n == 0.0 || *n >= 1.0), number.to_string()),
            RawNumber::Text(text) => {
                (text.trim().trim_end_matches('%').trim().parse::<f64>().ok(), format!("'{text}'"))
            }
        };
        let share =
            percent.filter(|percent| (low..=high).contains(percent)).and_then(|p| TrafficShare::new(p / 100.0).ok());
        share.unwrap_or_else(|| {
            let range = format!("percent from {low} to {high}");
            self.fault(path, text, range, "write 5 or \"5 %\" for five percent, \"0.5 %\" for half a percent");
            default
        })
    }

    pub(super) fn time(&mut self, path: &str, raw: Option<&str>, default: Duration) -> Duration {
        let Some(text) = raw else { return default };
        parse_duration(text).unwrap_or_else(|| {
            self.fault(path, format!("'{text}'"), "a duration", "write it with units: 90s, 10m, 1h30m, 2d");
            default
        })
    }

    pub(super) fn positive_time(&mut self, path: &str, raw: Option<&str>, default: Duration) -> Duration {
        let time = self.time(path, raw, default);
        if time.is_zero() {
            self.fault(path, "no time at all", "a duration above 0", "write it with units: 90s, 10m, 1h30m, 2d");
            return default;
        }
        time
    }

    pub(super) fn at_least_one(&mut self, path: &str, raw: Option<u32>, default: u32) -> u32 {
        match raw {
            Some(0) => {
                self.fault(path, "0", "at least 1", format!("leave it out for {default}"));
                default
            }
            other => other.unwrap_or(default),
        }
    }
}
