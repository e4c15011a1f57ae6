//! What holds on every path through the machine.

use proptest::prelude::*;

use super::*;
use crate::evidence::Verdict;
use crate::observation::DeadMan;
use crate::plan::Mode;

/// What may happen between two decisions.
#[derive(Debug, Clone)]
enum Happens {
    /// Evidence for the stage, with so many failures of the canary in a hundred.
    Work {
        bad: u64,
        times: u8,
    },
    /// Nothing at all.
    Nothing,
    Command(Command),
    DeadMan,
    /// The process ends, and another begins.
    Restart(bool),
    CandidateGone,
    StableGone,
    PlanChanges,
    Stale,
    Missing,
    NoRoom,
    /// Actions are carried out twice.
    Twice,
    /// Persisted, and the process ends before anything is done.
    DecidedAndDied,
}

fn happens() -> impl Strategy<Value = Happens> {
    let command = prop_oneof![
        Just(Command::Pause),
        Just(Command::Resume),
        Just(Command::Promote),
        Just(Command::Abort),
        Just(Command::Retry)
    ];
    prop_oneof![
        20 => (0_u64..3, 1_u8..30).prop_map(|(bad, times)| Happens::Work { bad, times }),
        4 => Just(Happens::Nothing),
        3 => command.prop_map(Happens::Command),
        1 => Just(Happens::DeadMan),
        2 => any::<bool>().prop_map(Happens::Restart),
        1 => Just(Happens::CandidateGone),
        1 => Just(Happens::StableGone),
        1 => Just(Happens::PlanChanges),
        1 => Just(Happens::Stale),
        1 => Just(Happens::Missing),
        1 => Just(Happens::NoRoom),
        2 => Just(Happens::Twice),
        2 => Just(Happens::DecidedAndDied),
    ]
}

impl Drive {
    fn work(&self, bad: u64) -> Observation {
        let mut seen = self.world.seen();
        match self.phase() {
            Phase::Running(Stage::Shadowing) => (seen.events, seen.copies) = (agreeing(), copies(100)),
            _ if self.world.routed > TrafficShare::NONE => {
                seen.events =
                    vec![served(self.world.routed, 1_000, 10, bad.min(self.world.routed.millionths().into()))];
            }
            _ => {}
        }
        seen
    }

    /// Lets it happen, and holds every decision against what must be true of it.
    fn happen(&mut self, what: &Happens) -> Result<(), TestCaseError> {
        let seen = self.world.seen();
        match what {
            Happens::Work { bad, times } => {
                for _ in 0..*times {
                    let seen = self.work(*bad);
                    self.checked(&seen)?;
                }
            }
            Happens::Nothing => self.checked(&seen)?,
            Happens::Command(command) => self.checked(&Observation { command: Some(*command), ..seen })?,
            Happens::DeadMan => self.checked(&Observation { dead_man: Some(DeadMan::Crashed), ..seen })?,
            Happens::Restart(died) => self.restart(*died)?,
            Happens::CandidateGone => self.world.candidate = Candidate::Absent,
            Happens::StableGone => self.world.stable_ready = false,
            Happens::PlanChanges => self.plan.dead_man += 1,
            Happens::Stale => self.checked(&Observation { age: Some(Duration::from_secs(86_400)), ..seen })?,
            Happens::Missing => self.checked(&Observation { missing: vec!["p99".to_owned()], ..seen })?,
            Happens::NoRoom => self.checked(&Observation { admission: Some(Admission::Alone), ..seen })?,
            Happens::Twice => {
                let decision = decide(&self.plan, &self.state, &seen, UnixMillis(self.now));
                self.checked(&seen)?;
                let once = self.world.clone();
                self.now -= 60_000;
                let again = decision.actions;
                self.world.act(&again);
                prop_assert_eq!(&once, &self.world, "done twice is not done once");
                self.now += 60_000;
            }
            Happens::DecidedAndDied => {
                self.now += 60_000;
                self.state = decide(&self.plan, &self.state, &seen, UnixMillis(self.now)).next;
                self.restart(false)?;
            }
        }
        Ok(())
    }

    fn restart(&mut self, died: bool) -> Result<(), TestCaseError> {
        self.world.restart();
        let ended = if died { Ended::Died } else { Ended::Stopped };
        let stored = State::read(&self.state.write().unwrap()).unwrap();
        let recovered = recover(&stored, ended, UnixMillis(self.now));
        prop_assert_eq!(
            &recover(&recovered, ended, UnixMillis(self.now)),
            &recovered,
            "recovering twice is recovering once"
        );
        self.state = recovered;
        Ok(())
    }

