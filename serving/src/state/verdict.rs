//! What a death of the serving process means for the versions it had in hand. Pure: time is an argument.
//!
//! Three degrees of suspicion, and only the strongest present counts, so that a bystander is not punished for another:
//!
//! 1. Runs that the watchdog found hung.
//! 2. Versions being loaded, and running versions other than their model's last good one.
//! 3. Any other running version.
//!
//! And what follows for a suspect:
//!
//! | suspect | follows |
//! |---|---|
//! | was being loaded, is not the last good version | quarantine |
//! | was running, another version is the last good one | quarantine |
//! | anything else | a strike; at the third within ten minutes quarantine, *if* another good version exists |
//!
//! The last row never takes the only good version of a model out of service: a line with a model that sometimes dies is
//! better off than a line with none, and the supervisor's back-off bounds the harm. For the same reason a load that ended
//! without a witness (the whole server was killed, or the machine restarted) and has no good version to return to is only
//! a strike until the third: a power cut during the very first load proves nothing. After a restart of the machine that
//! holds for every load.
//!
//! Quarantine is by digest; nothing is judged that was neither running nor being loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::ledger::{IntentRecord, LastGood, Strike};
use super::{Running, UnixMillis, VersionId};

/// Strikes within [`STRIKE_WINDOW`] that quarantine a version with an alternative.
pub const STRIKES_TO_QUARANTINE: usize = 3;
/// How long a strike counts.
pub const STRIKE_WINDOW: Duration = Duration::from_secs(600);

/// How the serving process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// Killed by this signal: an abort in native code, a fault, the out-of-memory killer.
    Signal(i32),
    /// Ended by itself with this code.
    Exit(i32),
    /// Ended by its watchdog.
    Watchdog,
    /// It is gone and nobody saw how: its supervisor died too, or there was none.
    Unwitnessed,
    /// The machine was restarted, or lost power.
    Reboot,
    /// It was told to end.
    Requested,
}

/// What is known at a death.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// How the process ended.
    pub death: Death,
    /// What it had begun and not ended.
    pub intents: &'a [IntentRecord],
    /// What it was executing.
    pub running: &'a [Running],
    /// Earlier strikes, by digest.
    pub strikes: &'a BTreeMap<String, Vec<Strike>>,
    /// Good versions, by model.
    pub last_good: &'a BTreeMap<String, LastGood>,
}

/// What follows from a death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Do not serve this version again.
    Quarantine {
        /// Which.
        version: VersionId,
        /// Why, for people.
        reason: String,
    },
    /// Remember that it may be to blame.
    Strike {
        /// Which.
        version: VersionId,
        /// Why, for people.
        cause: String,
    },
    /// The intent is dealt with.
    CloseIntent {
        /// Its id.
        id: u64,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Doing {
    Loading,
    Running,
    Hanging,
}

#[derive(Clone, Copy)]
struct Suspect<'a> {
    version: &'a VersionId,
    doing: Doing,
}

/// Decides what follows from a death: at most one quarantine or strike per digest, and every intent closed.
#[must_use]
pub fn judge_death(evidence: &Evidence<'_>, now: UnixMillis) -> Vec<Action> {
    let mut judged = BTreeSet::new();
    let mut actions = Vec::new();
    for suspect in suspects(evidence) {
        if judged.insert(suspect.version.digest.as_str()) {
            actions.push(sentence(evidence, suspect, now));
        }
    }
    actions.extend(evidence.intents.iter().map(|intent| Action::CloseIntent { id: intent.id }));
    actions
}

/// The most suspicious first; a version that was loading is not also looked at as running.
fn suspects<'a>(evidence: &Evidence<'a>) -> Vec<Suspect<'a>> {
    let loading = evidence.intents.iter().map(|intent| Suspect { version: &intent.version, doing: Doing::Loading });
    let running = evidence.running.iter().map(|run| Suspect { version: &run.version, doing: Doing::Running });
    match evidence.death {
        Death::Requested | Death::Exit(0) => return Vec::new(),
        // What ran before a restart of the machine is not known.
        Death::Reboot => return loading.collect(),
        Death::Watchdog => {
            let is_loading = |digest: &str| evidence.intents.iter().any(|intent| intent.version.digest == digest);
            let hung = evidence.running.iter().filter(|run| run.hung).map(|run| Suspect {
                version: &run.version,
                doing: if is_loading(&run.version.digest) { Doing::Loading } else { Doing::Hanging },
            });
            let hung: Vec<_> = hung.collect();
            if !hung.is_empty() {
                return hung;
            }
        }
        Death::Signal(_) | Death::Exit(_) | Death::Unwitnessed => {}
    }
    let on_trial = running.clone().filter(|suspect| evidence.is_superseded(suspect.version));
    let strong: Vec<_> = loading.chain(on_trial).collect();
    if strong.is_empty() { running.collect() } else { strong }
}

fn sentence(evidence: &Evidence<'_>, suspect: Suspect<'_>, now: UnixMillis) -> Action {
    let version = suspect.version.clone();
    let cause = format!("{} while it was {}", evidence.death, suspect.doing);
    let has_alternative = evidence.has_other_good(&version);
    let repeated = evidence.strikes_within_window(&version.digest, now) + 1 >= STRIKES_TO_QUARANTINE;
    let quarantine = match suspect.doing {
        Doing::Loading if !evidence.is_last_good(&version) => match evidence.death {
            Death::Reboot => repeated,
            Death::Unwitnessed => has_alternative || repeated,
            _ => true,
        },
        Doing::Loading | Doing::Running | Doing::Hanging => {
            evidence.is_superseded(&version) || (repeated && has_alternative)
        }
    };
    if quarantine { Action::Quarantine { version, reason: cause } } else { Action::Strike { version, cause } }
}

impl Evidence<'_> {
    fn is_last_good(&self, version: &VersionId) -> bool {
        self.last_good.get(&version.model).is_some_and(|good| good.current.digest == version.digest)
    }

    /// Another version is the model's last good one.
    fn is_superseded(&self, version: &VersionId) -> bool {
        self.last_good.get(&version.model).is_some_and(|good| good.current.digest != version.digest)
    }

    /// A good version remains if this one is taken away.
    fn has_other_good(&self, version: &VersionId) -> bool {
        self.last_good.get(&version.model).is_some_and(|good| {
            good.current.digest != version.digest
                || good.earlier.as_ref().is_some_and(|earlier| earlier.digest != version.digest)
        })
    }

    fn strikes_within_window(&self, digest: &str, now: UnixMillis) -> usize {
        let strikes = self.strikes.get(digest).map(Vec::as_slice).unwrap_or_default();
        strikes.iter().filter(|strike| now.since(strike.at) <= STRIKE_WINDOW).count()
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(signal) => write!(f, "the process was killed by signal {signal}"),
            Self::Exit(code) => write!(f, "the process ended with code {code}"),
            Self::Watchdog => f.write_str("the watchdog ended the process"),
            Self::Unwitnessed => f.write_str("the server died"),
            Self::Reboot => f.write_str("the machine was restarted"),
            Self::Requested => f.write_str("the process was told to end"),
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loading => "being loaded",
            Self::Running => "running",
            Self::Hanging => "hanging in a run",
        })
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
