//! Routing by station: exactly so many stations are given to the canary for an epoch.
//!
//! Hashing each station by itself leaves the canary without any in more than half of the epochs, at 5 % of 12 stations. So
//! stations are ranked by hash and the first m drawn; each is drawn with probability m/S, and the evidence knows it
//! ([`takt_stats::sequential::Stations`]).

use std::collections::BTreeSet;

use takt_artifact::share::TrafficShare;

use super::{Arm, Purpose, Salt};

/// The stations of an epoch. Build it at the epoch's beginning; a lookup is then a search in a small set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    canary: BTreeSet<String>,
    all: usize,
}

/// Draws stations for the canary. The number is the share of them, rounded, but at least one and never all while the share
/// is neither. A share that rises within an epoch keeps the stations it had and adds others.
#[must_use]
pub fn draw<'a>(salt: Salt, epoch: u64, stations: impl IntoIterator<Item = &'a str>, share: TrafficShare) -> Draw {
    let names: BTreeSet<&str> = stations.into_iter().collect();
    let all = names.len();
    let mut ranked: Vec<(u64, &str)> = names.into_iter().map(|name| (rank(salt, epoch, name), name)).collect();
    ranked.sort_unstable();
    let canary = ranked.into_iter().take(how_many(all, share)).map(|(_, name)| name.to_owned()).collect();
    Draw { canary, all }
}

impl Draw {
    /// Who answers this station. One that was not known at the draw belongs to stable and is no evidence.
    #[must_use]
    pub fn arm(&self, station: &str) -> Arm {
        if self.canary.contains(station) { Arm::Canary } else { Arm::Stable }
    }

    /// Stations drawn, and stations there were.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.canary.len(), self.all)
    }

    /// The probability with which each station was drawn; 0 where there was none.
    #[must_use]
    pub fn probability(&self) -> f64 {
        if self.all == 0 { 0.0 } else { self.canary.len() as f64 / self.all as f64 }
    }
}

fn rank(salt: Salt, epoch: u64, station: &str) -> u64 {
    let mut bytes = epoch.to_le_bytes().to_vec();
    bytes.extend_from_slice(station.as_bytes());
    salt.hash(Purpose::Station, &bytes)
}

fn how_many(all: usize, share: TrafficShare) -> usize {
    match share {
        TrafficShare::NONE => 0,
        TrafficShare::ALL => all,
        share => ((share.get() * all as f64).round() as usize)
            .clamp(1, all.saturating_sub(1).max(1))
            .min(all.saturating_sub(1)),
    }
}
