//! Which ranges do best: every way of choosing them is tried, and what counts is how near the outputs come.
//!
//! Errors of single values say little: clipping a rare large value makes the error of its tensor smaller, yet it may be what
//! tells two classes apart.

use std::collections::BTreeMap;

use candle_core::Tensor;
use takt_graph::Model;
use takt_graph::onnx::ValueInfoProto;
use takt_graph::shape::Facts;

use super::calibrate::Observed;
use super::grid::Grid;
use super::observe::{Calibration, Range};
use super::plan::Plan;
use super::report::Agreement;
use super::walk::{Walk, Walked};
use super::{Options, Progress, QuantiseError, Rounding, Target, Watch};

/// What the choice of a calibration looks at.
pub(super) struct Search<'a> {
    pub model: &'a Model,
    pub facts: &'a Facts,
    pub plan: &'a Plan,
    pub observed: &'a Observed,
    pub target: Target,
    pub options: &'a Options,
}

impl Search<'_> {
    /// Grids by group.
    pub fn grids(&self, calibration: Calibration) -> BTreeMap<String, Grid> {
        let grid = |range: Range| self.target.activations(range);
        let histograms = self.observed.histograms.iter();
        histograms.map(|(group, histogram)| (group.clone(), grid(calibration.choose(histogram, &grid)))).collect()
    }

    /// Grids by value, and what came of them.
    pub fn walk(
        &self,
        groups: &BTreeMap<String, Grid>,
        images: &[Tensor],
        options: &Options,
        progress: &mut Watch<'_>,
    ) -> Result<(BTreeMap<String, Grid>, Walked), QuantiseError> {
        let grid = |(value, group): (&String, &String)| Some((value.clone(), *groups.get(group)?));
        let grids = self.plan.grids.iter().filter_map(grid).collect();
        let walk =
            Walk { model: self.model, facts: self.facts, plan: self.plan, grids: &grids, target: self.target, options };
        let walked = walk.run(images, progress)?;
        Ok((grids, walked))
    }

    /// The calibration whose outputs are nearest, with weights rounded to the nearest: reconstruction takes too long to be
    /// tried with each, and helps all alike.
    pub fn best(&self, progress: &mut Watch<'_>) -> Result<Calibration, QuantiseError> {
        /// Of which the outputs' error is known well enough: ranges differ by decibels.
        const IMAGES: usize = 32;
        let options = Options { rounding: Rounding::Nearest, ..self.options.clone() };
        let mut images = 0;
        let mut enough = |batch: &Tensor| {
            let before = images;
            images += batch.dims().first().copied().unwrap_or(0);
            before < IMAGES
        };
        let images: Vec<Tensor> = self.observed.kept.iter().take_while(|batch| enough(batch)).cloned().collect();
        let mut best = (f64::NEG_INFINITY, Calibration::MinMax);
        for calibration in Calibration::TRIED {
            let (_, walked) =
                self.walk(&self.grids(calibration), &images, &options, &mut |_| progress(Progress::Trial))?;
            let worst = outputs(self.model, &walked)
                .iter()
                .map(|(_, agreement)| agreement.sqnr_db())
                .fold(f64::INFINITY, f64::min);
            if worst > best.0 {
                best = (worst, calibration);
            }
        }
        Ok(best.1)
    }
}

/// How near the graph's outputs come.
pub(super) fn outputs(model: &Model, walked: &Walked) -> Vec<(String, Agreement)> {
    let names = model.graph().output.iter().map(ValueInfoProto::name);
    names.filter_map(|name| Some((name.to_owned(), *walked.agreement.get(name)?))).collect()
}
