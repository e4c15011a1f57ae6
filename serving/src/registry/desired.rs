//! Which versions of a model should serve. Pure: the one place where quarantine, operator commands and version policy
//! meet, in this order of precedence.

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

/// Everything the decision rests on.
#[derive(Debug, Clone)]
pub struct Situation<'a> {
    /// Versions on disk.
    pub available: &'a BTreeMap<u64, Standing>,
    /// Versions that serve now.
    pub serving: &'a BTreeSet<u64>,
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
    let wanted = match (situation.command, situation.default) {
        (Command::Unload, _) | (Command::None, Unasked::Nothing) => return BTreeSet::new(),
        (Command::Load, _) | (Command::None, Unasked::Everything) => &situation.available,
    };
    let eligible = wanted.iter().filter(|(_, standing)| **standing == Standing::Eligible).map(|(number, _)| *number);
    let newest_serving = situation.serving.last().copied();
    let waits = |number: u64| {
        situation.on_new_version == OnNewVersion::Ignore
            && situation.command != Command::Load
            && newest_serving.is_some_and(|newest| number > newest)
    };
    situation.policy.select(eligible.filter(|&number| !waits(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(standings: &[(u64, Standing)], serving: &[u64], change: impl FnOnce(&mut Situation<'_>)) -> Vec<u64> {
        let available = standings.iter().cloned().collect();
        let serving = serving.iter().copied().collect();
        let mut situation = Situation {
            available: &available,
            serving: &serving,
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
        assert_eq!(decide(&standings, &[], ignore), [2], "at the start nothing serves, so nothing is new");
    }
}
