//! In what the candidate's answers differ from the stable version's, frame by frame and part by part.
//!
//! The unit is the part: its frames are alike, and counting each would make one hard part look like many.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use takt_artifact::decision::{Judgement, Verdict};
use takt_rollout::evidence::{Called, ShadowUnit};

/// Parts whose frames are being collected, at most. Above it the oldest are closed early.
const MAX_OPEN: usize = 4096;
/// Units that wait for the owner of the rollout, at most.
const MAX_CLOSED: usize = 65_536;

/// What one version said of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Said {
    /// Whether the part may pass; none where the version does not judge.
    pub good: Option<bool>,
    /// The class, by its label.
    pub label: String,
    /// The class's score.
    pub score: f32,
}

impl From<&Judgement> for Said {
    fn from(judgement: &Judgement) -> Self {
        let good = Some(judgement.verdict == Verdict::Good);
        Self { good, label: judgement.label.clone(), score: judgement.score }
    }
}

/// A part that both versions have seen, with its last frame's scores: stable's and the candidate's.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// What they made of it. Where not both judge, another class may be an escape as well as an overkill: it counts as both.
    pub units: Vec<ShadowUnit>,
    /// The score of the class, by each.
    pub scores: (f32, f32),
}

#[derive(Debug, Clone, Copy, Default)]
struct Frames {
    all: u32,
    opposite: u32,
    other_class: u32,
}

impl Frames {
    fn add(&mut self, opposite: bool, other_class: bool) {
        self.all = self.all.saturating_add(1);
        self.opposite = self.opposite.saturating_add(u32::from(opposite));
        self.other_class = self.other_class.saturating_add(u32::from(other_class));
    }

    fn unit(self, stable: Called) -> ShadowUnit {
        let share = |count: u32| f64::from(count) / f64::from(self.all.max(1));
        ShadowUnit { stable, opposite: share(self.opposite), other_class: share(self.other_class) }
    }
}

#[derive(Debug, Default)]
struct Part {
    /// Frames that stable passes.
    passed: Frames,
    /// Frames that stable rejects.
    rejected: Frames,
    /// Frames that not both judge: only classes can be compared.
    unjudged: Frames,
    scores: (f32, f32),
    last: Option<Instant>,
}

impl Part {
    fn add(&mut self, stable: &Said, candidate: &Said) {
        let other_class = stable.label != candidate.label;
        match (stable.good, candidate.good) {
            (Some(true), Some(good)) => self.passed.add(!good, false),
            (Some(false), Some(good)) => self.rejected.add(good, !good && other_class),
            _ => self.unjudged.add(other_class, false),
        }
        self.scores = (stable.score, candidate.score);
    }

    /// A part with a frame that stable rejects is one that it rejects.
    fn close(&self) -> Compared {
        let units = match self {
            Self { rejected, .. } if rejected.all > 0 => vec![rejected.unit(Called::Defect)],
            Self { passed, .. } if passed.all > 0 => vec![passed.unit(Called::Good)],
            Self { unjudged, .. } => vec![unjudged.unit(Called::Good), unjudged.unit(Called::Defect)],
        };
        Compared { units, scores: self.scores }
    }
}

/// Parts under comparison, and those that are complete.
#[derive(Debug, Default)]
pub struct Disagreements {
    open: BTreeMap<String, Part>,
    closed: Vec<Compared>,
    /// Units that nobody fetched in time.
    lost: u64,
}

impl Disagreements {
    /// Adds the frames of one request. Frames of a part stay open for more of them; without a part each request is a unit.
    pub fn add(&mut self, part: Option<&str>, frames: &[(Said, Said)], now: Instant) {
        let mut own = Part::default();
        let entry = match part {
            Some(part) => self.open.entry(part.to_owned()).or_default(),
            None => &mut own,
        };
        frames.iter().for_each(|(stable, candidate)| entry.add(stable, candidate));
        entry.last = Some(now);
        if part.is_none() {
            let unit = own.close();
            self.keep(unit);
        } else if self.open.len() > MAX_OPEN {
            let oldest = self.open.iter().min_by_key(|(_, part)| part.last).map(|(name, _)| name.clone());
            if let Some(part) = oldest.and_then(|name| self.open.remove(&name)) {
                self.keep(part.close());
            }
        }
    }

    /// The complete units: parts of which nothing was seen for `quiet`.
    pub fn take(&mut self, quiet: Duration, now: Instant) -> Vec<Compared> {
        let done = |part: &Part| part.last.is_none_or(|last| now.saturating_duration_since(last) >= quiet);
        let names: Vec<String> =
            self.open.iter().filter(|(_, part)| done(part)).map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(part) = self.open.remove(&name) {
                self.keep(part.close());
            }
        }
        std::mem::take(&mut self.closed)
    }

    fn keep(&mut self, unit: Compared) {
        if self.closed.len() < MAX_CLOSED {
            self.closed.push(unit);
        } else {
            self.lost = self.lost.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(good: bool, label: &str) -> Said {
        Said { good: Some(good), label: label.into(), score: 0.9 }
    }

    fn units(stable: Said, candidate: Said) -> Vec<(Called, f64, f64)> {
        let mut all = Disagreements::default();
        all.add(None, &[(stable, candidate)], Instant::now());
        let units = all.take(Duration::ZERO, Instant::now()).remove(0).units;
        units.into_iter().map(|unit| (unit.stable, unit.opposite, unit.other_class)).collect()
    }

    #[test]
    fn each_kind_of_disagreement_has_its_own_denominator() {
        assert_eq!(units(said(true, "ok"), said(true, "ok")), [(Called::Good, 0.0, 0.0)]);
        assert_eq!(units(said(true, "ok"), said(false, "dent")), [(Called::Good, 1.0, 0.0)]);
        assert_eq!(units(said(false, "dent"), said(true, "ok")), [(Called::Defect, 1.0, 0.0)]);
        assert_eq!(units(said(false, "dent"), said(false, "pit")), [(Called::Defect, 0.0, 1.0)]);
        let plain = |label: &str| Said { good: None, label: label.into(), score: 0.5 };
        assert_eq!(units(plain("cat"), plain("dog")), [(Called::Good, 1.0, 0.0), (Called::Defect, 1.0, 0.0)]);
    }

    #[test]
    fn the_frames_of_a_part_are_one_unit_once_it_is_quiet() {
        let (mut all, begun) = (Disagreements::default(), Instant::now());
        let frame = |good| (said(true, "ok"), said(good, "ok"));
        all.add(Some("p1"), &[frame(true), frame(false)], begun);
        all.add(Some("p1"), &[frame(true), frame(true)], begun + Duration::from_secs(1));
        assert!(all.take(Duration::from_secs(2), begun + Duration::from_secs(2)).is_empty());
        let units = all.take(Duration::from_secs(2), begun + Duration::from_secs(3));
        assert_eq!(units.iter().map(|part| part.units[0].opposite).collect::<Vec<_>>(), [0.25]);
        assert!(all.open.is_empty());
    }

    #[test]
    fn open_parts_are_bounded_and_none_is_lost() {
        let (mut all, begun) = (Disagreements::default(), Instant::now());
        for part in 0..MAX_OPEN as u64 + 100 {
            all.add(
                Some(&part.to_string()),
                &[(said(true, "ok"), said(true, "ok"))],
                begun + Duration::from_millis(part),
            );
        }
        assert!(all.open.len() <= MAX_OPEN);
        assert_eq!(all.take(Duration::ZERO, begun + Duration::from_secs(60)).len(), MAX_OPEN + 100);
    }
}
