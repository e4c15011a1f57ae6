//! Alerts: what fires and since when, debounced so that one odd pane is none.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
pub use takt_stats::debounce::Signal;
use takt_stats::debounce::{Alert, Change, Debounce};
use takt_stats::proportion::{Rate, lower_bound};

use crate::disk::{self, DiskError};
use crate::events::UnixMillis;

/// Two panes of three must agree, either way; after clearing there is quiet for a pane.
const RULE: Debounce = Debounce { enter: 1.0, exit: -1.0, k: 2, n: 3, cool_down: 1 };

/// What fires, for the next process.
const FILE: &str = "alerts.json";

/// Panes without a word after which a subject is gone: a version that was unloaded, a station that was taken away.
const FORGOTTEN: u32 = 100;

/// A word of ours: written in the code, or read back from a file.
type Word = Cow<'static, str>;

/// An alert that fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firing {
    /// As the rule for Prometheus is called.
    pub alert: Word,
    /// What it is about, by label.
    pub labels: BTreeMap<Word, String>,
    /// Since when; milliseconds since 1970 UTC.
    pub since: UnixMillis,
    /// Why, for people.
    pub reason: String,
}

/// An alert that began or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Turned {
    /// `fired` or `cleared`.
    pub change: &'static str,
    /// The alert.
    #[serde(flatten)]
    pub alert: Firing,
}

type Key = (Word, BTreeMap<Word, String>);

/// What a rule says of one subject at the end of a pane.
#[derive(Debug, Clone, PartialEq)]
pub struct Says {
    /// The rule, by the name that it has for Prometheus.
    pub alert: &'static str,
    /// The subject, by label.
    pub labels: BTreeMap<&'static str, String>,
    /// For, against, or nothing either way.
    pub signal: Signal,
    /// Why, for people.
    pub reason: String,
}

/// All rules with their memory.
#[derive(Debug, Default)]
pub struct Alerts {
    known: BTreeMap<Key, Known>,
}

#[derive(Debug)]
struct Known {
    alert: Alert,
    since: UnixMillis,
    reason: String,
    silent: u32,
}

impl Alerts {
    /// Takes what all rules say at the end of a pane; gives what turned.
    pub fn observe(&mut self, at: UnixMillis, said: impl IntoIterator<Item = Says>) -> Vec<Turned> {
        let mut turned = Vec::new();
        for known in self.known.values_mut() {
            known.silent += 1;
        }
        for Says { alert, labels, signal, reason } in said {
            let key = key(alert, labels);
            let known = self.known.entry(key.clone()).or_insert_with(|| Known {
                alert: Alert::new(RULE),
                since: at,
                reason: String::new(),
                silent: 0,
            });
            known.silent = 0;
            if signal == Signal::For {
                known.reason = reason;
            }
            let change = known.alert.update(signal);
            if change == Some(Change::Fired) {
                known.since = at;
            }
            turned.extend(change.map(|change| told(&key, known, change)));
        }
        // What is no longer spoken of ends in silence, and says so if it fired.
        self.known.retain(|key, known| {
            let gone = known.silent > FORGOTTEN;
            if gone && known.alert.is_firing() {
                turned.push(told(key, known, Change::Cleared));
            }
            !gone
        });
        turned
    }

    /// What fired when an earlier process ended fires still, until panes say otherwise: whoever was told of it is told of its end.
    fn resume(&mut self, firing: impl IntoIterator<Item = Firing>) {
        for Firing { alert, labels, since, reason } in firing {
            let known = Known { alert: Alert::firing(RULE), since, reason, silent: 0 };
            self.known.insert((alert, labels), known);
        }
    }

    /// As an earlier process left it in `dir`, which is nothing where there is nothing to be read.
    #[must_use]
    pub fn open(dir: &Path) -> Self {
        let mut alerts = Self::default();
        let path = dir.join(FILE);
        match fs::read(&path).map(|bytes| serde_json::from_slice::<Vec<Firing>>(&bytes)) {
            Ok(Ok(firing)) => alerts.resume(firing),
            Ok(Err(error)) => {
                tracing::warn!(file = %path.display(), %error, "which alerts fired before can't be read; they begin anew");
            }
            // The first start.
            Err(_) => {}
        }
        alerts
    }

