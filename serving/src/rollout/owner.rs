//! The thread that owns every rollout: it looks, asks for a decision, writes it down, and only then acts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use takt_artifact::share::TrafficShare;
use takt_rollout::State;
use takt_rollout::action::{Action, Do};
use takt_rollout::decide::{Decision, Ended, decide, recover};
use takt_rollout::observation::{Command, DeadMan};
use takt_rollout::route::Arm;
use takt_rollout::state::Phase;
use tracing::{error, info, warn};

use super::active::Active;
use super::auto::Newcomers;
use super::hub::{Hands, Message, RolloutReport};
use super::store::{Audited, Found, Stored};
use crate::error::{ErrorKind, InferError};
use crate::route::Wake;
use crate::state::UnixMillis;

/// How often every rollout is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often evidence is written down where nothing else happens: what a crash may cost, and what flash must bear.
const SAVE_EVERY: Duration = Duration::from_secs(30);
/// How often the repository is looked at for versions that are to be rolled out by themselves.
const LOOK_FOR_NEW: Duration = Duration::from_secs(1);
/// Decisions at one look: each may only be the consequence of the one before.
const MOST_DECISIONS: usize = 8;

/// The thread's own.
pub(super) struct Owner {
    pub(super) hands: Hands,
    pub(super) active: BTreeMap<String, Active>,
    pub(super) ended: BTreeMap<String, (Stored, RolloutReport)>,
    /// Ended, with a candidate that is not unloaded yet: their routes stay in force until it is.
    pub(super) lingering: BTreeMap<String, Active>,
    pub(super) newcomers: Newcomers,
    reports: Arc<ArcSwap<Vec<RolloutReport>>>,
}
impl Owner {
    pub(super) fn new(hands: Hands, reports: Arc<ArcSwap<Vec<RolloutReport>>>) -> Self {
        Self {
            hands,
            active: BTreeMap::new(),
            ended: BTreeMap::new(),
            lingering: BTreeMap::new(),
            newcomers: Newcomers::default(),
            reports,
        }
    }

