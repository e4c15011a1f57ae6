//! Numbers of devices, absolute or as a share of all, and waves made of them.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

/// A number of devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many.
    Count(usize),
    /// Per cent of all.
    Percent(u32),
}

/// How many devices have the candidate after each wave, rising. One more wave has all the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waves(pub Vec<Amount>);

impl Amount {
    /// At most so many of `all`: shares are rounded down.
    #[must_use]
    pub fn at_most(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => all.saturating_mul(percent as usize) / 100,
        }
    }

    /// At least so many of `all`: shares are rounded up.
    #[must_use]
    pub fn at_least(self, all: usize) -> usize {
        match self {
            Self::Count(count) => count.min(all),
            Self::Percent(percent) => all.saturating_mul(percent as usize).div_ceil(100).min(all),
        }
    }
}

impl Waves {
    /// Index of the last wave.
    #[must_use]
    pub fn last(&self) -> usize {
        self.0.len()
    }

    /// The wave of each of these devices. Who comes first is drawn, by a hash, so that it is not always the same device that
    /// tries what is new, and the same whenever it is asked again.
    pub fn assign<'a>(&self, seed: u64, names: impl IntoIterator<Item = &'a str>) -> Vec<(&'a str, usize)> {
        let mut ranked: Vec<(u64, &str)> = names.into_iter().map(|name| (rank(seed, name), name)).collect();
        ranked.sort_unstable();
        let all = ranked.len();
        let wave = |place: usize| {
            let reached = self.0.iter().position(|amount| place < amount.at_least(all));
            reached.unwrap_or(self.last())
        };
        ranked.into_iter().enumerate().map(|(place, (_, name))| (name, wave(place))).collect()
    }
}

fn rank(seed: u64, name: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(seed, 0);
    hasher.write(name.as_bytes());
    hasher.finish()
}
