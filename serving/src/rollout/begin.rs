//! How a rollout begins, or why not.

use std::hash::{BuildHasher, RandomState};
use std::time::SystemTime;

use takt_artifact::VersionDir;
use takt_rollout::State;
use takt_rollout::decide::{Start, retry, start};
use takt_rollout::route::Salt;
use takt_rollout::state::RolloutId;
use tracing::error;

use super::active::Active;
use super::hub::{RolloutReport, StartOrder};
use super::owner::{Owner, phase};
use super::rates::rates;
use super::store::Stored;
use super::watch::freeze;
use crate::error::{ErrorKind, InferError};
use crate::state::UnixMillis;

impl Owner {
    /// Begins rollouts of versions that are to be rolled out by themselves.
    pub(super) fn begin_newcomers(&mut self) {
        let busy = |model: &str| self.active.contains_key(model);
        let refused = |model: &str, digest: &takt_artifact::VersionDigest| {
            self.ended.get(model).is_some_and(|(stored, _)| stored.state.refuses(digest).is_some())
                || self.hands.journal.is_quarantined(&digest.to_string())
        };
        for (model, candidate) in self.newcomers.look(&self.hands, busy, refused) {
            let asked = "a new version and on_new_version = \"rollout\"".to_owned();
            let order = StartOrder { model, candidate, plan: None, retry: false, dry_run: false, asked };
            if let Err(error) = self.begin(&order) {
                error!(model = order.model, candidate, %error, "the new version is not rolled out");
            }
        }
    }

    /// Begins a rollout.
    pub(super) fn begin(&mut self, order: &StartOrder) -> Result<RolloutReport, InferError> {
        let model = order.model.as_str();
        let not_found = |message: String| InferError::new(ErrorKind::NotFound, message);
        let refused = |message: String| InferError::new(ErrorKind::Unavailable, message);
        if let Some(active) = self.active.get(model) {
            let phase = phase(&active.state);
            return Err(refused(format!("a rollout of '{model}' is under way ({phase}); abort it first, or wait")));
        }
        let snapshot = self.hands.registry.table().snapshot();
        let served = snapshot.get(model).ok_or_else(|| {
            let known: Vec<&str> = snapshot.keys().map(AsRef::as_ref).collect();
            not_found(format!("no such model '{model}' in the repository (known: {})", known.join(", ")))
        })?;
        let (&stable, version) = served.versions.iter().next_back().ok_or_else(|| {
            refused(format!("no version of '{model}' serves, so there is nothing to go back to; load one first"))
        })?;
        if served.versions.contains_key(&order.candidate) {
            return Err(refused(format!(
                "version {} of '{model}' serves already; set on_new_version = \"ignore\" or \"rollout\" in model.toml, so that \
                 new versions wait to be tried",
                order.candidate
            )));
        }
        if order.candidate < stable {
            return Err(refused(format!(
                "version {} of '{model}' is older than version {stable}, which serves; versions only go up: put it there again \
                 under a higher number",
                order.candidate
            )));
        }
        let dir = VersionDir::open(self.hands.version_dir(model, order.candidate))
            .map_err(|error| not_found(format!("version {} of '{model}': {error}", order.candidate)))?;
        let stable_digest = VersionDir::open(version.dir.clone())
            .map_err(|error| refused(format!("version {stable} of '{model}', which serves: {error}")))?
            .digest();
        let plan = order.plan.clone().or_else(|| version.config.rollout.clone()).unwrap_or_default();
        if let (Some(metric), None) = (plan.gates.metrics.first(), &self.hands.settings.prometheus) {
            return Err(InferError::invalid(format!(
                "gates.metrics['{}'] asks a Prometheus, and this server knows none; set prometheus = \"http://HOST:PORT\" in \
                 [rollout] of takt.toml, or take the gate out of the plan",
                metric.name
            )));
        }
        let known = self.ended.get(model).map(|(stored, _)| stored.state.clone());
        let mut state = State { rollout: None, ..known.unwrap_or_default() };
        if order.retry && !order.dry_run {
            state = retry(&state, &dir.digest()).next;
            self.hands
                .journal
                .release(&dir.digest().to_string())
                .map_err(|error| InferError::new(ErrorKind::Internal, error.to_string()))?;
        } else if self.hands.journal.is_quarantined(&dir.digest().to_string()) && state.refuses(&dir.digest()).is_none()
        {
            return Err(refused(format!(
                "version {} of '{model}' is quarantined after a crash; mend it, or start with --retry",
                order.candidate
            )));
        }
        let begin = Start {
            id: RolloutId(ulid::Ulid::new().to_string()),
            stable: stable_digest,
            candidate: dir.digest(),
            salt: Salt::new(random()),
            slow_micros: plan.gates.latency.map(|gate| freeze(&version.stats.run_times, &gate)).unwrap_or_default(),
            rates: rates(version),
        };
        let now = UnixMillis::from(SystemTime::now());
        let decision = start(&plan, &state, begin, now).map_err(|error| refused(error.to_string()))?;
        let why = decision.why.clone();
        let stored = Stored::new(stable, order.candidate, plan, decision.next);
        if order.dry_run {
            return RolloutReport::new(model, &stored, rates(version).as_ref(), 0)
                .ok_or_else(|| InferError::new(ErrorKind::Internal, "no report of a rollout"));
        }
        self.hands.store.save(model, &stored).map_err(|error| {
            InferError::new(
                ErrorKind::Internal,
                format!("the rollout can't be written down, so it does not begin: {error}"),
            )
        })?;
        // The new rollout takes over the route that the last one may have left.
        self.lingering.remove(model);
        let active = Active::new(model.to_owned(), stored, &self.hands);
        self.hands.registry.roll(model, Some(active.rolling()));
        self.hands.registry.forgive(model, order.candidate);
        self.audit(&active, "idle", Some(&order.asked), &why);
        self.ended.remove(model);
        self.active.insert(model.to_owned(), active);
        self.step(model);
        self.publish();
        self.report_of(model)
    }
}

/// 128 bits that the system's randomness keys.
fn random() -> u128 {
    let state = RandomState::new();
    (u128::from(state.hash_one(0_u8)) << 64) | u128::from(state.hash_one(1_u8))
}
