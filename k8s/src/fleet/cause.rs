//! How a fleet stands, and why.

use std::fmt;

/// How a fleet stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// Devices begin, wave by wave.
    Rolling,
    /// No device begins.
    Held(Hold),
    /// Every device is to serve stable alone.
    Aborting(Cause),
    /// Every device serves stable alone.
    RolledBack(Cause),
    /// It should be taken back, and some devices have finished with the candidate.
    Degraded(Cause),
    /// Every device that did not fail has the candidate alone.
    Succeeded,
}

/// What a held fleet waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// A person.
    Manual,
    /// Devices: none is selected.
    NoDevices,
    /// Devices that are silent.
    Silent,
}

/// Why all go back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// In one word.
    pub kind: CauseKind,
    /// In one sentence.
    pub text: String,
}

/// Why all go back, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CauseKind {
    /// The evidence of all devices together.
    Evidence,
    /// Too many devices took it back.
    TooManyFailed,
    /// No device kept it.
    NoneLeft,
    /// A person said so.
    Person,
    /// What is wanted changed under way.
    Changed,
    /// The rollout is being deleted.
    Deleted,
}

impl Course {
    /// Stable label.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Rolling => "rolling",
            Self::Held(_) => "held",
            Self::Aborting(_) => "aborting",
            Self::RolledBack(_) => "rolled_back",
            Self::Degraded(_) => "degraded",
            Self::Succeeded => "succeeded",
        }
    }
}

impl Hold {
    const ALL: [Self; 3] = [Self::Manual, Self::NoDevices, Self::Silent];

    /// Stable label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::NoDevices => "no_devices",
            Self::Silent => "silent",
        }
    }

    /// The one with this label.
    #[must_use]
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hold| hold.label() == label)
    }
}

impl CauseKind {
    const ALL: [Self; 6] =
        [Self::Evidence, Self::TooManyFailed, Self::NoneLeft, Self::Person, Self::Changed, Self::Deleted];

    /// Stable label.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Evidence => "evidence",
            Self::TooManyFailed => "too_many_failed",
            Self::NoneLeft => "none_left",
            Self::Person => "person",
            Self::Changed => "changed",
            Self::Deleted => "deleted",
        }
    }

    /// The one with this label.
    #[must_use]
    pub fn of(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.label() == label)
    }
}

impl Cause {
    pub(super) fn new(kind: CauseKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manual => "a person paused it; set paused to false to go on",
            Self::NoDevices => "no pod is selected; look at serverRef or selector",
            Self::Silent => "too many devices are silent for another to begin",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
