//! Reading what was counted: from the routes, where requests were answered, and from the versions, where runs were timed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use takt_artifact::share::TrafficShare;
use takt_monitoring::events::Arm;
use takt_rollout::evidence::{Drawn, Event, Exposure, Runs, StationBlock, StationEpoch, Tally};
use takt_rollout::observation::{Copies, Observation};
use takt_rollout::plan::Latency;
use takt_rollout::route::Arm as Client;

use crate::route::{Route, Shadow};
use crate::telemetry::run_times::{RunTimes, SIZES};

/// After so long without a new frame the views of a part are complete.
const PART_IS_QUIET: Duration = Duration::from_secs(2);
/// Bins of score histograms.
const SCORE_BINS: usize = 20;
/// Stable's runs of a batch size that a limit can be frozen from.
const FEWEST_RUNS: u64 = 200;

/// A route whose counts are read until no request holds it any more.
#[derive(Debug)]
pub(super) struct WatchedRoute {
    pub(super) route: Arc<Route>,
    read: Readings,
}

#[derive(Debug, Default, Clone, Copy)]
struct Readings {
    stable: Tally,
    canary: Tally,
    late: u64,
    compared: u64,
    failed_copies: u64,
    sampled: u64,
    dropped: u64,
}

impl WatchedRoute {
    pub(super) fn new(route: Arc<Route>) -> Self {
        Self { route, read: Readings::default() }
    }

    /// Whether a request may still count under it: whoever holds it besides this.
    pub(super) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.route) > 1
    }

    /// What was counted since the last time, as events; and the copies.
    pub(super) fn read(&mut self, now: Instant) -> (Vec<Event>, Copies) {
        let was = self.read;
        let copies = self.route.shadow.as_ref().map(Shadow::counts);
        let copied = |count: fn(&crate::route::ShadowCounts) -> &AtomicU64| {
            copies.map_or(0, |counts| count(counts).load(Relaxed))
        };
        let tally = |arm| {
            let counts = self.route.counts(arm);
            Tally { bad: counts.failed.count(), units: counts.units.load(Relaxed) }
        };
        let mut is = Readings {
            stable: tally(Arm::Stable),
            canary: tally(Arm::Canary),
            late: self.route.counts(Arm::Canary).late.load(Relaxed),
            compared: copied(|counts| &counts.compared),
            failed_copies: tally(Arm::Shadow).bad,
            sampled: copied(|counts| &counts.sampled),
            dropped: copied(|counts| &counts.dropped),
        };
        let (stable, canary) = (since(&mut is.stable, was.stable), since(&mut is.canary, was.canary));
        self.read = is;
        let mut events = Vec::new();
        if stable.units + canary.units > 0 {
            events.push(Event::Served(Exposure { rho: self.route.share(), stable, canary }));
        }
        if self.route.objective.is_some() && canary.units > 0 {
            events.push(Event::Answered(Tally { units: canary.units, bad: (is.late - was.late).min(canary.units) }));
        }
        let failed_copies = is.failed_copies - was.failed_copies;
        let compared = is.compared - was.compared;
        if compared + failed_copies > 0 {
            events.push(Event::ShadowRuns(Tally { units: compared + failed_copies, bad: failed_copies }));
        }
        events.extend(self.route.shadow.iter().flat_map(|shadow| units(shadow, now)));
        (events, Copies { chosen: is.sampled - was.sampled, dropped: is.dropped - was.dropped })
    }

    /// The epoch of a plan that routes stations, sealed: what each station of the draw counted.
    pub(super) fn seal(&self) -> Option<StationEpoch> {
        let draw = self.route.draw.as_ref()?;
        let blocks = self.route.stations.get().into_iter().map(|(station, tally)| StationBlock { station, tally });
        let (canary, stable) = blocks.partition(|block| draw.arm(&block.station) == Client::Canary);
        Some(StationEpoch { drawn: Drawn::ByRank, canary, stable })
    }

    /// The share that the candidate answered so far, where anything was.
    pub(super) fn observed(&self) -> Option<f64> {
        let (stable, canary) = (self.read.stable.units, self.read.canary.units);
        (stable + canary > 0).then(|| canary as f64 / (stable + canary) as f64)
    }
}

/// Reads every route into `seen`, and lets go of those that are no longer in force and that no request holds.
pub(super) fn read_all(
    watched: &mut Vec<WatchedRoute>,
    current: Option<&Arc<Route>>,
    now: Instant,
    seen: &mut Observation,
) {
    watched.retain_mut(|watched| {
        // Looked at before it is read: whoever still held it then may count after.
        let stays = current.is_some_and(|route| Arc::ptr_eq(route, &watched.route)) || watched.is_in_use();
        let (events, copies) = watched.read(now);
        seen.events.extend(events);
        seen.copies.chosen += copies.chosen;
        seen.copies.dropped += copies.dropped;
        stays
    });
}

