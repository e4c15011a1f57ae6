//! Which versions of a model should serve. Pure: the one place where quarantine, rollouts, operator commands and version
//! policy meet, in this order of precedence.

use std::collections::{BTreeMap, BTreeSet};

use crate::repository::VersionPolicy;
use crate::repository::config::OnNewVersion;

/// What an operator last said about a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Command {
    /// Nothing: the control mode decides.
    #[default]
    None,
    /// Load it.
    Load,
    /// Unload it.
    Unload,
}

/// Whether models are wanted without being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unasked {
    /// Modes `none` and `poll`.
    Everything,
    /// Mode `explicit`.
    Nothing,
}

/// A version on disk as the decision sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It may serve.
    Eligible,
    /// It must not: it was quarantined after a rollback or a crash, and stays so until a person releases it.
    Quarantined,
    /// It failed to load and its files have not changed since.
    Failed,
}

/// The versions of a rollout that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rolling {
    /// The version to go back to.
    pub stable: u64,
    /// Whether it stays loaded. Where both find no room it gives way to the candidate.
    pub keeps_stable: bool,
    /// The version that is tried, while it may be loaded.
    pub candidate: Option<u64>,
}

/// Everything the decision rests on.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// Versions on disk.
    pub available: &'a BTreeMap<u64, Standing>,
    /// The newest version that serves; where none does, the last that is known to have served well.
    pub newest: Option<u64>,
    /// The rollout that is under way.
    pub rolling: Option<Rolling>,
    /// The model's version policy.
    pub policy: &'a VersionPolicy,
    /// What becomes of versions that appear while others serve.
    pub on_new_version: OnNewVersion,
    /// The operator's word.
    pub command: Command,
    /// What holds without one.
    pub default: Unasked,
}

/// The versions that should serve.
#[must_use]
pub fn desired(situation: &Situation<'_>) -> BTreeSet<u64> {
    let eligible = |number: u64| situation.available.get(&number) == Some(&Standing::Eligible);
    if let Some(Rolling { stable, keeps_stable, candidate }) = situation.rolling {
        // Stable stays even where its files are gone: it is what the rollout goes back to.
        let stable = keeps_stable.then_some(stable);
        return candidate.filter(|&number| eligible(number)).into_iter().chain(stable).collect();
    }
    let wanted = match (situation.command, situation.default) {
        (Command::Unload, _) | (Command::None, Unasked::Nothing) => return BTreeSet::new(),
        (Command::Load, _) | (Command::None, Unasked::Everything) => &situation.available,
    };
    let waits = |number: u64| {
        situation.on_new_version != OnNewVersion::Serve
            && situation.command != Command::Load
            && situation.newest.is_some_and(|newest| number > newest)
    };
    situation.policy.select(wanted.keys().copied().filter(|&number| eligible(number) && !waits(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(standings: &[(u64, Standing)], newest: &[u64], change: impl FnOnce(&mut Situation<'_>)) -> Vec<u64> {
        let available = standings.iter().cloned().collect();
        let mut situation = Situation {
            available: &available,
            newest: newest.last().copied(),
            rolling: None,
            policy: &VersionPolicy::default(),
            on_new_version: OnNewVersion::Serve,
            command: Command::None,
            default: Unasked::Everything,
        };
        change(&mut situation);
        desired(&situation).into_iter().collect()
    }

    #[test]
    fn the_policy_chooses_among_what_may_serve() {
        let standings =
            [(1, Standing::Eligible), (2, Standing::Eligible), (3, Standing::Quarantined), (4, Standing::Failed)];
        assert_eq!(decide(&standings, &[], |_| ()), [2]);
        assert_eq!(decide(&standings, &[], |situation| situation.policy = &VersionPolicy::All), [1, 2]);
    }

    #[test]
    fn a_quarantined_version_is_not_served_even_when_an_operator_loads_the_model() {
        let standings = [(1, Standing::Eligible), (2, Standing::Quarantined)];
        assert_eq!(decide(&standings, &[1], |situation| situation.command = Command::Load), [1]);
    }

    #[test]
    fn an_operator_goes_before_the_control_mode() {
        let standings = [(1, Standing::Eligible)];
        assert_eq!(decide(&standings, &[1], |situation| situation.command = Command::Unload), [0; 0]);
        assert_eq!(decide(&standings, &[], |situation| situation.default = Unasked::Nothing), [0; 0]);
        let loaded = decide(&standings, &[], |situation| {
            situation.default = Unasked::Nothing;
            situation.command = Command::Load;
        });
        assert_eq!(loaded, [1]);
    }

    #[test]
    fn a_new_version_waits_where_the_model_says_ignore() {
        let standings = [(1, Standing::Eligible), (2, Standing::Eligible)];
        let ignore = |situation: &mut Situation<'_>| situation.on_new_version = OnNewVersion::Ignore;
        assert_eq!(decide(&standings, &[1], ignore), [1]);
        assert_eq!(decide(&standings, &[], ignore), [2], "where nothing served before, nothing is new");
        let rollout = |situation: &mut Situation<'_>| situation.on_new_version = OnNewVersion::Rollout;
        assert_eq!(decide(&standings, &[1], rollout), [1]);
    }

    #[test]
    fn a_rollout_goes_before_everything_but_quarantine() {
        let standings = [(1, Standing::Eligible), (2, Standing::Eligible), (3, Standing::Eligible)];
        let rolling = |candidate| {
            move |situation: &mut Situation<'_>| {
                situation.rolling = Some(Rolling { stable: 1, keeps_stable: true, candidate });
                situation.command = Command::Unload;
            }
        };
        assert_eq!(decide(&standings, &[1], rolling(Some(2))), [1, 2]);
        assert_eq!(decide(&standings, &[1], rolling(None)), [1]);
        let bad = [(2, Standing::Quarantined), (3, Standing::Eligible)];
        assert_eq!(decide(&bad, &[1], rolling(Some(2))), [1], "stable stays although its files are gone");
    }
}
