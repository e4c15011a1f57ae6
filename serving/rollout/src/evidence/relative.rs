//! Failures of the canary against stable's, by units or by stations.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use takt_artifact::share::TrafficShare;
use takt_stats::sequential::{Attribution, Block, Failures, Law, Side, Stations, thin};

use super::event::{Drawn, StationBlock, StationEpoch, Tally};
use crate::plan::Unit;

/// How many stations are remembered. More are judged without a past of their own.
const MOST_STATIONS: usize = 4_096;
/// Weight of the common failure rate, in units, against a station's own.
const PRIOR_UNITS: f64 = 50.0;

/// Whose failures, by what is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Relative {
    /// Units are routed one by one.
    Units { worse: Attribution, acceptable: Attribution },
    /// Whole stations are.
    Stations(Box<ByStation>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ByStation {
    tolerated: f64,
    margin: f64,
    worse: Stations,
    acceptable: Stations,
    /// What each station counted with stable.
    past: BTreeMap<String, Tally>,
    all: Tally,
}

impl Relative {
    pub(super) fn new(unit: Unit, tolerated: f64, margin: f64) -> Self {
        match unit {
            Unit::Part | Unit::Request => {
                Self::Units { worse: Attribution::worse(tolerated), acceptable: Attribution::acceptable(margin) }
            }
            Unit::Station { .. } => Self::Stations(Box::new(ByStation {
                tolerated,
                margin,
                worse: Stations::worse(Law::Poisson),
                acceptable: Stations::acceptable(Law::Poisson),
                past: BTreeMap::new(),
                all: Tally::default(),
            })),
        }
    }

    pub(super) fn begin_step(&mut self, new_margin: f64) {
        match self {
            Self::Units { acceptable, .. } => *acceptable = Attribution::acceptable(new_margin),
            Self::Stations(stations) => {
                stations.margin = new_margin;
                stations.acceptable = Stations::acceptable(Law::Poisson);
            }
        }
    }

    pub(super) fn units(&mut self, rho: f64, failures: Failures) {
        if let Self::Units { worse, acceptable } = self {
            worse.observe(rho, failures);
            acceptable.observe(rho, failures);
        }
    }

    pub(super) fn stations(&mut self, epoch: &StationEpoch, uniform: impl FnMut() -> f64) {
        if let Self::Stations(stations) = self {
            stations.observe(epoch, uniform);
        }
    }

    pub(super) fn ln_e(&self, side: Side) -> f64 {
        match (self, side) {
            (Self::Units { worse, .. }, Side::Worse) => worse.ln_e(),
            (Self::Units { acceptable, .. }, Side::Acceptable) => acceptable.ln_e(),
            (Self::Stations(stations), Side::Worse) => stations.worse.ln_e(),
            (Self::Stations(stations), Side::Acceptable) => stations.acceptable.ln_e(),
        }
    }
}

impl ByStation {
    fn observe(&mut self, epoch: &StationEpoch, mut uniform: impl FnMut() -> f64) {
        let stable: Vec<Block> = epoch.stable.iter().map(|block| self.block(block, 1.0, &mut uniform)).collect();
        for (side, keep) in [(Side::Worse, 1.0 / self.tolerated), (Side::Acceptable, 1.0 / self.margin)] {
            let canary: Vec<Block> = epoch.canary.iter().map(|block| self.block(block, keep, &mut uniform)).collect();
            let test = match side {
                Side::Worse => &mut self.worse,
                Side::Acceptable => &mut self.acceptable,
            };
            match epoch.drawn {
                Drawn::ByRank => test.observe_drawn(&canary, &stable),
                Drawn::Each(share) => {
                    let blocks =
                        canary.iter().map(|block| (true, block)).chain(stable.iter().map(|block| (false, block)));
                    blocks.for_each(|(drawn, block)| test.observe_alone(share.get(), drawn, *block));
                }
            }
        }
        // The past is what stable did: a faulty candidate must not become what is expected.
        for block in &epoch.stable {
            self.all = self.all.plus(block.tally);
            if self.past.len() < MOST_STATIONS || self.past.contains_key(&block.station) {
                let past = self.past.entry(block.station.clone()).or_default();
                *past = past.plus(block.tally);
            }
        }
    }

    /// What a station did beside what its past lets expect.
    fn block(&self, block: &StationBlock, keep: f64, uniform: &mut impl FnMut() -> f64) -> Block {
        let common = (self.all.bad as f64 + 0.5) / (self.all.units as f64 + 1.0);
        let past = self.past.get(&block.station).copied().unwrap_or_default();
        let rate = (past.bad as f64 + PRIOR_UNITS * common) / (past.units as f64 + PRIOR_UNITS);
        Block { bad: thin(block.tally.bad, keep, uniform), expected: block.tally.units as f64 * rate }
    }
}

/// The canary's part of what both did, where it is what really ran that counts.
pub(super) fn realised(stable: Tally, canary: Tally) -> f64 {
    let all = stable.units as f64 + canary.units as f64;
    if all > 0.0 { canary.units as f64 / all } else { TrafficShare::NONE.get() }
}