/// The share that the candidate really answered under the route in force.
pub(super) fn observed(watched: &[WatchedRoute], current: &Arc<Route>) -> Option<TrafficShare> {
    let watched = watched.iter().find(|watched| Arc::ptr_eq(&watched.route, current))?;
    watched.observed().and_then(|share| TrafficShare::new(share).ok())
}

fn units(shadow: &crate::route::Shadow, now: Instant) -> Vec<Event> {
    let compared = shadow.take(PART_IS_QUIET, now);
    if compared.is_empty() {
        return Vec::new();
    }
    let mut scores = (vec![0_u64; SCORE_BINS], vec![0_u64; SCORE_BINS]);
    let bin = |score: f32| ((score.clamp(0.0, 1.0) * SCORE_BINS as f32) as usize).min(SCORE_BINS - 1);
    for part in &compared {
        scores.0[bin(part.scores.0)] += 1;
        scores.1[bin(part.scores.1)] += 1;
    }
    let mut events: Vec<Event> = compared.into_iter().flat_map(|part| part.units).map(Event::Shadow).collect();
    events.push(Event::Scores { stable: scores.0, canary: scores.1 });
    events
}

/// What was counted in between. A failure is counted a moment before its unit: one without a unit waits for the next look.
fn since(is: &mut Tally, was: Tally) -> Tally {
    let units = is.units - was.units;
    let bad = is.bad.saturating_sub(was.bad).min(units);
    is.bad = was.bad + bad;
    Tally { units, bad }
}

/// Runs of both versions by size of the batch, read from their histograms.
#[derive(Debug, Default)]
pub(super) struct WatchedRuns {
    read: BTreeMap<u32, [Tally; 2]>,
    /// Whose histograms these are: a version that was loaded again begins at zero.
    versions: Option<[usize; 2]>,
}

impl WatchedRuns {
    /// What ran for clients since the last time, at every size with a limit. The first look only takes note; and under a share
    /// of none only copies run, when stable does not: their times are those of another hour.
    pub(super) fn read(
        &mut self,
        stable: &RunTimes,
        candidate: &RunTimes,
        slow_micros: &BTreeMap<u32, u64>,
        share: TrafficShare,
    ) -> Vec<Event> {
        let versions = [stable, candidate].map(|times| std::ptr::from_ref(times) as usize);
        let first = self.versions.replace(versions) != Some(versions);
        let mut events = Vec::new();
        for (&batch, &micros) in slow_micros {
            let tau = Duration::from_micros(micros);
            let read = |times: &RunTimes| {
                let (units, bad) = times.slow(class(batch), tau);
                Tally { units, bad }
            };
            let mut is = [read(stable), read(candidate)];
            let was = self.read.get(&batch).copied().filter(|_| !first);
            let counted = was.map(|was| (since(&mut is[0], was[0]), since(&mut is[1], was[1])));
            self.read.insert(batch, is);
            if let Some((stable, canary)) = counted
                && stable.units + canary.units > 0
                && share != TrafficShare::NONE
            {
                events.push(Event::Runs(Runs { batch, stable, canary }));
            }
        }
        events
    }
}

/// Times above which a run is slow, in microseconds by batch size: those that stable has stayed below in all but `gate.slow` of
/// its runs, and `gate.slack` more. Sizes that it has hardly run are left out: nothing can be said of them.
pub(super) fn freeze(stable: &RunTimes, gate: &Latency) -> BTreeMap<u32, u64> {
    let limit = |size: usize| {
        let usual = stable.quantile(size, 1.0 - gate.slow.get(), FEWEST_RUNS)?;
        let tau = usual + usual.mul_f64(gate.slack.get()).max(gate.least);
        Some((1_u32 << size, u64::try_from(tau.as_micros()).ok()?))
    };
    (0..SIZES).filter_map(limit).collect()
}

/// The class of sizes that a limit's key stands for.
fn class(batch: u32) -> usize {
    batch.trailing_zeros() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_is_seen_before_its_unit_waits_for_it() {
        let mut first = Tally { units: 10, bad: 1 };
        assert_eq!(since(&mut first, Tally::default()), Tally { units: 10, bad: 1 });
        let mut second = Tally { units: 10, bad: 2 };
        assert_eq!(since(&mut second, first), Tally { units: 0, bad: 0 });
        let mut third = Tally { units: 11, bad: 2 };
        assert_eq!(since(&mut third, second), Tally { units: 1, bad: 1 });
    }
}
