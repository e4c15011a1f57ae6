//! What is seen of a rollout: how far its versions are, and what was counted.

use std::sync::Arc;
use std::time::Instant;

use takt_artifact::VersionDir;
use takt_artifact::share::TrafficShare;
use takt_rollout::observation::{Admission, Candidate, Observation};
use takt_rollout::state::Stage;

use super::active::Active;
use super::admission::admission;
use super::hub::Hands;
use super::rates::rates;
use super::watch::{freeze, observed, read_all};
use crate::registry::index::VersionState;
use crate::registry::table::ServedModel;
use crate::registry::version::ServedVersion;

impl Active {
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
            routed: Some(self.current.as_ref().map_or(TrafficShare::NONE, |route| route.in_force())),
            observed: self.current.as_ref().and_then(|current| observed(&self.watched, current)),
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
                .or(Some(Admission::Beside));
        }
        for shadow in self.watched.iter().filter_map(|watched| watched.route.shadow.as_ref()) {
            self.disputes.add(shadow.take_discordant());
        }
        let current = self.current.as_ref();
        read_all(&mut self.watched, current, now, &mut observation);
        if let Some(queries) = &mut self.queries {
            observation.events.extend(queries.read(now));
            observation.missing = queries.missing(now);
        }
        observation.events.append(&mut self.sealed);
        observation.events.append(&mut self.settled);
        if let (Some(stable), Some(candidate), Some(rollout)) = (&stable, &candidate, &self.state.rollout) {
            let times = (&stable.stats.run_times, &candidate.stats.run_times);
            let share = current.map_or(TrafficShare::NONE, |route| route.share());
            observation.events.extend(self.runs.read(times.0, times.1, &rollout.slow_micros, share));
        }
        observation
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
            rollout.slow_micros = freeze(&stable.stats.run_times, &gate);
        }
    }

    fn is_placing(&self) -> bool {
        let stage = self.rollout().and_then(|rollout| rollout.phase.stage());
        matches!(stage, Some(Stage::Validating | Stage::Placing))
    }
}
