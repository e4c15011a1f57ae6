//! One device: what it says, and what is remembered of it.

use takt_artifact::share::TrafficShare;
use takt_artifact::time::UnixMillis;
use takt_rollout::{Phase, Stage};

use super::evidence::{LnE, add};

/// What was seen of a device at this look.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its name.
    pub device: String,
    /// What was heard of it.
    pub heard: Heard,
}

/// What was heard of a device.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// Nothing, for this reason.
    Silent(String),
    /// It has or had a rollout of the candidate.
    Rollout(Report),
    /// It serves the candidate without one.
    Serves,
    /// Neither: it may begin.
    Free,
    /// It cannot begin now, for this reason.
    NotYet(String),
}

/// How a device's own rollout stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its name on the device.
    pub id: String,
    /// Where it stands.
    pub phase: Phase,
    /// The candidate's share.
    pub weight: TrafficShare,
    /// Clients' units that the candidate answered.
    pub exposed: u64,
    /// Evidence against the candidate.
    pub evidence: LnE,
    /// Why, in the device's words.
    pub why: String,
}

/// What is remembered of a device.
#[derive(Debug, Clone, PartialEq)]
pub struct Device {
    /// Its wave.
    pub wave: usize,
    /// How far it is.
    pub standing: Standing,
    /// Its own phase.
    pub phase: Option<String>,
    /// Its rollout, or the one that is over and not to be counted.
    pub rollout: Option<String>,
    /// The candidate's share.
    pub weight: TrafficShare,
    /// Clients' units that the candidate answered.
    pub exposed: u64,
    /// Since when it has said nothing.
    pub silent: Option<UnixMillis>,
    /// Whether its pod is there.
    pub listed: bool,
    /// Its last word, or why there is none.
    pub why: String,
    /// Of its rollout.
    pub evidence: LnE,
    /// Of its rollouts before that one.
    pub past: LnE,
}

/// How far a device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Its turn has not come.
    Waiting,
    /// It is its turn: what follows is that it is told to begin. On record before it is told.
    Asked,
    /// Its rollout is under way.
    Rolling,
    /// The candidate answers all but the holdback.
    Promoted,
    /// The candidate serves alone.
    Succeeded,
    /// It took, or takes, the candidate back.
    Failed,
}

impl Standing {
    const ALL: [Self; 6] = [Self::Waiting, Self::Asked, Self::Rolling, Self::Promoted, Self::Succeeded, Self::Failed];

    /// Stable label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Asked => "asked",
            Self::Rolling => "rolling",
            Self::Promoted => "promoted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// The one with this label.
    #[must_use]
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.label() == label)
    }

    const fn of_phase(phase: &Phase) -> Self {
        match phase {
            Phase::Aborting | Phase::Degraded | Phase::RolledBack => Self::Failed,
            Phase::Succeeded => Self::Succeeded,
            Phase::Running(Stage::Baking) | Phase::Held { stage: Stage::Baking, .. } => Self::Promoted,
            Phase::Running(_) | Phase::Held { .. } => Self::Rolling,
        }
    }
}

impl Device {
    /// One that nothing was heard of.
    #[must_use]
    pub fn new(wave: usize) -> Self {
        Self {
            wave,
            standing: Standing::Waiting,
            phase: None,
            rollout: None,
            weight: TrafficShare::NONE,
            exposed: 0,
            silent: None,
            listed: true,
            why: String::new(),
            evidence: LnE::new(),
            past: LnE::new(),
        }
    }

    /// Whether the candidate may have work on it: it was told to begin, or is on its way there or back.
    #[must_use]
    pub fn at_work(&self) -> bool {
        match self.standing {
            Standing::Asked | Standing::Rolling | Standing::Promoted => true,
            Standing::Failed => self.phase.as_deref() != Some(Phase::RolledBack.label()),
            Standing::Waiting | Standing::Succeeded => false,
        }
    }

    /// Whether nothing more is expected of it in its wave.
    #[must_use]
    pub const fn is_through(&self) -> bool {
        matches!(self.standing, Standing::Promoted | Standing::Succeeded | Standing::Failed)
    }

    /// Takes in what was heard. `again` says that rollouts which ended before this one began are to be tried again.
    pub(super) fn hear(&mut self, heard: &Heard, again: bool, now: UnixMillis) {
        self.listed = true;
        match heard {
            Heard::Silent(why) => {
                self.silent.get_or_insert(now);
                self.why = format!("silent: {why}");
                return;
            }
            Heard::NotYet(why) => self.why.clone_from(why),
            Heard::Serves => {
                self.standing = Standing::Succeeded;
                self.phase = Some(Phase::Succeeded.label().to_owned());
                self.weight = TrafficShare::ALL;
                "it serves the candidate".clone_into(&mut self.why);
            }
            Heard::Free => self.lose(),
            Heard::Rollout(report) => self.take(report, again),
        }
        self.silent = None;
    }

    /// The device knows of no rollout.
    fn lose(&mut self) {
        match self.standing {
            Standing::Rolling | Standing::Promoted => {
                self.retire();
                self.standing = Standing::Waiting;
                "it has lost its rollout, and begins anew".clone_into(&mut self.why);
            }
            Standing::Failed => {
                // Its record is lost too, and with it the reason to go on waiting for it.
                self.phase = Some(Phase::RolledBack.label().to_owned());
            }
            Standing::Waiting | Standing::Asked | Standing::Succeeded => {}
        }
        self.weight = TrafficShare::NONE;
    }

    fn take(&mut self, report: &Report, again: bool) {
        let known = self.rollout.as_deref() == Some(&report.id);
        let earlier = match self.standing {
            Standing::Waiting => true,
            // One that was asked has told of its earlier rollout before: another is the one that was asked for.
            Standing::Asked => known,
            Standing::Rolling | Standing::Promoted | Standing::Succeeded | Standing::Failed => false,
        };
        if earlier && again && report.phase.is_terminal() && report.phase != Phase::Succeeded {
            // Over before this one began: not to be counted.
            self.rollout = Some(report.id.clone());
            self.why = format!("tried before: {}", report.why);
            return;
        }
        if !known && self.rollout.is_some() {
            self.retire();
        }
        self.rollout = Some(report.id.clone());
        self.standing = Standing::of_phase(&report.phase);
        self.phase = Some(report.phase.label().to_owned());
        self.weight = report.weight;
        self.exposed = report.exposed;
        self.evidence.clone_from(&report.evidence);
        self.why.clone_from(&report.why);
    }

    /// Its rollout is another: what was seen stays seen.
    fn retire(&mut self) {
        let before = std::mem::take(&mut self.evidence);
        add(&mut self.past, &before);
    }

    /// Begins anew, with nothing seen. The rollout it had is remembered as one not to be counted.
    pub(super) fn reset(&mut self, wave: usize) {
        let rollout = self.rollout.take();
        let (silent, listed) = (self.silent, self.listed);
        *self = Self { rollout, silent, listed, ..Self::new(wave) };
    }
}
