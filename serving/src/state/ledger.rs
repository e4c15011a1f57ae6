//! What the journal remembers, as plain data with its rules and its bounds. No I/O.
//!
//! Bounds: the quarantine keeps the newest [`MAX_QUARANTINED`] digests (the oldest is dropped with a warning: by then
//! its files are long gone from any real repository); strikes older than [`STRIKE_WINDOW`] and those of quarantined
//! digests are dropped; free text is cut. Last good versions are bounded by the number of models, intents by the loads in
//! progress.
//!
//! Invariant: no last good version, current or earlier, is quarantined.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::verdict::{Action, STRIKE_WINDOW, STRIKES_TO_QUARANTINE};
use super::{UnixMillis, VersionId};

/// Quarantined digests kept.
pub(super) const MAX_QUARANTINED: usize = 1000;
/// Digests with strikes kept.
const MAX_STRUCK: usize = 256;
/// Longest reason or cause, bytes.
const MAX_TEXT: usize = 400;

/// A version that must not be served again until an operator releases it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// Which version.
    #[serde(flatten)]
    pub id: VersionId,
    /// Why, for people.
    pub reason: String,
    /// Since when.
    pub at: UnixMillis,
}

/// A version that served well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoodVersion {
    /// Version number.
    pub version: u64,
    /// Its digest.
    pub digest: String,
    /// When it was found good.
    pub at: UnixMillis,
}

/// The versions of one model that served well: the one to come up first, and the one to fall back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastGood {
    /// The newest.
    #[serde(flatten)]
    pub current: GoodVersion,
    /// The one before, with another digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier: Option<GoodVersion>,
}

/// What was about to be done with a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentKind {
    /// Load and warm it.
    Load,
    /// Give it traffic, or more of it.
    Weight,
}

/// Something dangerous that was begun and is not yet known to have ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentRecord {
    /// Distinct among the open intents.
    pub id: u64,
    /// What was begun.
    pub kind: IntentKind,
    /// With which version.
    #[serde(flatten)]
    pub version: VersionId,
    /// When.
    pub at: UnixMillis,
    /// Boot of the machine in which it was begun.
    #[serde(default)]
    pub boot: String,
}

/// The process died while this version ran, and there was no better explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strike {
    /// When.
    pub at: UnixMillis,
    /// How the process died, for people.
    pub cause: String,
}

/// The journal's contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Ledger {
    /// In order of time.
    pub(super) quarantined: Vec<Quarantined>,
    /// By model.
    pub(super) last_good: BTreeMap<String, LastGood>,
    pub(super) intents: Vec<IntentRecord>,
    /// By digest, in order of time.
    pub(super) strikes: BTreeMap<String, Vec<Strike>>,
    next_intent: u64,
}

impl Ledger {
    pub(super) fn quarantine_of(&self, digest: &str) -> Option<&Quarantined> {
        self.quarantined.iter().find(|entry| entry.id.digest == digest)
    }

    /// Returns whether anything changed; a digest already there keeps its first reason.
    pub(super) fn quarantine(&mut self, id: &VersionId, reason: &str, at: UnixMillis) -> bool {
        if self.quarantine_of(&id.digest).is_some() {
            return false;
        }
        self.forget_good(&id.digest);
        self.strikes.remove(&id.digest);
        self.quarantined.push(Quarantined { id: id.clone(), reason: cut(reason), at });
        while self.quarantined.len() > MAX_QUARANTINED {
            let oldest = self.quarantined.remove(0);
            tracing::warn!(version = %oldest.id, limit = MAX_QUARANTINED, "quarantine is full: the oldest entry is dropped");
        }
        true
    }

    pub(super) fn release(&mut self, digest: &str) -> Option<Quarantined> {
        let index = self.quarantined.iter().position(|entry| entry.id.digest == digest)?;
        self.strikes.remove(digest);
        Some(self.quarantined.remove(index))
    }

    /// Returns whether anything changed. A quarantined version is not made good.
    pub(super) fn set_last_good(&mut self, id: &VersionId, at: UnixMillis) -> bool {
        if self.quarantine_of(&id.digest).is_some() {
            tracing::warn!(version = %id, "a quarantined version cannot be the last good one");
            return false;
        }
        let good = GoodVersion { version: id.version, digest: id.digest.clone(), at };
        match self.last_good.get_mut(&id.model) {
            Some(last) if last.current.digest == id.digest => {
                let moved = last.current.version != id.version;
                last.current.version = id.version;
                moved
            }
            Some(last) => {
                last.earlier = Some(std::mem::replace(&mut last.current, good));
                true
            }
            None => {
                self.last_good.insert(id.model.clone(), LastGood { current: good, earlier: None });
                true
            }
        }
    }

    /// Returns whether anything changed. Where the newest is forgotten the earlier one takes its place.
    pub(super) fn forget_good(&mut self, digest: &str) -> bool {
        let mut changed = false;
        self.last_good.retain(|_, last| {
            if last.earlier.as_ref().is_some_and(|good| good.digest == digest) {
                last.earlier = None;
                changed = true;
            }
            if last.current.digest != digest {
                return true;
            }
            changed = true;
            match last.earlier.take() {
                Some(earlier) => {
                    last.current = earlier;
                    true
                }
                None => false,
            }
        });
        changed
    }

    pub(super) fn open_intent(&mut self, kind: IntentKind, version: &VersionId, at: UnixMillis, boot: &str) -> u64 {
        let id = self.next_intent;
        self.next_intent += 1;
        self.intents.push(IntentRecord { id, kind, version: version.clone(), at, boot: boot.to_owned() });
        id
    }

