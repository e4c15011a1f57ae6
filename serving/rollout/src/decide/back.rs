//! The way back to stable.

use takt_artifact::share::TrafficShare;

use super::turn::Turn;
use crate::state::Phase;

impl Turn<'_> {
    /// All traffic goes to stable, unless stable does not answer: a version that serves badly is better than none.
    pub(super) fn go_back(&mut self) {
        if !self.seen.stable_ready {
            self.next.phase = Phase::Degraded;
            self.next.why = "the candidate should go, and stable does not answer: it is being brought back".to_owned();
            return;
        }
        if self.next.phase == Phase::Degraded {
            self.next.phase = Phase::Aborting;
            return;
        }
        // What Aborting has to do must have been said once: after a restart nobody has.
        let said = self.asked_before();
        if said && self.seen.routed == Some(TrafficShare::NONE) && self.next.desired == TrafficShare::NONE {
            self.end_back();
        }
    }

    fn end_back(&mut self) {
        self.next.phase = Phase::RolledBack;
        self.next.times.since = self.now;
        let Some(rollback) = &mut self.next.rollback else { return };
        rollback.zero.get_or_insert(self.now);
        let exposed = rollback.exposed;
        self.next.why =
            format!("stable serves alone: {}; {exposed} units had been answered by the candidate", rollback.reason);
    }
}
