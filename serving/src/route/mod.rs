//! Which version answers while a rollout is under way, and what is counted of it.
//!
//! The owner of a rollout puts a [`Route`] into the model's [`RouteCell`]; requests read it with one atomic load. A route
//! holds for one share of traffic: when the share changes there is a new one, so that whatever a request counts, it counts
//! under the share that was in force when it was routed. Only one thing changes within a route, and only one way: its dead
//! man's switch takes the candidate out at once ([`DeadMan`]).

mod counts;
mod disagreement;
mod shadow;
mod verify;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use takt_artifact::share::TrafficShare;
use takt_monitoring::events::Arm;
use takt_rollout::route::{Arm as Client, Draw, Router};

pub use self::counts::{ArmCounts, DeadMan, StationCounts, Trip};
pub use self::disagreement::{Compared, Said};
pub use self::shadow::{Discordant, Shadow, ShadowCounts};
pub use self::verify::{BadOutput, verify};

use crate::request::Origin;

/// Where the requests of a model find the route that is in force. One compare-and-swap changes it.
#[derive(Debug, Default)]
pub struct RouteCell(ArcSwapOption<Route>);

impl RouteCell {
    /// The route in force, while there is a rollout.
    #[must_use]
    pub fn get(&self) -> Option<Arc<Route>> {
        self.0.load_full()
    }

    /// Puts `next` in force in place of `current`. `false`, and nothing changes, where another is in force.
    #[must_use]
    pub fn replace(&self, current: Option<&Arc<Route>>, next: Option<Arc<Route>>) -> bool {
        let found = self.0.compare_and_swap(&current.cloned(), next);
        match (&*found, current) {
            (Some(found), Some(current)) => Arc::ptr_eq(found, current),
            (None, None) => true,
            _ => false,
        }
    }
}

/// How a rollout routes, until its share changes.
#[derive(Debug)]
pub struct Route {
    /// The version that the rollout would go back to.
    pub stable: u64,
    /// The version that is tried.
    pub candidate: u64,
    /// What decides who gets which, by the unit's hash.
    pub router: Router,
    /// The stations of this epoch, where the plan routes by station.
    pub draw: Option<Draw>,
    /// Longest time from arrival to answer that is in order, where the plan has one.
    pub objective: Option<Duration>,
    /// When a request that the candidate holds up is answered by the stable version instead.
    pub patience: Duration,
    /// Whether the model's name stands for the candidate.
    pub promoted: bool,
    /// Counts of the stable version, the candidate, and of copies for the candidate.
    pub arms: [ArmCounts; 3],
    /// Counts of each station of the draw.
    pub stations: StationCounts,
    /// Takes the candidate out at once.
    pub dead_man: DeadMan,
    /// Copies for the candidate, where the plan wants them.
    pub shadow: Option<Shadow>,
    /// Requests without a name of their own.
    pub anonymous: AtomicU64,
    /// Wakes the owner of the rollout.
    pub waker: Waker,
}

/// Tells the owner of the rollouts to look now. Never waits.
#[derive(Clone)]
pub struct Waker(Arc<dyn Fn(Wake) + Send + Sync>);

impl Waker {
    /// Calls `tell`, which must not wait.
    pub fn new(tell: impl Fn(Wake) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// Tells.
    pub fn wake(&self, why: Wake) {
        (self.0)(why);
    }
}

impl fmt::Debug for Waker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Waker")
    }
}

/// Why the owner of the rollouts should look now and not at its next tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// A failure was counted.
    Failure,
    /// The dead man's switch of the model's route tripped.
    Tripped(String, Trip),
}

impl Route {
    /// A route by parts, without an objective and without copies, on which nothing was counted. The candidate is taken out after
    /// `dead_man` failed runs in a row.
    #[must_use]
    pub fn new((stable, candidate): (u64, u64), router: Router, dead_man: u32, waker: Waker) -> Self {
        Self {
            stable,
            candidate,
            router,
            draw: None,
            objective: None,
            patience: Duration::from_secs(1),
            promoted: false,
            arms: Default::default(),
            stations: StationCounts::default(),
            dead_man: DeadMan::new(dead_man),
            shadow: None,
            anonymous: AtomicU64::new(0),
            waker,
        }
    }

    /// Counts of an arm.
    #[must_use]
    pub fn counts(&self, arm: Arm) -> &ArmCounts {
        match arm {
            Arm::Stable => &self.arms[0],
            Arm::Canary => &self.arms[1],
            Arm::Shadow => &self.arms[2],
        }
    }

    /// The canary's share.
    #[must_use]
    pub fn share(&self) -> TrafficShare {
        self.router.share()
    }

