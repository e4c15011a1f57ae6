//! What labels say of a rollout: of parts on which the versions disagreed, where exactly one of them was right, and of parts that
//! an audit chose.

use std::collections::VecDeque;

use takt_artifact::share::TrafficShare;
use takt_monitoring::events::{Label, LabelVerdict, Subject};
use takt_rollout::evidence::{Event, LabelPair};

use crate::registry::version::ServedVersion;
use crate::route::Discordant;
use crate::state::UnixMillis;

/// Disagreements that wait for a label, at most; the oldest go first.
const MOST: usize = 10_000;

/// Shares that are remembered; older ones belong to labels that come very late.
const MOST_SHARES: usize = 256;

/// Which share of traffic was the candidate's when.
#[derive(Debug, Default)]
pub(super) struct Shares(VecDeque<(UnixMillis, TrafficShare)>);

impl Shares {
    /// From now on it is this.
    pub(super) fn turned(&mut self, now: UnixMillis, share: TrafficShare) {
        self.0.push_back((now, share));
        if self.0.len() > MOST_SHARES {
            self.0.pop_front();
        }
    }

    /// What was in force then; `None` where nobody remembers.
    pub(super) fn at(&self, moment: UnixMillis) -> Option<TrafficShare> {
        self.0.iter().rev().find(|(from, _)| *from <= moment).map(|(_, share)| *share)
    }
}

/// Disagreements that no label has settled yet.
#[derive(Debug, Default)]
pub(super) struct Disputes(VecDeque<Discordant>);

impl Disputes {
    /// Takes note of disagreements. Of a part one is enough: its frames are alike.
    pub(super) fn add(&mut self, found: Vec<Discordant>) {
        for dispute in found {
            let known = dispute.part.is_some()
                && self.0.iter().any(|known| known.part == dispute.part && known.station == dispute.station);
            if !known {
                self.0.push_back(dispute);
            }
        }
        let excess = self.0.len().saturating_sub(MOST);
        self.0.drain(..excess);
    }

    /// What a label says of them: one event for each that it settles, chosen for inspection with probability `inspected`.
    pub(super) fn settle(&mut self, label: &Label, stable: &ServedVersion, inspected: TrafficShare) -> Vec<Event> {
        let Some(good) = is_good(&label.verdict, stable) else { return Vec::new() };
        let mut events = Vec::new();
        self.0.retain(|dispute| {
            let concerned = concerns(&label.by, dispute);
            if concerned {
                // Stable said good or not, the candidate the opposite.
                let candidate_wrong = dispute.stable_good == good;
                events.push(Event::Labelled(LabelPair { candidate_wrong, inspected }));
            }
            !concerned
        });
        events
    }
}

fn is_good(verdict: &LabelVerdict, stable: &ServedVersion) -> Option<bool> {
    match verdict {
        LabelVerdict::Good => Some(true),
        LabelVerdict::Defect => Some(false),
        LabelVerdict::Class(name) => {
            let judge = &stable.judge.as_ref()?.judge;
            judge.verdicts().find(|(label, _)| *label == name.to_string()).map(|(_, good)| good)
        }
    }
}

fn concerns(subject: &Subject, dispute: &Discordant) -> bool {
    let station = |name: &takt_monitoring::events::Name| dispute.station.as_deref() == Some(&name.to_string());
    match subject {
        Subject::Prediction(id) => *id == dispute.prediction,
        Subject::Part { station: at, part_id } => station(at) && dispute.part.as_deref() == Some(&part_id.to_string()),
        // Of a whole time it is not known which part was which.
        Subject::Span { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_the_past_finds_the_share_of_then() {
        let mut shares = Shares::default();
        assert_eq!(shares.at(UnixMillis(5)), None);
        for (at, percent) in [(10, 5), (20, 20), (30, 0)] {
            shares.turned(UnixMillis(at), TrafficShare::of_millionths(10_000 * percent));
        }
        let percent = |at| shares.at(UnixMillis(at)).map(|share| share.millionths() / 10_000);
        assert_eq!([9, 10, 19, 25, 99].map(percent), [None, Some(5), Some(5), Some(20), Some(0)]);
    }
}
