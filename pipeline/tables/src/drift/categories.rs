//! Columns of categories.

use std::collections::BTreeMap;

use takt_stats::chi_square::two_samples;
use takt_stats::distance::jensen_shannon;

use super::figures::{self, Held};
use super::pairs::Pair;
use super::report::{Category, Chi, Classes, ColumnReport, Comparison, Side};
use super::settings::Settings;
use crate::error::TableError;
use crate::table::Table;

/// Categories that are compared each by itself; the others together.
const NAMED: usize = 100;

/// With more different values than this, and more than half as many as there are rows, a column names its rows.
const IDENTIFIER: usize = 20;

/// Compares a column of categories.
pub(super) fn compare(
    tables: [&Table; 2],
    pair: &Pair,
    sides: &[Side; 2],
    settings: &Settings,
) -> Result<ColumnReport, TableError> {
    let [reference, current] =
        [tables[0].categories(&pair.name, usize::MAX)?, tables[1].categories(&pair.name, usize::MAX)?];
    for (counted, side) in [(&reference, &sides[0]), (&current, &sides[1])] {
        let different = counted.counts.len();
        if different > IDENTIFIER && different as u64 > side.rows / 2 {
            let reason = format!("{different} different values in {} rows are names, not categories", side.rows);
            return Ok(ColumnReport::skipped(&pair.name, &reason));
        }
    }
    let mut counts: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for (side, counted) in [&reference, &current].into_iter().enumerate() {
        for (name, count) in &counted.counts {
            counts.entry(name).or_default()[side] = *count as f64;
        }
    }
    let mut counts: Vec<(&str, [f64; 2])> = counts.into_iter().collect();
    // Stable, so that what is equally frequent stays in the order of names.
    counts.sort_by(|(_, a), (_, b)| (b[0], b[1]).partial_cmp(&(a[0], a[1])).unwrap_or(std::cmp::Ordering::Equal));
    let rest = counts.split_off(counts.len().min(NAMED));
    let mut named: Vec<(Option<&str>, [f64; 2])> =
        counts.into_iter().map(|(name, count)| (Some(name), count)).collect();
    if !rest.is_empty() {
        named.push((None, rest.iter().fold([0.0, 0.0], |sum, (_, count)| [sum[0] + count[0], sum[1] + count[1]])));
    }
    let side = |side: usize| named.iter().map(|(_, count)| count[side]).collect::<Vec<f64>>();
    let [before, now] = [side(0), side(1)];
    let limits = settings.limits_of(&pair.name);
    let held = Held { limits, error: settings.error, zero: settings.binning.zero_rule() };
    let totals = [before.iter().sum::<f64>(), now.iter().sum::<f64>()];
    let share = |count: f64, side: usize| count / totals[side].max(1.0);
    let category = |(name, count): &(Option<&str>, [f64; 2])| Category {
        name: name.map(str::to_owned),
        reference: share(count[0], 0),
        current: share(count[1], 1),
    };
    let classes = Classes {
        psi: figures::psi(&before, &now, held),
        jensen_shannon: jensen_shannon(&before, &now),
        chi_square: two_samples(&before, &now).map(|chi| Chi {
            statistic: chi.statistic,
            degrees: chi.degrees,
            p: chi.p,
        }),
        categories: named.iter().map(category).collect(),
    };
    let (rows, values) = ([sides[0].rows, sides[1].rows], totals.map(|total| total as u64));
    Ok(figures::column(&pair.name, rows, values, limits, Comparison::Categories(classes)))
}
