//! One rollout: what is seen of it, and what is done about it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use takt_artifact::VersionDir;
use takt_artifact::share::TrafficShare;
use takt_monitoring::events::Label;
use takt_rollout::action::{Action, Do};
use takt_rollout::evidence::Event;
use takt_rollout::observation::{Candidate, Command, DeadMan, Observation};
use takt_rollout::plan::{Rates, Unit};
use takt_rollout::route::{Arm as Client, Draw, Router, draw};
use takt_rollout::state::{Phase, Rollout, Stage};
use takt_rollout::{Plan, State};
use tracing::{error, info};

use super::admission::admission;
use super::hub::Hands;
use super::labels::Disputes;
use super::query::Queries;
use super::rates::rates;
use super::store::Stored;
use super::watch::{WatchedRoute, WatchedRuns, freeze};
use crate::registry::desired::Rolling;
use crate::registry::index::VersionState;
use crate::registry::table::ServedModel;
use crate::registry::version::ServedVersion;
use crate::route::{DeadMan as Switch, Route, RouteCell, Shadow, StationCounts, Trip};
use crate::state::{Intent, IntentKind, UnixMillis, VersionId};

/// A request that the candidate keeps for longer than this share of the run's time limit is answered by stable.
const PATIENCE_SHARE: u32 = 2;
/// And after this at the latest.
const LONGEST_PATIENCE: Duration = Duration::from_secs(2);

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
    cell: Arc<RouteCell>,
    current: Option<Arc<Route>>,
    watched: Vec<WatchedRoute>,
    runs: WatchedRuns,
    /// Whether the registry was told to keep the candidate loaded.
    wants_candidate: bool,
    wants_stable: bool,
    promoted: bool,
    shadowed: TrafficShare,
    verified: Option<Result<(), String>>,
    intent: Option<Intent>,
    /// Under a plan that routes stations: the epoch, the stations that had the candidate in it, and what is sealed.
    epoch: u64,
    had_canary: BTreeSet<String>,
    sealed: Vec<Event>,
    disputes: Disputes,
    settled: Vec<Event>,
    queries: Option<Queries>,
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
    pub(super) fn labelled(&mut self, label: &Label, hands: &Hands) {
        let Some(gate) = self.plan.gates.labels else { return };
        let snapshot = hands.registry.table().snapshot();
        let stable = snapshot.get(self.model.as_str()).and_then(|served| served.versions.get(&self.stable));
        if let Some(stable) = stable {
            self.settled.extend(self.disputes.settle(label, stable, gate.inspected));
        }
    }

    /// How things are now, and what was counted since the last time.
    pub(super) fn observe(&mut self, hands: &Hands, now: Instant) -> Observation {
        let snapshot = hands.registry.table().snapshot();
        let served = snapshot.get(self.model.as_str());
        let version = |number: u64| served.and_then(|served| served.versions.get(&number)).cloned();
        let (stable, candidate) = (version(self.stable), version(self.candidate));
        if let Some(stable) = &stable {
            self.rates = rates(stable);
        }
        self.freeze_limits(stable.as_ref());
        self.turn_epoch(hands);
        let mut observation = Observation {
            stable_ready: stable.as_ref().is_some_and(|version| version.batcher.is_healthy()),
            candidate: self.standing(hands, served, candidate.as_ref()),
            verified: self.verify(hands),
            routed: Some(self.current.as_ref().map_or(TrafficShare::NONE, |route| in_force(route))),
            observed: self.observed(),
            shadowed: Some(self.shadowed),
            promoted: Some(self.promoted),
            command: self.command.take(),
            dead_man: self.dead_man.clone(),
            rates: self.rates,
            ..Observation::default()
        };
        if let (Some(stable), Ok(dir)) = (&stable, VersionDir::open(self.candidate_dir(hands)))
            && self.is_placing()
        {
            observation.admission = admission(&dir, stable, self.plan.placement.headroom)
                // A kernel that says nothing refuses nothing.
                .or(Some(takt_rollout::observation::Admission::Beside));
        }
        for shadow in self.watched.iter().filter_map(|watched| watched.route.shadow.as_ref()) {
            self.disputes.add(shadow.take_discordant());
        }
        let current = self.current.as_ref();
        self.watched.retain_mut(|watched| {
            // Looked at before it is read: whoever still held it then may count after.
            let stays = current.is_some_and(|route| Arc::ptr_eq(route, &watched.route)) || watched.is_in_use();
            let (events, copies) = watched.read(now);
            observation.events.extend(events);
            observation.copies.chosen += copies.chosen;
            observation.copies.dropped += copies.dropped;
            stays
        });
        if let Some(queries) = &mut self.queries {
            observation.events.extend(queries.read(now));
            observation.missing = queries.missing(now);
        }
        observation.events.append(&mut self.sealed);
        observation.events.append(&mut self.settled);
        if let (Some(stable), Some(candidate), Some(rollout)) = (&stable, &candidate, &self.state.rollout) {
            observation.events.extend(self.runs.read(stable, candidate, &rollout.slow_micros));
        }
        observation
    }

    /// Does what was decided. What was done already makes no difference.
    pub(super) fn act(&mut self, action: &Action, hands: &Hands, now: UnixMillis) {
        info!(model = self.model, key = action.key, "rollout");
        match &action.what {
            Do::RecordIntent(_) => self.open_intent(hands, now),
            Do::ClearIntent => self.intent = None,
            Do::LoadCandidate | Do::WarmCandidate => {
                self.wants_candidate = true;
                hands.registry.roll(&self.model, Some(self.rolling()));
            }
            Do::UnloadCandidate => {
                self.wants_candidate = false;
                hands.registry.roll(&self.model, Some(self.rolling()));
            }
            Do::LoadStable => {
                self.wants_stable = true;
                hands.registry.roll(&self.model, Some(self.rolling()));
            }
            Do::UnloadStable => {
                self.wants_stable = false;
                hands.registry.roll(&self.model, Some(self.rolling()));
            }
            Do::SetWeight(share) => self.set_route(hands, *share, self.shadowed),
            Do::SetShadow(share) => {
                self.shadowed = *share;
                let weight = self.current.as_ref().map_or(TrafficShare::NONE, |route| route.share());
                self.set_route(hands, weight, *share);
            }
            Do::PointAlias(arm) => {
                self.promoted = *arm == Client::Canary;
                let weight = self.current.as_ref().map_or(TrafficShare::NONE, |route| route.share());
                self.set_route(hands, weight, self.shadowed);
            }
            Do::Quarantine(_) => {
                let reason = self.state.rollout.as_ref().map_or("", |rollout| rollout.why.as_str());
                if let Some(id) = self.candidate_id()
                    && let Err(error) = hands.journal.quarantine(&id, reason, now)
                {
                    error!(%error, "the quarantine can't be written; it holds while this process lives");
                }
            }
        }
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
        let last = |route: &Route| {
            route.counts(takt_monitoring::events::Arm::Canary).last_ms.load(std::sync::atomic::Ordering::Relaxed)
        };
        self.watched.iter().map(|watched| last(&watched.route)).max().unwrap_or(0)
    }

    pub(super) fn candidate_id(&self) -> Option<VersionId> {
        let digest = self.state.rollout.as_ref()?.candidate.to_string();
        Some(VersionId { model: self.model.clone(), version: self.candidate, digest })
    }

    pub(super) fn rollout(&self) -> Option<&Rollout> {
        self.state.rollout.as_ref()
    }

    fn candidate_dir(&self, hands: &Hands) -> std::path::PathBuf {
        hands.version_dir(&self.model, self.candidate)
    }

    fn is_placing(&self) -> bool {
        let stage = self.rollout().and_then(|rollout| rollout.phase.stage());
        matches!(stage, Some(Stage::Validating | Stage::Placing))
    }

    /// Files against their digests, once.
    fn verify(&mut self, hands: &Hands) -> Option<Result<(), String>> {
        if self.verified.is_none() {
            let expected = self.rollout().map(|rollout| rollout.candidate);
            let verified =
                VersionDir::open(self.candidate_dir(hands)).map_err(|error| error.to_string()).and_then(|dir| {
                    dir.verify().map_err(|error| error.to_string())?;
                    match Some(dir.digest()) == expected {
                        true => Ok(()),
                        false => Err("its files are others than when the rollout began".to_owned()),
                    }
                });
            self.verified = Some(verified);
        }
        self.verified.clone()
    }

    fn standing(
        &self,
        hands: &Hands,
        served: Option<&ServedModel>,
        candidate: Option<&Arc<ServedVersion>>,
    ) -> Candidate {
        if let Some(candidate) = candidate {
            let quarantined = hands.journal.is_quarantined(&candidate.id.digest);
            return if candidate.batcher.is_healthy() && !quarantined { Candidate::Ready } else { Candidate::Coming };
        }
        let index = hands.registry.index();
        let entry = index.iter().find(|entry| entry.model == self.model && entry.version == Some(self.candidate));
        match entry.map(|entry| entry.state) {
            Some(VersionState::Loading) => Candidate::Coming,
            Some(VersionState::Unavailable) if self.wants_candidate && entry.is_some_and(|entry| entry.failed) => {
                let reason = served.and_then(|served| served.unready.get(&self.candidate));
                Candidate::Failed(reason.cloned().unwrap_or_else(|| "it did not load".to_owned()))
            }
            Some(_) => Candidate::Absent,
            // The registry may not have looked at the repository yet.
            None if self.wants_candidate && !self.candidate_dir(hands).is_dir() => {
                Candidate::Failed("its folder is gone from the repository".to_owned())
            }
            None => Candidate::Absent,
        }
    }

    /// Limits above which a run is slow are frozen before the candidate has any traffic, from what stable did until then.
    fn freeze_limits(&mut self, stable: Option<&Arc<ServedVersion>>) {
        let (Some(stable), Some(gate)) = (stable, self.plan.gates.latency) else { return };
        let Some(rollout) = &mut self.state.rollout else { return };
        if rollout.desired == TrafficShare::NONE && rollout.exposed == 0 && rollout.slow_micros.is_empty() {
            rollout.slow_micros = freeze(stable, gate.slow.get());
        }
    }

    /// Under a plan that routes stations: seals the epoch that has passed and draws anew.
    fn turn_epoch(&mut self, hands: &Hands) {
        let Unit::Station { epoch } = self.plan.unit else { return };
        let Some(current) = self.current.clone() else { return };
        let number = epoch_number(epoch);
        if number != self.epoch {
            self.epoch = number;
            self.set_route(hands, current.share(), self.shadowed);
            self.had_canary.clear();
        }
    }

    fn observed(&self) -> Option<TrafficShare> {
        let current = self.current.as_ref()?;
        let watched = self.watched.iter().find(|watched| Arc::ptr_eq(&watched.route, current))?;
        watched.observed().and_then(|share| TrafficShare::new(share).ok())
    }

    fn open_intent(&mut self, hands: &Hands, now: UnixMillis) {
        if self.intent.is_some() {
            return;
        }
        let Some(id) = self.candidate_id() else { return };
        match hands.journal.open_intent(IntentKind::Weight, &id, now) {
            Ok(intent) => self.intent = Some(intent),
            Err(error) => {
                error!(%error, "the intent can't be written to the journal; the rollout's own record holds it");
            }
        }
    }

    /// Puts a route in force: one compare-and-swap. The one before is still read until the last request lets it go.
    fn set_route(&mut self, hands: &Hands, share: TrafficShare, shadowed: TrafficShare) {
        let Some(rollout) = &self.state.rollout else { return };
        let snapshot = hands.registry.table().snapshot();
        let candidate = snapshot.get(self.model.as_str()).and_then(|served| served.versions.get(&self.candidate));
        let limit = candidate.map_or(LONGEST_PATIENCE, |version| version.config.limits.run_timeout / PATIENCE_SHARE);
        let batch = candidate.map_or(1, |version| version.batcher.config().max_batch_size);
        let router = Router::new(rollout.salt, share, shadowed);
        self.seal_stations();
        let stations = hands.stations();
        let drawn = self.draw_stations(&stations, share);
        let route = Arc::new(Route {
            stable: self.stable,
            candidate: self.candidate,
            router,
            draw: drawn,
            objective: self.plan.gates.latency.and_then(|latency| latency.slo).map(|slo| slo.within),
            patience: limit.min(LONGEST_PATIENCE),
            promoted: self.promoted,
            arms: Default::default(),
            stations: StationCounts::of(stations),
            dead_man: Switch::new(self.plan.dead_man),
            shadow: (shadowed != TrafficShare::NONE).then(|| Shadow::new(batch)),
            anonymous: Default::default(),
            waker: hands.waker.clone(),
        });
        if self.cell.replace(self.current.as_ref(), Some(Arc::clone(&route))) {
            self.watched.push(WatchedRoute::new(Arc::clone(&route)));
            self.current = Some(route);
        } else {
            error!(
                model = self.model,
                "another route is in force than the one this rollout put there; please report this"
            );
        }
    }

    /// What each station counted under the draw that ends now. A station that had the candidate before in this epoch took no
    /// part in the draw.
    fn seal_stations(&mut self) {
        let Some(current) = &self.current else { return };
        let Some(watched) = self.watched.iter().find(|watched| Arc::ptr_eq(&watched.route, current)) else { return };
        let Some(mut sealed) = watched.seal() else { return };
        sealed.canary.retain(|block| !self.had_canary.contains(&block.station));
        sealed.stable.retain(|block| !self.had_canary.contains(&block.station));
        self.had_canary.extend(sealed.canary.iter().map(|block| block.station.clone()));
        if !(sealed.canary.is_empty() || sealed.stable.is_empty()) {
            self.sealed.push(Event::Stations(sealed));
        }
    }

    fn draw_stations(&self, names: &[String], share: TrafficShare) -> Option<Draw> {
        let Unit::Station { epoch } = self.plan.unit else { return None };
        Some(draw(self.rollout()?.salt, epoch_number(epoch), names.iter().map(String::as_str), share))
    }
}

/// The share in force: none once the dead man's switch has tripped.
fn in_force(route: &Route) -> TrafficShare {
    if route.dead_man.has_tripped() { TrafficShare::NONE } else { route.share() }
}

/// Epochs are counted from 1970, so that a restart within one draws the same stations.
fn epoch_number(epoch: Duration) -> u64 {
    let now = UnixMillis::from(std::time::SystemTime::now());
    now.0 / u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX).max(1)
}
