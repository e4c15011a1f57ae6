//! RiskLoc (Kalander 2022): combinations of elements, over any of the dimensions, whose leaves deviate together.
//!
//! With forecast f and actual v of a leaf, its deviation is `d = 2 (f - v) / (f + v)`, in -2..=2. Leaves that deviate in the
//! direction of the total's change by more than the others deviate against it are *abnormal*. A combination of elements is
//! judged by the leaves it selects:
//!
//! - high risk `W_a / (W_a + W_n + 1)`: weights of its abnormal leaves (how far they deviate) against those of its
//!   normal ones (how far they are from being abnormal), each at most 1;
//! - low risk: how badly one common factor for all of its leaves fits, `mean |d'| / mean |d|` with d' the
//!   deviation from `f V / F` (the ripple effect: a cause changes all below it alike).
//!
//! Combinations of fewer dimensions go first; of one number of dimensions the one that explains most and whose risk, high
//! less low, reaches the threshold. Its leaves are then set aside, until what is left explains too little.
//!
//! Departure from the paper: which side is abnormal follows from the direction in which the total changed, which is what is
//! to be explained. The paper infers it from the deviations alone, which fails on tables whose few abnormal leaves are all
//! taken for outliers. The +1 makes a cause of a single leaf hard to find: for small tables [`adtributor`](super::adtributor)
//! is the better tool.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use takt_artifact::fault::Fault;

use super::table::{Leaf, total};
use super::{Sum, Table};

/// Thresholds of the search, as in the paper.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Risk that a combination must reach.
    pub risk: f64,
    /// Share of the abnormal leaves' explanatory power that a combination must have.
    pub power_share: f64,
    /// The greatest deviations on the normal side that are taken for outliers; at most one leaf in twenty.
    pub outliers: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { risk: 0.5, power_share: 0.02, outliers: 5 }
    }
}

/// A combination of elements that changed together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Combination {
    /// The element of each dimension that matters.
    pub elements: BTreeMap<String, String>,
    /// What it explains of the change of the total; 1 is all of it.
    pub explanatory_power: f64,
    /// High risk less low risk, at most 1.
    pub risk: f64,
}

/// A leaf with what is derived from it.
#[derive(Debug, Clone)]
struct Scored<'a> {
    leaf: &'a Leaf<Sum>,
    /// Deviation; positive in the direction of the total's change.
    deviation: f64,
    explanatory_power: f64,
    abnormal: bool,
    weight: f64,
}

impl Options {
    /// Everything about them that does not make sense.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        let share = |path: &str, found: f64, usual: &str| {
            let fault = || Fault::new(path, found.to_string(), "above 0, below 1", format!("{usual} is usual"));
            (!(found > 0.0 && found < 1.0)).then(fault)
        };
        [share("risk", self.risk, "0.5"), share("power_share", self.power_share, "0.02")]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// The combinations that explain the change of the total, in the order in which they were found. Empty where nothing
/// changed or nothing stands out.
#[must_use]
pub fn explain(table: &Table<Sum>, options: &Options) -> Vec<Combination> {
    let mut leaves = score(table, options);
    let abnormal_power = |leaves: &[Scored<'_>]| -> f64 {
        leaves.iter().filter(|leaf| leaf.abnormal).map(|leaf| leaf.explanatory_power).sum()
    };
    let least = abnormal_power(&leaves) * options.power_share;
    let mut found = Vec::new();
    while abnormal_power(&leaves) > least {
        let Some((dimensions, elements, combination)) = search(table, &leaves, least, options.risk) else {
            break;
        };
        leaves.retain(|scored| {
            !dimensions.iter().zip(&elements).all(|(&at, element)| scored.leaf.elements.get(at) == Some(element))
        });
        found.push(combination);
    }
    found
}

fn score<'a>(table: &'a Table<Sum>, options: &Options) -> Vec<Scored<'a>> {
    let Sum { forecast, actual } = table.total();
    let change = actual - forecast;
    if change == 0.0 {
        return Vec::new();
    }
    let deviations: Vec<_> = table.leaves.iter().map(|leaf| deviation(leaf.measure) * -change.signum()).collect();
    let cutoff = cutoff(&deviations, options.outliers);
    let scored = table.leaves.iter().zip(deviations).map(|(leaf, deviation)| {
        let abnormal = deviation > cutoff;
        let weight = match (abnormal, leaf.measure.forecast + leaf.measure.actual > 0.0) {
            (true, _) => deviation,
            (false, true) => cutoff - deviation,
            (false, false) => 0.0,
        };
        let explanatory_power = (leaf.measure.actual - leaf.measure.forecast) / change;
        Scored { leaf, deviation, explanatory_power, abnormal, weight: weight.min(1.0) }
    });
    scored.collect()
}

