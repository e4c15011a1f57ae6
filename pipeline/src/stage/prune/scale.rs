//! What a model measures, and what a cut must come down to and leave.

use std::collections::BTreeMap;
use std::path::Path;

use takt_graph::Model;
use takt_graph::channels::{self, Groups};

use super::Prune;
use crate::latency::Latencies;
use crate::prune::{Bounds, Budget, Measure, Settings as Cut, name};
use crate::stage::error::StageError;
use crate::stage::shop::Shop;

/// Measured times, in the folder of results unless said otherwise.
const LATENCIES: &str = "latency.json";

/// The measure by which one run prunes.
pub(super) struct Scale {
    cut: Cut,
    latencies: Option<Latencies>,
    /// Of the model as it was given.
    pub(super) whole: f64,
    /// Share of that which may stay.
    pub(super) share: f64,
    /// Channels that its groups had, by their names.
    channels: BTreeMap<String, usize>,
}

impl Scale {
    /// Of the model as it is given. A target that is out of reach is told here, before anything is trained.
    pub(super) fn new(model: &Model, run: &Prune, out: &Path, shop: &Shop<'_>) -> Result<Self, StageError> {
        let latencies = match run.cut.measure {
            Measure::Macs | Measure::Parameters => None,
            Measure::Latency => {
                let path = run.latencies.clone().unwrap_or_else(|| out.join(LATENCIES));
                Some(Latencies::open(&path)?)
            }
        };
        let groups = channels::groups(model)?;
        let channels = groups.groups.iter().map(|group| (name(group).to_owned(), group.units.len())).collect();
        let mut scale = Self { cut: run.cut, latencies, whole: 0.0, share: 1.0, channels };
        let budget = scale.budget(model, &groups, shop)?;
        scale.whole = budget.whole();
        scale.share = Bounds::of(&groups, &budget, &run.cut)?.target / scale.whole.max(f64::MIN_POSITIVE);
        Ok(scale)
    }

    /// What a model on the way costs by what its groups keep.
    pub(super) fn budget(&mut self, model: &Model, groups: &Groups, shop: &Shop<'_>) -> Result<Budget, StageError> {
        Ok(match (self.cut.measure, &mut self.latencies) {
            (Measure::Parameters, _) => Budget::parameters(model, groups)?,
            (Measure::Latency, Some(latencies)) => {
                let layers = latencies.layers(model, groups, self.cut.block, shop.progress, shop.stop)?;
                Budget::latency(model, groups, layers.ok_or(StageError::Interrupted)?)
            }
            (Measure::Macs | Measure::Latency, _) => Budget::macs(model, groups)?,
        })
    }

    /// Where a cut of it to a share of the model as it was given ends. What groups keep at least is counted from there too.
    pub(super) fn bounds(&self, groups: &Groups, share: f64) -> Bounds {
        let had = |group: &channels::Group| self.channels.get(name(group)).copied().unwrap_or(group.units.len());
        Bounds::new(self.whole * share, groups.groups.iter().map(had).collect(), &self.cut)
    }
}
