//! Columns of numbers whose values fit into memory.

use std::sync::Mutex;

use takt_stats::distance::{jensen_shannon, wasserstein};
use takt_stats::grid::KsBounds;
use takt_stats::ks::two_samples;
use takt_stats::order::ascending;
use takt_stats::psi::{Binning as Bins, binned, count_sorted};
use takt_stats::quantile::of_sorted;

use super::figures::{self, Held};
use super::pairs::Pair;
use super::report::{ColumnReport, Comparison, Histogram, Numbers};
use super::settings::{Binning, Settings};
use super::workers::each;
use crate::error::TableError;
use crate::table::Table;

/// Bytes of values that are in memory at a time; at least one column is.
const BYTES: usize = 64 << 20;

/// PSI bins by quantiles of the reference.
pub(super) const DECILES: usize = 10;

/// Bins of a plot.
pub(super) const PLOT: usize = 30;

/// Compares columns of numbers, one report for each in their order.
pub(super) fn compare(
    tables: [&Table; 2],
    pairs: &[&Pair],
    settings: &Settings,
) -> Result<Vec<ColumnReport>, TableError> {
    let rows = [tables[0].rows()?, tables[1].rows()?];
    let column = 8 * (rows[0] + rows[1]).max(1);
    let together = (BYTES as u64 / column).clamp(1, pairs.len().max(1) as u64) as usize;
    let names: Vec<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
    if tables.iter().all(|table| table.is_columnar()) {
        let values = |side: usize, name: &str| Ok(read(tables[side], &[name], rows[side])?.pop().unwrap_or_default());
        return each(&names, together, |name| Ok(one(name, [values(0, name)?, values(1, name)?], settings)));
    }
    let mut reports = Vec::with_capacity(pairs.len());
    for names in names.chunks(together) {
        let [reference, current] = [read(tables[0], names, rows[0])?, read(tables[1], names, rows[1])?];
        let sides = reference.into_iter().zip(current).map(|(r, c)| Mutex::new([r, c]));
        let columns: Vec<(&str, Mutex<[Vec<f64>; 2]>)> = names.iter().copied().zip(sides).collect();
        reports.extend(each(&columns, together, |(name, sides)| {
            // Nobody else takes this column, so nobody can have panicked with it.
            let values = sides.lock().map(|mut sides| std::mem::take(&mut *sides)).unwrap_or_default();
            Ok(one(name, values, settings))
        })?);
    }
    Ok(reports)
}

/// The columns' values, NaN where one is missing.
fn read(table: &Table, names: &[&str], rows: u64) -> Result<Vec<Vec<f64>>, TableError> {
    // Grown by doubling, they would take twice the memory for a moment.
    let mut columns: Vec<Vec<f64>> = names.iter().map(|_| Vec::with_capacity(rows as usize)).collect();
    for batch in table.numbers(names)? {
        for (column, values) in columns.iter_mut().zip(batch?.columns) {
            column.extend(values);
        }
    }
    Ok(columns)
}

fn one(name: &str, sides: [Vec<f64>; 2], settings: &Settings) -> ColumnReport {
    let rows = [0, 1].map(|side| sides[side].len() as u64);
    // What comes after sorts again, which takes no time where it is sorted.
    let sides = sides.map(|side| ascending(&side).into_owned());
    let [reference, current] = &sides;
    let values = [reference.len() as u64, current.len() as u64];
    let limits = settings.limits_of(name);
    let held = Held { limits, error: settings.error, zero: settings.binning.zero_rule() };
    let binning = match settings.binning {
        Binning::ReferenceQuantile => Bins::ReferenceQuantile(DECILES),
        Binning::SturgesUnion => Bins::SturgesUnion,
    };
    let bins = binned(reference, current, binning);
    let ks =
        two_samples(reference, current).map(|ks| figures::ks(KsBounds { lo: ks.d, hi: ks.d }, ks.p(), values, held));
    let numbers = Numbers {
        exact: true,
        psi: bins.as_ref().and_then(|bins| figures::psi(&bins.reference, &bins.current, held)),
        ks,
        wasserstein: wasserstein(reference, current),
        jensen_shannon: bins.as_ref().and_then(|bins| jensen_shannon(&bins.reference, &bins.current)),
        mean: [reference, current].map(|side| (!side.is_empty()).then(|| side.iter().sum::<f64>() / side.len() as f64)),
        histogram: histogram(reference, current),
    };
    figures::column(name, rows, values, limits, Comparison::Numbers(numbers))
}

/// Shares of equally wide bins over the middle 99 % of either side.
fn histogram(reference: &[f64], current: &[f64]) -> Option<Histogram> {
    let edges = plot_edges(reference, current)?;
    let shares =
        |side: &[f64]| count_sorted(side, &edges).iter().map(|count| count / side.len().max(1) as f64).collect();
    let (reference, current) = (shares(reference), shares(current));
    Some(Histogram { reference, current, edges })
}

/// Inner edges of a plot, from ascending values.
pub(super) fn plot_edges(reference: &[f64], current: &[f64]) -> Option<Vec<f64>> {
    let at = |q: f64| [reference, current].into_iter().filter_map(move |side| of_sorted(side, q));
    let (low, high) = (at(0.005).reduce(f64::min)?, at(0.995).reduce(f64::max)?);
    if !(low.is_finite() && high.is_finite()) {
        return None;
    }
    // A constant has one bar in the middle.
    let (low, high) = if high > low { (low, high) } else { (low - 0.5, low + 0.5) };
    let step = (high - low) / PLOT as f64;
    Some((1..PLOT).map(|edge| low + edge as f64 * step).collect())
}
