//! What a model measures, and what a cut must come down to and leave.

use std::collections::BTreeMap;
use std::path::Path;

use takt_graph::Model;
use takt_graph::channels::{self, Groups};

use super::Prune;
use crate::latency::Latencies;
use crate::prune::{Bounds, Budget, Measure, Settings as Cut, identity, in_single_precision};
use crate::stage::error::StageError;
use crate::stage::shop::Shop;

/// Measured times, in the folder of results unless said otherwise.
pub(in crate::stage) const LATENCIES: &str = "latency.json";

/// The measure by which one run prunes.
pub(super) struct Scale {
    cut: Cut,
    latencies: Option<Latencies>,
    /// Of the model as it was given.
    pub(super) whole: f64,
    /// Share of that which may stay.
    pub(super) share: f64,
    channels: Channels,
}

/// Channels that each group had, by what it is told by.
type Channels = BTreeMap<Vec<(String, usize)>, usize>;

impl Scale {
    /// Of the model as it is given. A target that is out of reach is told here, before anything is trained.
    pub(super) fn new(model: &Model, run: &Prune, out: &Path, shop: &Shop<'_>) -> Result<Self, StageError> {
        in_single_precision(model)?;
        let latencies = match run.cut.measure {
            Measure::Macs | Measure::Parameters => None,
            Measure::Latency => {
                let path = run.latencies.clone().unwrap_or_else(|| out.join(LATENCIES));
                Some(Latencies::open(&path)?)
            }
        };
        let groups = channels::groups(model)?;
        let mut scale = Self { cut: run.cut, latencies, whole: 0.0, share: 1.0, channels: channels_of(&groups) };
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
        let had = |group: &channels::Group| self.channels.get(&identity(group)).copied().unwrap_or(group.units.len());
        Bounds::new(self.whole * share, groups.groups.iter().map(had).collect(), &self.cut)
    }
}

fn channels_of(groups: &Groups) -> Channels {
    groups.groups.iter().map(|group| (identity(group), group.units.len())).collect()
}

#[cfg(test)]
mod tests {
    use takt_graph::channels::Selection;

    use super::*;
    use crate::testing::gated;

    #[test]
    fn groups_that_begin_with_one_weight_have_floors_of_their_own_after_a_cut_too() {
        let mut model = gated();
        let groups = channels::groups(&model).unwrap();
        let channels = channels_of(&groups);
        let scale = Scale { cut: Cut::default(), latencies: None, whole: 1.0, share: 1.0, channels };
        assert_eq!(scale.bounds(&groups, 0.5).had, [2, 8]);
        channels::prune(&mut model, &groups, &Selection::new().drop_units(1, [0, 3, 5])).unwrap();
        assert_eq!(scale.bounds(&channels::groups(&model).unwrap(), 0.5).had, [2, 8]);
    }
}
