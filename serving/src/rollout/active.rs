//! One rollout that is under way, as its owner keeps it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use takt_artifact::share::TrafficShare;
use takt_monitoring::events::{Arm, Label};
use takt_monitoring::feedback::Audited;
use takt_rollout::evidence::{Audit, Event, Tally};
use takt_rollout::observation::{Command, DeadMan};
use takt_rollout::plan::Rates;
use takt_rollout::state::{Phase, Rollout, Stage};
use takt_rollout::{Plan, State};

use super::hub::Hands;
use super::labels::{Disputes, Shares};
use super::query::Queries;
use super::store::Stored;
use super::watch::{WatchedRoute, WatchedRuns};
use crate::registry::desired::Rolling;
use crate::registry::table::ServedModel;
use crate::route::{Route, RouteCell, Trip};
use crate::state::{Intent, VersionId};

/// A rollout under way.
pub(super) struct Active {
    pub(super) model: String,
    pub(super) stable: u64,
    pub(super) candidate: u64,
    pub(super) plan: Plan,
    pub(super) state: State,
    /// What a person asked for and the next decision is to hear.
    pub(super) command: Option<Command>,
    pub(super) dead_man: Option<DeadMan>,
    pub(super) rates: Option<Rates>,
    /// When the state was last written, and which revision that was.
    pub(super) saved: Option<Instant>,
    pub(super) cell: Arc<RouteCell>,
    pub(super) current: Option<Arc<Route>>,
    pub(super) watched: Vec<WatchedRoute>,
    pub(super) runs: WatchedRuns,
    /// Whether the registry was told to keep the candidate loaded.
    pub(super) wants_candidate: bool,
    pub(super) wants_stable: bool,
    pub(super) promoted: bool,
    pub(super) shadowed: TrafficShare,
    pub(super) verified: Option<Result<(), String>>,
    pub(super) intent: Option<Intent>,
    /// Under a plan that routes stations: the epoch, the stations that had the candidate in it, and what is sealed.
    pub(super) epoch: u64,
    pub(super) had_canary: BTreeSet<String>,
    pub(super) sealed: Vec<Event>,
    pub(super) disputes: Disputes,
    pub(super) settled: Vec<Event>,
    /// Which share was in force when, in this process.
    pub(super) shares: Shares,
    pub(super) queries: Option<Queries>,
}

impl Active {
    pub(super) fn new(model: String, stored: Stored, hands: &Hands) -> Self {
        let Stored { stable, candidate, plan, state, .. } = stored;
        let cell = hands.registry.route(&model);
        let promoted = state.rollout.as_ref().and_then(|rollout| rollout.phase.stage());
        let promoted = matches!(promoted, Some(Stage::Promoting | Stage::Baking));
        // What the last rollout left in force until its candidate was gone.
        let current = cell.get();
        let prometheus = hands.settings.prometheus.as_ref();
        let queries = prometheus.and_then(|prometheus| Queries::start(&plan.gates.metrics, prometheus));
        let mut active = Self {
            queries,
            model,
            stable,
            candidate,
            plan,
            state,
            command: None,
            dead_man: None,
            rates: None,
            saved: None,
            cell,
            current,
            watched: Vec::new(),
            runs: WatchedRuns::default(),
            wants_candidate: false,
            wants_stable: true,
            promoted,
            shadowed: TrafficShare::NONE,
            verified: None,
            intent: None,
            epoch: 0,
            had_canary: BTreeSet::new(),
            sealed: Vec::new(),
            disputes: Disputes::default(),
            settled: Vec::new(),
            shares: Shares::default(),
        };
        // From the beginning: a candidate that is loaded would otherwise be the newest version, and answer everybody.
        active.set_route(hands, TrafficShare::NONE, TrafficShare::NONE);
        active
    }

    pub(super) fn stored(&self) -> Stored {
        Stored::new(self.stable, self.candidate, self.plan.clone(), self.state.clone())
    }