    /// Writes into `dir` what fires.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep(&self, dir: &Path) -> Result<(), DiskError> {
        let bytes = serde_json::to_vec(&self.firing());
        let bytes = bytes.map_err(|error| DiskError::at("encode", &dir.join(FILE))(std::io::Error::other(error)))?;
        disk::place(dir, FILE, &bytes)
    }

    /// What fires now.
    #[must_use]
    pub fn firing(&self) -> Vec<Firing> {
        let firing = self.known.iter().filter(|(_, known)| known.alert.is_firing());
        firing.map(|(key, known)| alert(key, known)).collect()
    }
}

/// The rate of `hits` among `trials` is at least this, with 95 % confidence (Clopper and Pearson 1934); none without trials.
#[must_use]
pub fn at_least(hits: u64, trials: u64) -> Option<f64> {
    Rate::new(hits, trials).map(|rate| lower_bound(rate, 0.95))
}

fn key(alert: &'static str, labels: BTreeMap<&'static str, String>) -> Key {
    (alert.into(), labels.into_iter().map(|(label, value)| (label.into(), value)).collect())
}

fn alert((alert, labels): &Key, known: &Known) -> Firing {
    Firing { alert: alert.clone(), labels: labels.clone(), since: known.since, reason: known.reason.clone() }
}

fn told(key: &Key, known: &Known, change: Change) -> Turned {
    let change = match change {
        Change::Fired => "fired",
        Change::Cleared => "cleared",
    };
    Turned { change, alert: alert(key, known) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skew(signal: Signal) -> Says {
        Says { alert: "TaktThroughputSkew", labels: BTreeMap::new(), signal, reason: "7.5 times".to_owned() }
    }

    #[test]
    fn one_odd_pane_is_no_alert_and_two_of_three_are() {
        use Signal::{Against, For};
        let mut alerts = Alerts::default();
        let panes = [Against, For, Against, For, For, Against, Against];
        let turned =
            panes.map(|signal| alerts.observe(UnixMillis(0), [skew(signal)]).first().map(|turned| turned.change));
        assert_eq!(turned, [None, None, None, Some("fired"), None, None, Some("cleared")]);
        assert!(alerts.firing().is_empty());
    }

    #[test]
    fn what_fires_says_since_when_and_why() {
        let mut alerts = Alerts::default();
        for at in 1..4 {
            alerts.observe(UnixMillis(at), [skew(Signal::For)]);
        }
        let [firing] = &alerts.firing()[..] else { panic!("{:?}", alerts.firing()) };
        assert_eq!(
            (&*firing.alert, firing.since, firing.reason.as_str()),
            ("TaktThroughputSkew", UnixMillis(2), "7.5 times")
        );
    }

    #[test]
    fn what_fired_before_a_restart_fires_on_and_its_end_is_told() {
        let mut before = Alerts::default();
        for at in 1..4 {
            before.observe(UnixMillis(at), [skew(Signal::For)]);
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(Alerts::open(dir.path()).firing().is_empty(), "the first start");
        before.keep(dir.path()).unwrap();
        let mut alerts = Alerts::open(dir.path());
        assert_eq!(alerts.firing(), before.firing());
        assert_eq!(alerts.observe(UnixMillis(8), [skew(Signal::For)]), [], "it is not told again");
        let turned: Vec<_> = (9..12).flat_map(|at| alerts.observe(UnixMillis(at), [skew(Signal::Against)])).collect();
        assert_eq!(turned.iter().map(|turned| turned.change).collect::<Vec<_>>(), ["cleared"]);
        std::fs::write(dir.path().join(FILE), "nonsense").unwrap();
        assert!(Alerts::open(dir.path()).firing().is_empty(), "what can't be read is said and left");
    }

    #[test]
    fn what_nobody_speaks_of_any_more_ends() {
        let mut alerts = Alerts::default();
        for at in 1..4 {
            alerts.observe(UnixMillis(at), [skew(Signal::For)]);
        }
        let ended: Vec<_> = (0..=FORGOTTEN).flat_map(|_| alerts.observe(UnixMillis(9), [])).collect();
        assert_eq!(ended.iter().map(|turned| turned.change).collect::<Vec<_>>(), ["cleared"]);
        assert!(alerts.known.is_empty());
    }
}