    pub(super) fn run(mut self, inbox: &Receiver<Message>, found: Found) {
        self.take_up(found);
        let (mut next, mut look) = (Instant::now() + TICK, Instant::now() + LOOK_FOR_NEW);
        loop {
            match inbox.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Message::Start(order, done)) => {
                    let _ = done.send(self.begin(&order));
                }
                Ok(Message::Control { model, command, reason, done }) => {
                    let _ = done.send(self.control(&model, command, &reason));
                }
                Ok(Message::Label { label, audited }) => {
                    self.active.values_mut().for_each(|active| active.labelled(&label, &audited, &self.hands));
                    continue;
                }
                Ok(Message::Wake(Wake::Tripped(model, trip))) => {
                    if let Some(active) = self.active.get_mut(&model) {
                        warn!(model, ?trip, "the dead man's switch took the candidate out of traffic");
                        active.tripped(&trip);
                    }
                }
                Ok(Message::Wake(Wake::Failure)) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            if Instant::now() >= look {
                self.begin_newcomers();
                look = Instant::now() + LOOK_FOR_NEW;
            }
            self.step_all();
            next = Instant::now() + TICK;
        }
        for active in self.active.values() {
            if let Err(error) = self.hands.store.save(&active.model, &active.stored()) {
                error!(%error, "a rollout can't be written down; it goes on from its last record");
            }
        }
    }

    /// Takes up what an earlier life of the server left. It goes on, or it goes back; never forward by itself.
    fn take_up(&mut self, found: Found) {
        let now = UnixMillis::from(SystemTime::now());
        for (model, mut stored) in found.0 {
            if !stored.state.is_active() {
                self.remember(&model, stored);
                continue;
            }
            let died = stored.state.rollout.as_ref().is_some_and(|rollout| {
                // The supervisor, or the start of this process, has judged how the last one ended.
                self.hands.journal.is_quarantined(&rollout.candidate.to_string())
            });
            stored.state = recover(&stored.state, if died { Ended::Died } else { Ended::Stopped }, now);
            let mut active = Active::new(model.clone(), stored, &self.hands);
            if died {
                active.dead_man = Some(DeadMan::Crashed);
            }
            info!(model, died, phase = %phase(&active.state), "a rollout is taken up again");
            self.active.insert(model, active);
        }
        self.publish();
    }
    fn control(&mut self, model: &str, command: Command, reason: &str) -> Result<RolloutReport, InferError> {
        let Some(active) = self.active.get_mut(model) else {
            return match (self.ended.get(model), command) {
                // With nothing in flight there is nothing to take back.
                (Some((_, report)), Command::Abort) => Ok(report.clone()),
                (Some((_, report)), command) => Err(InferError::new(
                    ErrorKind::Unavailable,
                    format!(
                        "nothing to {}: the last rollout of '{model}' has ended ({})",
                        command.label(),
                        report.progress.phase
                    ),
                )),
                (None, _) => Err(InferError::new(
                    ErrorKind::NotFound,
                    format!("no rollout of '{model}'; begin one with takt rollout start"),
                )),
            };
        };
        active.command = Some(command);
        let asked =
            if reason.is_empty() { command.label().to_owned() } else { format!("{}: {reason}", command.label()) };
        info!(model, asked, "a person's word about a rollout");
        if let Some(active) = self.active.get(model) {
            let why = active.rollout().map(|rollout| rollout.why.clone()).unwrap_or_default();
            self.audit(active, phase(&active.state).label(), Some(&asked), &why);
        }
        self.step(model);
        self.publish();
        self.report_of(model)
    }

    fn step_all(&mut self) {
        self.lingering.retain(|_, active| {
            let stays = active.still_guards(&self.hands);
            if !stays {
                active.leave();
            }
            stays
        });
        let models: Vec<String> = self.active.keys().cloned().collect();
        if models.is_empty() {
            return;
        }
        models.iter().for_each(|model| self.step(model));
        self.publish();
    }

    /// Decides until there is nothing more to do at once.
    pub(super) fn step(&mut self, model: &str) {
        let Some(mut active) = self.active.remove(model) else { return };
        let mut done: Vec<String> = Vec::new();
        for _ in 0..MOST_DECISIONS {
            let now = UnixMillis::from(SystemTime::now());
            let observation = active.observe(&self.hands, Instant::now());
            let decision = decide(&active.plan, &active.state, &observation, now);
            if !self.carry_out(&mut active, decision, now, &mut done) {
                break;
            }
        }
        // What is left to do, to free the other version, is the registry's: it drains what nobody wants.
        let over = active.rollout().is_none_or(|rollout| rollout.phase.is_terminal());
        if over { self.end(active) } else { drop(self.active.insert(model.to_owned(), active)) }
    }

    /// Writes a decision down, then does what it says. `false` where nothing new was to be done.
    fn carry_out(&mut self, active: &mut Active, decision: Decision, now: UnixMillis, done: &mut Vec<String>) -> bool {
        let before = active.state.clone();
        let (from, was) = (phase(&before), before.rollout.as_ref().map(|rollout| (rollout.desired, rollout.intent)));
        let (actions, why) = (decision.actions.clone(), decision.why.clone());
        match decision.apply(&active.state) {
            Ok(next) => active.state = next,
            Err(conflict) => {
                error!(%conflict, "a rollout's state changed under its owner; please report this");
                return false;
            }
        }
        let to = phase(&active.state);
        let is = active.rollout().map(|rollout| (rollout.desired, rollout.intent));
        let turned = from != to;
        let due = active.saved.is_none_or(|saved| saved.elapsed() >= SAVE_EVERY);
        let mut written = true;
        if turned || was != is || due {
            match self.hands.store.save(&active.model, &active.stored()) {
                Ok(()) => active.saved = Some(Instant::now()),
                Err(error) => {
                    written = false;
                    error!(%error, "a rollout can't be written down; the candidate gets nothing new until it can");
                }
            }
        }
        if turned {
            info!(model = active.model, from = %from, to = %to, why, "rollout");
            self.audit(active, from.label(), None, &why);
        }
        let mut new = turned;
        let allowed = written && self.hands.settings.windows.allow(now);
        for action in actions.iter().filter(|action| allowed || !is_a_risk(action)) {
            if !done.contains(&action.key) || is_route(action) {
                active.act(action, &self.hands, now);
            }
            if !done.contains(&action.key) {
                done.push(action.key.clone());
                new = true;
            }
        }
        new
    }

    fn end(&mut self, mut active: Active) {
        active.end(&self.hands);
        if let (Some(Phase::Succeeded), Some(id)) =
            (active.rollout().map(|rollout| rollout.phase.clone()), active.candidate_id())
            && let Err(error) = self.hands.journal.set_last_good(&id, UnixMillis::from(SystemTime::now()))
        {
            error!(%error, "the new version can't be recorded as good");
        }
        let stored = active.stored();
        if let Err(error) = self.hands.store.save(&active.model, &stored) {
            error!(%error, "the end of a rollout can't be written down");
        }
        let last = active.last_answer();
        if let Some(report) = RolloutReport::new(&active.model, &stored, None, last) {
            self.ended.insert(active.model.clone(), (stored, report));
        }
        if active.still_guards(&self.hands) {
            self.lingering.insert(active.model.clone(), active);
        } else {
            active.leave();
        }
    }

    fn remember(&mut self, model: &str, stored: Stored) {
        if let Some(report) = RolloutReport::new(model, &stored, None, 0) {
            self.ended.insert(model.to_owned(), (stored, report));
        }
    }

    pub(super) fn report_of(&self, model: &str) -> Result<RolloutReport, InferError> {
        let reports = self.reports.load();
        let report = reports.iter().find(|report| report.model == model).cloned();
        report.ok_or_else(|| InferError::new(ErrorKind::Internal, "no report of a rollout"))
    }

    pub(super) fn publish(&self) {
        let now = UnixMillis::from(SystemTime::now());
        let waits = self.hands.settings.windows.opens_in(now).filter(|wait| !wait.is_zero());
        let active = self.active.values().filter_map(|active| {
            let report =
                RolloutReport::new(&active.model, &active.stored(), active.rates.as_ref(), active.last_answer())?;
            Some(RolloutReport { waits_for_window: waits, ..report })
        });
        let ended = self.ended.values().map(|(_, report)| report.clone());
        self.reports.store(Arc::new(active.chain(ended).collect()));
    }

    pub(super) fn audit(&self, active: &Active, from: &str, asked: Option<&str>, why: &str) {
        let Some(rollout) = active.rollout() else { return };
        self.hands.store.audit(&Audited {
            at: UnixMillis::from(SystemTime::now()),
            model: &active.model,
            rollout: &rollout.id.0,
            revision: active.state.revision,
            stable: active.stable,
            candidate: active.candidate,
            from,
            to: rollout.phase.label(),
            weight: rollout.desired.get(),
            asked,
            why,
        });
    }
}

pub(super) fn phase(state: &State) -> Phase {
    state.rollout.as_ref().map_or(Phase::RolledBack, |rollout| rollout.phase.clone())
}
/// Whether an action gives the candidate something, which must not happen before it is on record.
fn is_a_risk(action: &Action) -> bool {
    match &action.what {
        Do::LoadCandidate | Do::WarmCandidate | Do::UnloadStable => true,
        Do::SetWeight(share) | Do::SetShadow(share) => *share != TrafficShare::NONE,
        Do::PointAlias(arm) => *arm == Arm::Canary,
        Do::RecordIntent(_) | Do::ClearIntent | Do::UnloadCandidate | Do::LoadStable | Do::Quarantine(_) => false,
    }
}

/// Whether an action changes the route: done again where the one in force is not the one asked for.
fn is_route(action: &Action) -> bool {
    matches!(action.what, Do::SetWeight(_))
}