/// Symmetric and at most 2 in size; 0 where nothing was expected and nothing came.
fn deviation(Sum { forecast, actual }: Sum) -> f64 {
    let sum = forecast + actual;
    if sum > 0.0 { 2.0 * (forecast - actual) / sum } else { 0.0 }
}

/// Normal leaves deviate both ways alike, so the way in which no cause is sought tells how far they do.
fn cutoff(deviations: &[f64], outliers: usize) -> f64 {
    let mut sorted = deviations.to_vec();
    sorted.sort_by(f64::total_cmp);
    let spared = outliers.min(sorted.len() / 20);
    sorted.get(spared).map_or(0.0, |lowest| (-lowest).max(0.0))
}

type Found = (Vec<usize>, Vec<usize>, Combination);

/// The best combination with the fewest dimensions: which dimensions, which element of each.
fn search(table: &Table<Sum>, leaves: &[Scored<'_>], least: f64, threshold: f64) -> Option<Found> {
    let all = table.dimensions.len();
    (1..=all).find_map(|count| {
        let mut best: Option<Found> = None;
        // Each set bit is a dimension.
        let sets = (1_u32..1 << all).filter(|set| set.count_ones() as usize == count);
        for dimensions in sets.map(|set| (0..all).filter(|at| set >> at & 1 == 1).collect::<Vec<_>>()) {
            let floor = best.as_ref().map_or(least, |(.., best)| best.explanatory_power);
            if let Some((elements, risk, explanatory_power)) = strongest(leaves, &dimensions, floor, threshold) {
                let named = dimensions.iter().zip(&elements).filter_map(|(&at, &element)| {
                    let dimension = table.dimensions.get(at)?;
                    Some((dimension.name.clone(), dimension.elements.get(element)?.clone()))
                });
                let combination = Combination { elements: named.collect(), explanatory_power, risk };
                best = Some((dimensions, elements, combination));
            }
        }
        best
    })
}

/// Of the combinations over `dimensions` that explain more than `floor`, the one that explains most and reaches the risk.
fn strongest(
    leaves: &[Scored<'_>],
    dimensions: &[usize],
    floor: f64,
    threshold: f64,
) -> Option<(Vec<usize>, f64, f64)> {
    let key = |scored: &Scored<'_>| -> Vec<usize> {
        dimensions.iter().filter_map(|&at| scored.leaf.elements.get(at).copied()).collect()
    };
    let mut groups: BTreeMap<Vec<usize>, Vec<&Scored<'_>>> = BTreeMap::new();
    for scored in leaves {
        groups.entry(key(scored)).or_default().push(scored);
    }
    let power = |group: &[&Scored<'_>]| group.iter().map(|leaf| leaf.explanatory_power).sum::<f64>();
    let mut groups: Vec<_> = groups
        .into_iter()
        .filter(|(_, group)| group.iter().any(|leaf| leaf.abnormal))
        .map(|(elements, group)| (power(&group), elements, group))
        .filter(|(power, ..)| *power > floor)
        .collect();
    // Stable: what explains as much stays in the order of its elements.
    groups.sort_by(|(a, ..), (b, ..)| b.total_cmp(a));
    groups.into_iter().find_map(|(power, elements, group)| {
        let risk = high_risk(&group) - low_risk(&group);
        (risk >= threshold).then_some((elements, risk, power))
    })
}

fn high_risk(group: &[&Scored<'_>]) -> f64 {
    let weight =
        |abnormal: bool| -> f64 { group.iter().filter(|leaf| leaf.abnormal == abnormal).map(|leaf| leaf.weight).sum() };
    let (abnormal, normal) = (weight(true), weight(false));
    abnormal / (abnormal + normal + 1.0)
}

/// Leaves without forecast or without actual have no relative change and are left out.
fn low_risk(group: &[&Scored<'_>]) -> f64 {
    let both = |leaf: &&&Scored<'_>| leaf.leaf.measure.forecast > 0.0 && leaf.leaf.measure.actual > 0.0;
    let relevant: Vec<_> = group.iter().filter(both).collect();
    let Sum { forecast, actual } = total(relevant.iter().map(|scored| scored.leaf));
    let apart: f64 = relevant.iter().map(|scored| scored.deviation.abs()).sum();
    if apart == 0.0 {
        return 0.0;
    }
    let together = |scored: &&&&Scored<'_>| {
        let measure = scored.leaf.measure;
        deviation(Sum { forecast: measure.forecast * actual / forecast, actual: measure.actual }).abs()
    };
    relevant.iter().map(|scored| together(&scored)).sum::<f64>() / apart
}
