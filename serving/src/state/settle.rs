//! Writing down what a death means: collect the evidence, judge, record, start afresh.

use super::verdict::{Action, Death};
use super::{Journal, StateDir, StateError, UnixMillis, boot};

/// Judges the death of the serving process and records what follows. For the supervisor, which must open the journal
/// anew after each death: the worker wrote it last.
///
/// # Errors
/// The evidence cannot be read, or the journal cannot be written.
pub fn settle_death(
    dir: &StateDir,
    journal: &Journal,
    death: Death,
    now: UnixMillis,
) -> Result<Vec<Action>, StateError> {
    let actions = journal.record_death(death, &dir.running()?, now)?;
    for action in &actions {
        match action {
            Action::Quarantine { version, reason } => {
                tracing::error!(%version, reason, "version is quarantined");
            }
            Action::Strike { version, cause } => {
                tracing::warn!(%version, cause, "version may have caused the death; it stays in service");
            }
            Action::CloseIntent { .. } => {}
        }
    }
    dir.forget_running();
    Ok(actions)
}

/// Judges what an earlier life of the server left behind, if it left without a word. For the owner of the directory, once,
/// before anything is loaded.
///
/// # Errors
/// As for [`settle_death`].
pub fn settle_leftovers(dir: &StateDir, journal: &Journal, now: UnixMillis) -> Result<Vec<Action>, StateError> {
    let intents = journal.open_intents();
    let running = dir.running()?;
    let same_boot = !running.is_empty() || intents.iter().any(|intent| intent.boot == boot::id());
    let death = if running.iter().any(|run| run.hung) {
        // Without a supervisor nobody saw the exit code, but the watchdog left its mark.
        Death::Watchdog
    } else if same_boot {
        Death::Unwitnessed
    } else {
        Death::Reboot
    };
    if !intents.is_empty() || !running.is_empty() {
        tracing::warn!(
            intents = intents.len(), running = running.len(), death = %death,
            "the server did not end in an orderly way; judging what it had in hand"
        );
    }
    settle_death(dir, journal, death, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Access, IntentKind, VersionId};
    use std::path::Path;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn version(n: u64) -> VersionId {
        VersionId { model: "m".into(), version: n, digest: format!("d{n}") }
    }

    /// A life that ends in the middle of what it was doing.
    fn die(path: &Path, running: Option<u64>, loading: Option<u64>) {
        let dir = StateDir::open(path, Access::Worker).unwrap();
        let journal = dir.journal().unwrap();
        if let Some(n) = running {
            let table = dir.running_table().unwrap();
            let mut slot = table.claim().unwrap();
            slot.begin(&version(n));
            std::mem::forget((table, slot));
        }
        if let Some(n) = loading {
            std::mem::forget(journal.open_intent(IntentKind::Load, &version(n), NOW).unwrap());
        }
    }

    #[test]
    fn a_candidate_that_ran_at_the_death_is_quarantined_on_disk_and_judged_once() {
        let parent = tempfile::tempdir().unwrap();
        let owner = StateDir::open(parent.path(), Access::Owner).unwrap();
        owner.journal().unwrap().set_last_good(&version(1), NOW).unwrap();
        die(parent.path(), Some(2), None);
        let actions = settle_death(&owner, &owner.journal().unwrap(), Death::Signal(6), NOW).unwrap();
        assert!(matches!(&actions[..], [Action::Quarantine { version: v, .. }] if *v == version(2)));
        assert!(owner.journal().unwrap().is_quarantined("d2"));
        assert!(settle_death(&owner, &owner.journal().unwrap(), Death::Signal(6), NOW).unwrap().is_empty());
    }

    #[test]
    fn a_server_killed_in_the_middle_of_a_load_comes_back_with_the_last_good_version() {
        let parent = tempfile::tempdir().unwrap();
        let owner = StateDir::open(parent.path(), Access::Owner).unwrap();
        owner.journal().unwrap().set_last_good(&version(1), NOW).unwrap();
        drop(owner);
        die(parent.path(), Some(1), Some(2));

        let owner = StateDir::open(parent.path(), Access::Owner).unwrap();
        let journal = owner.journal().unwrap();
        settle_leftovers(&owner, &journal, NOW).unwrap();
        assert!(journal.is_quarantined("d2") && !journal.is_quarantined("d1"));
        assert!(journal.open_intents().is_empty());
        assert!(settle_leftovers(&owner, &journal, NOW).unwrap().is_empty());
    }

    #[test]
    fn a_power_cut_in_the_middle_of_a_load_is_not_held_against_the_version() {
        let parent = tempfile::tempdir().unwrap();
        die(parent.path(), None, Some(2));
        let file = parent.path().join("journal.json");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(boot::id(), "another boot")).unwrap();

        let owner = StateDir::open(parent.path(), Access::Owner).unwrap();
        let journal = owner.journal().unwrap();
        let actions = settle_leftovers(&owner, &journal, NOW).unwrap();
        assert!(actions.iter().any(|action| matches!(action, Action::Strike { .. })));
        assert!(!journal.is_quarantined("d2"));
    }
}
