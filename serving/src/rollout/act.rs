//! What is done about a rollout: on the registry, the journal, and the route that requests read.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use takt_artifact::share::TrafficShare;
use takt_rollout::action::{Action, Do};
use takt_rollout::evidence::Event;
use takt_rollout::plan::Unit;
use takt_rollout::route::{Arm as Client, Draw, Router, draw};
use tracing::{error, info};

use super::active::Active;
use super::hub::Hands;
use super::watch::WatchedRoute;
use crate::route::{Route, Shadow, StationCounts};
use crate::state::{IntentKind, UnixMillis};

/// A request that the candidate keeps for longer than this share of the run's time limit is answered by stable.
const PATIENCE_SHARE: u32 = 2;
/// And after this at the latest.
const LONGEST_PATIENCE: Duration = Duration::from_secs(2);

impl Active {
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
    pub(super) fn set_route(&mut self, hands: &Hands, share: TrafficShare, shadowed: TrafficShare) {
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
            draw: drawn,
            objective: self.plan.gates.latency.and_then(|latency| latency.slo).map(|slo| slo.within),
            patience: limit.min(LONGEST_PATIENCE),
            promoted: self.promoted,
            stations: StationCounts::of(stations),
            shadow: (shadowed != TrafficShare::NONE).then(|| Shadow::new(batch)),
            ..Route::new((self.stable, self.candidate), router, self.plan.dead_man, hands.waker.clone())
        });
        if self.cell.replace(self.current.as_ref(), Some(Arc::clone(&route))) {
            self.watched.push(WatchedRoute::new(Arc::clone(&route)));
            self.shares.turned(UnixMillis::from(SystemTime::now()), share);
            self.current = Some(route);
        } else {
            error!(
                model = self.model,
                "another route is in force than the one this rollout put there; please report this"
            );
        }
    }

    /// Under a plan that routes stations: seals the epoch that has passed and draws anew.
    pub(super) fn turn_epoch(&mut self, hands: &Hands) {
        let Unit::Station { epoch } = self.plan.unit else { return };
        let Some(current) = self.current.clone() else { return };
        let number = epoch_number(epoch);
        if number != self.epoch {
            self.epoch = number;
            self.set_route(hands, current.share(), self.shadowed);
            self.had_canary.clear();
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

/// Epochs are counted from 1970, so that a restart within one draws the same stations.
fn epoch_number(epoch: Duration) -> u64 {
    let now = UnixMillis::from(SystemTime::now());
    now.0 / u64::try_from(epoch.as_millis()).unwrap_or(u64::MAX).max(1)
}
