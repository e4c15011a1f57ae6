//! What each stage waits for.

use takt_artifact::share::TrafficShare;

use super::turn::Turn;
use crate::evidence::{GateReport, Verdict};
use crate::observation::{Admission, Candidate};
use crate::plan::{Mode, OnInconclusive, Shadow, duration_text};
use crate::state::{HoldReason, Phase, Placed, Reason, Stage};

/// Fewer copies than this say nothing about how many are dropped.
const FEW_COPIES: u64 = 100;

impl Turn<'_> {
    pub(super) fn advance(&mut self, stage: Stage) {
        if stage.works() && self.stale() {
            let age = self.seen.age.unwrap_or_default();
            return self.hold(HoldReason::Stale, stage, &format!("the newest data is {} old", duration_text(age)));
        }
        if stage.works() && !self.seen.missing.is_empty() {
            return self.hold(HoldReason::NoData, stage, &format!("no data for {}", self.seen.missing.join(", ")));
        }
        if stage != Stage::Baking && self.next.times.working >= self.plan.progress_deadline {
            return self.inconclusive(stage, "the progress deadline has passed".to_owned());
        }
        match stage {
            Stage::Validating => self.validate(),
            Stage::Placing => self.place(),
            Stage::Warming => self.warm(),
            Stage::Shadowing => self.shadow(),
            Stage::Stepping(step) => self.step(step),
            Stage::Promoting => self.promote(),
            Stage::Baking => self.bake(),
        }
    }

    fn validate(&mut self) {
        // A rollout that begins anew waits until nobody is served by the candidate.
        let drained = self.seen.routed == Some(TrafficShare::NONE);
        match &self.seen.verified {
            Some(Ok(())) if drained => self.enter(Stage::Placing, "files and signature are good".to_owned()),
            _ => self.next.why = "digest and signature are being checked".to_owned(),
        }
    }

    fn place(&mut self) {
        let problem = match (self.seen.admission, self.room()) {
            (_, Some(placed)) => {
                self.next.placed = placed;
                let how = if placed == Placed::Swapped { "in stable's place" } else { "beside stable" };
                return self.enter(Stage::Warming, format!("the candidate finds room {how}"));
            }
            (None, None) => {
                self.next.why = "memory is being measured".to_owned();
                return;
            }
            (Some(Admission::None { needed, budget }), _) => {
                let mib = |bytes: u64| bytes.div_ceil(1 << 20);
                format!("the candidate needs {} MiB, there are {} MiB", mib(needed), mib(budget))
            }
            (Some(_), None) => {
                "both versions do not fit, and the plan does not allow a swap (placement.swap)".to_owned()
            }
        };
        self.hold(HoldReason::NoCapacity, Stage::Placing, &problem);
    }

    fn warm(&mut self) {
        if self.seen.candidate != Candidate::Ready {
            self.next.why = "the candidate is loaded and warmed up at every batch size".to_owned();
            return;
        }
        let (stage, why) = match (self.next.placed, self.plan.shadow) {
            (Placed::Swapped, _) => {
                (Stage::Promoting, "the candidate is ready in stable's place; ceilings judge it".to_owned())
            }
            (_, Some(shadow)) => {
                (Stage::Shadowing, format!("the candidate is ready and gets copies of {} of the units", shadow.share))
            }
            (_, None) => (Stage::Stepping(0), self.rising_to(0, "the candidate is ready")),
        };
        self.enter(stage, why);
    }

    fn shadow(&mut self) {
        let Some(plan) = self.plan.shadow else {
            return self.enter(Stage::Stepping(0), self.rising_to(0, "no shadow is asked for"));
        };
        if let Some(problem) = self.too_many_dropped(&plan) {
            return self.inconclusive(Stage::Shadowing, problem);
        }
        let compared = self.compared();
        let open = self.not_accepting(Stage::Shadowing);
        if compared >= plan.units && open.is_empty() {
            let why = self.rising_to(0, &format!("{compared} compared units agree"));
            self.enter(Stage::Stepping(0), why);
        } else if self.next.times.dwell >= plan.budget {
            self.spent(Stage::Shadowing, &open);
        } else {
            self.next.why = self.waiting(&format!("{compared} of at least {} units compared", plan.units), &open);
        }
    }

    fn too_many_dropped(&self, plan: &Shadow) -> Option<String> {
        let copies = self.next.copies;
        let most = plan.max_dropped.get() * copies.chosen as f64;
        (copies.chosen >= FEW_COPIES && copies.dropped as f64 > most).then(|| {
            format!(
                "{} of {} copies were dropped, more than {}: what is left is no sample",
                copies.dropped, copies.chosen, plan.max_dropped
            )
        })
    }

    fn step(&mut self, step: usize) {
        // A plan that lost steps would have changed its digest.
        let Some(plan) = self.plan.steps.get(step).copied() else { return };
        let open = self.not_accepting(Stage::Stepping(step));
        let stayed = self.next.times.dwell >= plan.min_dwell;
        let in_force = self.seen.routed == Some(plan.weight) && self.seen.candidate == Candidate::Ready;
        let last = step + 1 >= self.plan.steps.len();
        if in_force && stayed && open.is_empty() {
            if plan.pause && self.next.released != Some(step) {
                let why = format!("every gate accepts {}, and the plan waits for a person here: resume", plan.weight);
                return self.hold(HoldReason::Manual, Stage::Stepping(step), &why);
            }
            let (stage, why) = if last {
                (Stage::Promoting, format!("every gate accepts {}: the candidate is promoted", plan.weight))
            } else {
                (Stage::Stepping(step + 1), self.rising_to(step + 1, &format!("every gate accepts {}", plan.weight)))
            };
            self.enter(stage, why);
        } else if self.next.times.dwell >= plan.budget {
            self.spent(Stage::Stepping(step), &open);
        } else {
            let what = if in_force {
                format!("{} of the traffic", plan.weight)
            } else {
                format!("{} is not in force yet", plan.weight)
            };
            self.next.why = self.waiting(&what, &open);
        }
    }

    fn promote(&mut self) {
        let want = self.promoted_share();
        let answered = self.seen.observed.is_none_or(|observed| 2 * observed.millionths() >= want.millionths());
        let done = self.seen.candidate == Candidate::Ready
            && self.seen.routed == Some(want)
            && self.seen.promoted == Some(true);
        if done && answered {
            self.enter(Stage::Baking, format!("the candidate serves {want}; stable stays at hand"));
        } else {
            self.next.why = format!("waiting until the candidate is seen to serve {want}");
        }
    }

    fn bake(&mut self) {
        let bake = self.plan.bake;
        let alone = self.next.placed == Placed::Swapped;
        let open = if alone { self.not_accepting(Stage::Baking) } else { Vec::new() };
        if self.next.times.dwell < bake.duration {
            let left = bake.duration.saturating_sub(self.next.times.dwell);
            self.next.why = self.waiting(&format!("baking for another {}", duration_text(left)), &open);
        } else if self.silent() {
            self.hold(HoldReason::NoData, Stage::Baking, "the candidate answered nobody since its promotion");
        } else if !open.is_empty() {
            self.spent(Stage::Baking, &open);
        } else {
            self.next.phase = Phase::Succeeded;
            self.next.times.since = self.now;
            self.next.why = format!("version {} has proved itself and serves alone", self.next.candidate.short());
        }
    }

    /// Mandatory gates that do not accept, of those that have a say at this stage.
    pub(super) fn not_accepting(&self, stage: Stage) -> Vec<GateReport> {
        let has_a_say = |report: &GateReport| match stage {
            Stage::Shadowing => report.gate.judges_copies(),
            // Without stable beside it, a gate that only compares has nothing to say.
            Stage::Baking => !report.gate.judges_copies() && (!report.needed.is_empty() || report.against.is_none()),
            _ => !report.gate.judges_copies() || self.plan.shadow.is_some(),
        };
        let open = |report: &GateReport| {
            report.mode == Mode::Mandatory
                && has_a_say(report)
                && (report.verdict != Verdict::Accept || report.in_step == 0)
        };
        self.reports().into_iter().filter(open).collect()
    }

    /// A stage's time is up.
    fn spent(&mut self, stage: Stage, open: &[GateReport]) {
        if self.silent() {
            self.hold(
                HoldReason::NoData,
                stage,
                "the time of this stage is up, and the candidate was seen to do nothing",
            );
        } else {
            let names: Vec<String> = open.iter().map(|report| report.gate.to_string()).collect();
            let who = if names.is_empty() {
                "its weight was hardly in force".to_owned()
            } else {
                format!("no verdict of {}", names.join(", "))
            };
            self.inconclusive(stage, format!("the time of {stage} is up with {who}"));
        }
    }

    fn inconclusive(&mut self, stage: Stage, what: String) {
        match self.plan.on_inconclusive {
            OnInconclusive::Hold => {
                self.hold(HoldReason::Inconclusive, stage, &format!("{what}; resume, promote or abort it"));
            }
            OnInconclusive::Abort => self.abort(Reason::Inconclusive(what)),
        }
    }

    fn rising_to(&self, step: usize, because: &str) -> String {
        let weight = self.plan.steps.get(step).map_or(TrafficShare::NONE, |step| step.weight);
        format!("{because}: the candidate gets {weight} of the traffic")
    }
}