    fn checked(&mut self, seen: &Observation) -> Result<(), TestCaseError> {
        let before = self.rollout().clone();
        let decision = self.tick(seen);
        let after = self.rollout().clone();
        prop_assert_eq!(self.world.harm, TrafficShare::NONE, "weight on a version that is not ready: {:?}", decision);
        if after.desired > TrafficShare::NONE && after.phase != Phase::Succeeded {
            prop_assert!(seen.candidate == Candidate::Ready || after.phase == Phase::Degraded, "{:?}", decision);
        }
        self.rises_on_evidence_only(&before, &after, seen)?;
        if after.phase == Phase::Aborting && seen.stable_ready {
            prop_assert_eq!(after.desired, TrafficShare::NONE);
        }
        if before.phase.is_terminal() {
            prop_assert_eq!(&before.phase, &after.phase);
        }
        prop_assert!(!decision.why.is_empty());
        prop_assert!(decision.next.revision == decision.base || decision.changes());
        Ok(())
    }

    /// A stage with more weight is entered because every mandatory gate accepts what it saw, or on a person's word.
    fn rises_on_evidence_only(
        &self,
        before: &Rollout,
        after: &Rollout,
        seen: &Observation,
    ) -> Result<(), TestCaseError> {
        let height = |phase: &Phase| match phase {
            Phase::Running(Stage::Stepping(step)) => 1 + step,
            Phase::Running(Stage::Promoting) => 100,
            _ => 0,
        };
        let from = match &before.phase {
            Phase::Running(Stage::Shadowing | Stage::Stepping(_)) => height(&before.phase),
            Phase::Held { stage, .. } => height(&Phase::Running(*stage)),
            _ => return Ok(()),
        };
        if height(&after.phase) <= from || seen.command == Some(Command::Promote) {
            return Ok(());
        }
        prop_assert!(matches!(before.phase, Phase::Running(_)), "a held rollout rises");
        let mut evidence = before.evidence.clone();
        seen.events.iter().for_each(|event| evidence.take(&self.plan, event, before.salt));
        for report in evidence.reports(&self.plan, crate::evidence::Against::Stable) {
            let asked = report.mode == Mode::Mandatory && (from > 0 || report.gate.judges_copies());
            if asked {
                prop_assert_eq!(report.verdict, Verdict::Accept, "{}", report.gate);
                prop_assert!(report.in_step > 0, "{} saw nothing and passed", report.gate);
            }
        }
        Ok(())
    }
}

fn quick() -> Plan {
    let mut plan = plan();
    plan.steps.iter_mut().for_each(|step| step.budget = Duration::from_secs(4 * 3_600));
    plan
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_path_is_safe_and_ends_on_stable_when_aborted(path in prop::collection::vec(happens(), 0..60)) {
        let mut drive = Drive::new(quick());
        for what in &path {
            drive.happen(what)?;
        }
        if drive.phase().is_terminal() {
            return Ok(());
        }
        // Abort: all on stable within a few decisions, whatever came before.
        let seen = Observation { command: Some(Command::Abort), ..drive.world.seen() };
        drive.checked(&seen)?;
        for _ in 0..5 {
            let seen = drive.world.seen();
            drive.checked(&seen)?;
        }
        prop_assert_eq!(drive.phase(), &Phase::RolledBack);
        prop_assert!(drive.world.is_back(), "{:?}", drive.world);
        prop_assert!(drive.state.refuses(&digest("candidate")).is_some());
        prop_assert_eq!(drive.world.intent, None);
    }

    #[test]
    fn without_evidence_no_path_leads_to_success(path in prop::collection::vec(happens(), 0..60)) {
        let mut drive = Drive::new(quick());
        for what in &path {
            let silent = match what {
                Happens::Work { .. } => &Happens::Nothing,
                Happens::Command(Command::Promote) => &Happens::Nothing,
                other => other,
            };
            drive.happen(silent)?;
            prop_assert!(drive.world.routed <= TrafficShare::NONE, "silence put weight on the candidate");
            prop_assert!(!drive.world.promoted);
        }
    }

    #[test]
    fn a_stored_state_decides_as_the_one_in_memory(path in prop::collection::vec(happens(), 0..40)) {
        let mut drive = Drive::new(quick());
        for what in &path {
            drive.happen(what)?;
            let stored = State::read(&drive.state.write().unwrap()).unwrap();
            let seen = drive.work(1);
            let later = UnixMillis(drive.now + 1);
            prop_assert_eq!(decide(&drive.plan, &stored, &seen, later), decide(&drive.plan, &drive.state, &seen, later));
        }
    }

    #[test]
    fn holding_never_raises_the_weight(path in prop::collection::vec(happens(), 0..40)) {
        let mut drive = Drive::new(quick());
        for what in &path {
            let before = drive.rollout().clone();
            drive.happen(what)?;
            let after = drive.rollout();
            if let (Phase::Held { .. }, Phase::Held { reason, .. }) = (&before.phase, &after.phase) {
                prop_assert!(after.desired <= before.desired, "held for {}", reason.label());
            }
        }
    }
}