    /// The share in force: none once the dead man's switch has tripped.
    #[must_use]
    pub fn in_force(&self) -> TrafficShare {
        if self.dead_man.has_tripped() { TrafficShare::NONE } else { self.share() }
    }

    /// Who answers a request. All views of one part get the same version; a request without a part is a unit by itself.
    #[must_use]
    pub fn assign(&self, origin: &Origin, request: &str) -> Arm {
        if self.in_force() == TrafficShare::NONE {
            return Arm::Stable;
        }
        let arm = match (&self.draw, &origin.station) {
            (Some(draw), Some(station)) => draw.arm(station),
            _ => self.with_unit(origin, request, |unit| self.router.arm(unit)),
        };
        match arm {
            Client::Stable => Arm::Stable,
            Client::Canary => Arm::Canary,
        }
    }

    /// Whether a copy of a request goes to the candidate; by its part, so that a part is compared with all its views.
    #[must_use]
    pub fn is_shadowed(&self, origin: &Origin, request: &str) -> bool {
        !self.dead_man.has_tripped() && self.with_unit(origin, request, |unit| self.router.shadowed(unit))
    }

    fn with_unit<T>(&self, origin: &Origin, request: &str, then: impl FnOnce(&[u8]) -> T) -> T {
        match &origin.part_id {
            Some(part) => then(part.as_bytes()),
            None if !request.is_empty() => then(request.as_bytes()),
            None => then(&self.anonymous.fetch_add(1, Relaxed).to_le_bytes()),
        }
    }

    /// Counts one request by its station, where whole stations are routed.
    pub fn count_station(&self, origin: &Origin, bad: bool) {
        if let (Some(_), Some(station)) = (&self.draw, &origin.station) {
            self.stations.add(station, bad);
        }
    }

    /// Name of an arm in metadata and headers.
    #[must_use]
    pub const fn label(arm: Arm) -> &'static str {
        match arm {
            Arm::Stable => "stable",
            Arm::Canary => "canary",
            Arm::Shadow => "shadow",
        }
    }
}

#[cfg(test)]
mod tests {
    use takt_rollout::route::Salt;

    use super::*;

    fn route(share: u32) -> Route {
        let share = TrafficShare::of_millionths(share);
        Route::new((1, 2), Router::new(Salt::new(11), share, share), 3, Waker::new(|_| ()))
    }

    fn part(id: &str) -> Origin {
        Origin { part_id: Some(id.to_owned()), ..Origin::default() }
    }

    #[test]
    fn all_views_of_a_part_get_one_version_and_requests_without_one_their_share() {
        let route = route(200_000);
        for id in 0..200 {
            let part = part(&id.to_string());
            let arms: Vec<Arm> = (0..5).map(|view| route.assign(&part, &format!("view-{view}"))).collect();
            assert!(arms.windows(2).all(|pair| pair[0] == pair[1]), "{arms:?}");
        }
        let canary = (0..10_000).filter(|_| route.assign(&Origin::default(), "") == Arm::Canary).count();
        assert!((1800..2200).contains(&canary), "{canary} of 10000 at 20 %");
        let canary =
            (0..10_000).filter(|id| route.assign(&Origin::default(), &format!("r{id}")) == Arm::Canary).count();
        assert!((1800..2200).contains(&canary), "{canary} of 10000 at 20 %");
    }

    #[test]
    fn without_a_share_and_after_a_trip_everybody_gets_stable_and_no_copies_are_made() {
        let none = route(0);
        assert!((0..1000).all(|id| none.assign(&part(&id.to_string()), "") == Arm::Stable));
        let all = route(1_000_000);
        assert_eq!(all.assign(&part("p"), ""), Arm::Canary);
        assert!(all.is_shadowed(&part("p"), ""));
        assert!(all.dead_man.trip(Trip::FailedRuns(3)).is_some());
        assert_eq!(all.assign(&part("p"), ""), Arm::Stable);
        assert!(!all.is_shadowed(&part("p"), ""));
    }

    #[test]
    fn only_who_knows_what_is_in_force_may_replace_it() {
        let cell = RouteCell::default();
        let (first, second) = (Arc::new(route(0)), Arc::new(route(50_000)));
        assert!(cell.replace(None, Some(Arc::clone(&first))));
        assert!(!cell.replace(None, Some(Arc::clone(&second))));
        assert!(!cell.replace(Some(&second), None));
        assert!(Arc::ptr_eq(&cell.get().unwrap(), &first));
        assert!(cell.replace(Some(&first), Some(second)) && cell.get().unwrap().share().millionths() == 50_000);
    }
}
