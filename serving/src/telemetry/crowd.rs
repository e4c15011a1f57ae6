//! Whether versions of one model run at the same time. On one device each slows the other down, and a candidate, which runs
//! rarely, nearly always has company where stable, which runs often, nearly never has: times of such runs do not compare.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// The crowds of all models, by name.
#[derive(Debug, Default)]
pub struct Crowds(Mutex<BTreeMap<String, Arc<Activity>>>);

/// Runs of a model, or of one version of it.
#[derive(Debug, Default)]
struct Activity {
    /// Now.
    running: AtomicU64,
    /// Ever.
    begun: AtomicU64,
}

/// A version among the versions of its model; its instances share it.
#[derive(Debug, Clone)]
pub struct Company {
    all: Arc<Activity>,
    own: Arc<Activity>,
}

/// What others had done when a run began.
#[derive(Debug, Clone, Copy)]
pub struct Begun {
    alone: bool,
    others: u64,
}

impl Crowds {
    /// For a version of that model that begins to run.
    #[must_use]
    pub fn join(&self, model: &str) -> Company {
        let mut crowds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Company { all: Arc::clone(crowds.entry(model.to_owned()).or_default()), own: Arc::default() }
    }
}

impl Company {
    /// A run begins.
    #[must_use]
    pub fn begin(&self) -> Begun {
        for activity in [&self.all, &self.own] {
            activity.begun.fetch_add(1, Relaxed);
            activity.running.fetch_add(1, Relaxed);
        }
        Begun { alone: self.others(|activity| &activity.running) == 0, others: self.others(|activity| &activity.begun) }
    }

    /// It is over. Says whether no other version of the model ran at any time of it.
    #[must_use]
    pub fn end(&self, begun: Begun) -> bool {
        for activity in [&self.own, &self.all] {
            activity.running.fetch_sub(1, Relaxed);
        }
        begun.alone && self.others(|activity| &activity.begun) == begun.others
    }

    /// Of versions other than this. The own is read first: what its other instances begin in between may look like company,
    /// never the other way round.
    fn others(&self, count: fn(&Activity) -> &AtomicU64) -> u64 {
        let own = count(&self.own).load(Relaxed);
        count(&self.all).load(Relaxed).saturating_sub(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_alone_unless_another_version_ran_at_any_time_of_it() {
        let crowds = Crowds::default();
        let (stable, candidate, other_model) = (crowds.join("m"), crowds.join("m"), crowds.join("n"));
        let run = stable.begin();
        let other = other_model.begin();
        assert!(stable.end(run), "another model is the same for both");

        let (first, second) = (stable.begin(), stable.clone().begin());
        assert!(stable.end(first) && stable.end(second), "another instance of it is as ever");

        let long = stable.begin();
        let within = candidate.begin();
        assert!(!candidate.end(within), "it began beside the other");
        assert!(!stable.end(long), "the other has come and gone");

        let earlier = candidate.begin();
        let later = stable.begin();
        assert!(!candidate.end(earlier) && !stable.end(later));
        assert!(other_model.end(other));
        let again = candidate.begin();
        assert!(candidate.end(again));
    }
}
