//! Which of the versions on disk are wanted.

use std::collections::BTreeSet;
use std::fmt;
use std::num::NonZeroUsize;

/// What the configuration says about versions. The registry has the last word: see its order of precedence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VersionPolicy {
    /// The highest numbers.
    Latest(NonZeroUsize),
    /// Every version.
    All,
    /// These, as far as they are there.
    Specific(BTreeSet<u64>),
}

impl VersionPolicy {
    /// The wanted ones of `available`, ascending.
    #[must_use]
    pub fn select(&self, available: impl IntoIterator<Item = u64>) -> BTreeSet<u64> {
        let available: BTreeSet<u64> = available.into_iter().collect();
        match self {
            Self::Latest(count) => available.into_iter().rev().take(count.get()).collect(),
            Self::All => available,
            Self::Specific(wanted) => available.intersection(wanted).copied().collect(),
        }
    }
}

impl Default for VersionPolicy {
    /// The latest one.
    fn default() -> Self {
        Self::Latest(NonZeroUsize::MIN)
    }
}

impl fmt::Display for VersionPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest(count) => write!(f, "the latest {count}"),
            Self::All => f.write_str("all"),
            Self::Specific(wanted) => {
                let wanted: Vec<String> = wanted.iter().map(u64::to_string).collect();
                write!(f, "only {}", wanted.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(policy: &VersionPolicy) -> Vec<u64> {
        policy.select([3, 10, 1]).into_iter().collect()
    }

    #[test]
    fn latest_goes_by_number_not_by_text() {
        assert_eq!(select(&VersionPolicy::default()), [10]);
        assert_eq!(select(&VersionPolicy::Latest(NonZeroUsize::new(2).unwrap())), [3, 10]);
    }

    #[test]
    fn all_takes_every_version() {
        assert_eq!(select(&VersionPolicy::All), [1, 3, 10]);
    }

    #[test]
    fn specific_takes_only_what_is_there() {
        assert_eq!(select(&VersionPolicy::Specific([3, 7].into())), [3]);
    }
}