    /// What the registry is to keep loaded.
    pub(super) fn rolling(&self) -> Rolling {
        Rolling {
            stable: self.stable,
            keeps_stable: self.wants_stable,
            candidate: self.wants_candidate.then_some(self.candidate),
        }
    }

    /// The dead man's switch has tripped: traffic has stopped already.
    pub(super) fn tripped(&mut self, trip: &Trip) {
        self.dead_man = Some(match trip {
            Trip::BadOutput(_) => DeadMan::BadOutput,
            Trip::FailedRuns(runs) => DeadMan::FailedRuns(*runs),
            Trip::Hung(_) => DeadMan::Hung,
        });
    }

    /// What a person said of a part.
    pub(super) fn labelled(&mut self, label: &Label, audited: &[Audited], hands: &Hands) {
        let Some(gate) = self.plan.gates.labels else { return };
        let of_this = |part: &&Audited| part.model.as_str() == self.model;
        let found: Vec<Event> = audited.iter().filter(of_this).filter_map(|part| self.audit(part)).collect();
        self.settled.extend(found);
        let snapshot = hands.registry.table().snapshot();
        let stable = snapshot.get(self.model.as_str()).and_then(|served| served.versions.get(&self.stable));
        if let Some(stable) = stable {
            self.settled.extend(self.disputes.settle(label, stable, gate.inspected));
        }
    }

    /// What a part of an audit says, if it was drawn for one of the versions: under no share there was nothing to draw.
    fn audit(&self, part: &Audited) -> Option<Event> {
        let rollout = self.rollout()?;
        let rho = self.shares.at(part.routed_at).filter(|share| *share != TrafficShare::NONE)?;
        let tally = |arm, digest| {
            let its = part.arm == arm && part.version == digest;
            Tally { units: u64::from(its), bad: u64::from(its && part.escaped) }
        };
        let (stable, canary) = (tally(Arm::Stable, rollout.stable), tally(Arm::Canary, rollout.candidate));
        (stable.units + canary.units > 0).then_some(Event::Audited(Audit { rho, stable, canary }))
    }

    /// The rollout has ended: what is loaded is the registry's affair again. The route stays in force until
    /// [`Active::leave`].
    pub(super) fn end(&mut self, hands: &Hands) {
        self.intent = None;
        hands.registry.roll(&self.model, None);
    }

    /// Whether the route is still needed: without it a candidate that is not yet unloaded would be the newest version.
    pub(super) fn still_guards(&self, hands: &Hands) -> bool {
        let succeeded = self.rollout().is_some_and(|rollout| rollout.phase == Phase::Succeeded);
        let snapshot = hands.registry.table().snapshot();
        let loaded = |served: &ServedModel| served.versions.contains_key(&self.candidate);
        !succeeded && snapshot.get(self.model.as_str()).is_some_and(loaded)
    }

    /// Takes the route out of force.
    pub(super) fn leave(&mut self) {
        let _ = self.cell.replace(self.current.as_ref(), None);
        self.current = None;
    }

    /// When the candidate last answered a client, ms since the epoch; 0 for never.
    pub(super) fn last_answer(&self) -> u64 {
        let last = |route: &Route| route.counts(Arm::Canary).last_ms.load(Relaxed);
        self.watched.iter().map(|watched| last(&watched.route)).max().unwrap_or(0)
    }

    pub(super) fn candidate_id(&self) -> Option<VersionId> {
        let digest = self.state.rollout.as_ref()?.candidate.to_string();
        Some(VersionId { model: self.model.clone(), version: self.candidate, digest })
    }

    pub(super) fn rollout(&self) -> Option<&Rollout> {
        self.state.rollout.as_ref()
    }

    pub(super) fn candidate_dir(&self, hands: &Hands) -> PathBuf {
        hands.version_dir(&self.model, self.candidate)
    }
}