    /// Returns whether anything changed.
    pub(super) fn close_intent(&mut self, id: u64) -> bool {
        let before = self.intents.len();
        self.intents.retain(|intent| intent.id != id);
        self.intents.len() != before
    }

    fn strike(&mut self, digest: &str, cause: &str, at: UnixMillis) {
        let strikes = self.strikes.entry(digest.to_owned()).or_default();
        strikes.push(Strike { at, cause: cut(cause) });
        let excess = strikes.len().saturating_sub(STRIKES_TO_QUARANTINE);
        strikes.drain(..excess);
        self.strikes.retain(|_, strikes| {
            strikes.retain(|strike| at.since(strike.at) <= STRIKE_WINDOW);
            !strikes.is_empty()
        });
        while self.strikes.len() > MAX_STRUCK {
            let newest = |strikes: &Vec<Strike>| strikes.last().map(|strike| strike.at);
            let stalest =
                self.strikes.iter().min_by_key(|(_, strikes)| newest(strikes)).map(|(digest, _)| digest.clone());
            stalest.and_then(|digest| self.strikes.remove(&digest));
        }
    }

    /// Returns whether anything changed.
    pub(super) fn apply(&mut self, actions: &[Action], now: UnixMillis) -> bool {
        for action in actions {
            match action {
                Action::Quarantine { version, reason } => {
                    self.quarantine(version, reason, now);
                }
                Action::Strike { version, cause } => self.strike(&version.digest, cause, now),
                Action::CloseIntent { id } => {
                    self.close_intent(*id);
                }
            }
        }
        !actions.is_empty()
    }
}

fn cut(text: &str) -> String {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(n: u64) -> VersionId {
        VersionId { model: "m".into(), version: n, digest: format!("d{n}") }
    }

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(seconds * 1000)
    }

    #[test]
    fn quarantining_the_last_good_version_brings_back_the_earlier_one() {
        let mut ledger = Ledger::default();
        ledger.set_last_good(&version(1), at(1));
        ledger.set_last_good(&version(2), at(2));
        ledger.quarantine(&version(2), "crashed", at(3));
        assert_eq!(ledger.last_good["m"].current.version, 1);
        assert_eq!(ledger.last_good["m"].earlier, None);
        assert!(!ledger.set_last_good(&version(2), at(4)));
        assert_eq!(ledger.last_good["m"].current.version, 1);
    }

    #[test]
    fn the_first_reason_stays() {
        let mut ledger = Ledger::default();
        assert!(ledger.quarantine(&version(1), "first", at(1)));
        assert!(!ledger.quarantine(&version(1), "second", at(2)));
        assert_eq!(ledger.quarantined.len(), 1);
        assert_eq!(ledger.quarantined[0].reason, "first");
    }

    #[test]
    fn release_forgets_quarantine_and_strikes() {
        let mut ledger = Ledger::default();
        ledger.strike("d1", "signal 6", at(1));
        ledger.quarantine(&version(1), "x", at(1));
        ledger.strike("d1", "signal 6", at(1));
        assert_eq!(ledger.release("d1").unwrap().id, version(1));
        assert!(ledger.strikes.is_empty() && ledger.quarantined.is_empty());
        assert_eq!(ledger.release("d1"), None);
    }

    #[test]
    fn full_quarantine_drops_the_oldest() {
        let mut ledger = Ledger::default();
        for n in 0..=MAX_QUARANTINED as u64 {
            ledger.quarantine(&version(n), "x", at(n));
        }
        assert_eq!(ledger.quarantined.len(), MAX_QUARANTINED);
        assert!(ledger.quarantine_of("d0").is_none());
        assert!(ledger.quarantine_of("d1").is_some());
    }

    #[test]
    fn strikes_are_bounded_in_number_and_age() {
        let mut ledger = Ledger::default();
        for n in 0..10 {
            ledger.strike("d1", "signal 6", at(n));
        }
        assert_eq!(ledger.strikes["d1"].len(), STRIKES_TO_QUARANTINE);
        for n in 0..1000 {
            ledger.strike(&format!("x{n}"), "signal 6", UnixMillis(100_000 + n));
        }
        assert_eq!(ledger.strikes.len(), MAX_STRUCK);
        assert!(ledger.strikes.contains_key("x999") && !ledger.strikes.contains_key("x0"));
        ledger.strike("d2", "signal 6", at(102 + STRIKE_WINDOW.as_secs()));
        assert_eq!(ledger.strikes.keys().collect::<Vec<_>>(), ["d2"]);
    }

    #[test]
    fn long_reasons_are_cut_between_characters() {
        let text = "é".repeat(MAX_TEXT);
        let kept = cut(&text);
        assert_eq!(kept.len(), MAX_TEXT);
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&format!("a{text}")).len(), MAX_TEXT - 1);
    }

    #[test]
    fn it_reads_what_it_writes_and_tolerates_missing_parts() {
        let mut ledger = Ledger::default();
        ledger.set_last_good(&version(1), at(1));
        ledger.set_last_good(&version(2), at(2));
        ledger.quarantine(&version(3), "x", at(3));
        ledger.open_intent(IntentKind::Load, &version(4), at(4), "boot");
        ledger.strike("d2", "signal 9", at(5));
        let text = serde_json::to_string(&ledger).unwrap();
        assert_eq!(serde_json::from_str::<Ledger>(&text).unwrap(), ledger);
        assert_eq!(serde_json::from_str::<Ledger>("{}").unwrap(), Ledger::default());
    }
}
