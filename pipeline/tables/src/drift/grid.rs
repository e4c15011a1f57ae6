//! Columns of numbers that are too long for memory: two passes over either table, the first for a sample, the second
//! counts on a grid.

use takt_stats::distance::jensen_shannon;
use takt_stats::grid::{bins, ks_bounds};
use takt_stats::ks;
use takt_stats::psi::count;
use takt_stats::quantile::of_sorted;

use super::exact::{DECILES, plot_edges};
use super::figures::{self, Held};
use super::pairs::Pair;
use super::report::{ColumnReport, Comparison, Histogram, Numbers};
use super::settings::{Binning, Settings};
use super::workers::each;
use crate::error::TableError;
use crate::table::Table;

/// Rows of a sample: a quantile of it is off by at most 0.4 % of the rows (Dvoretzky, Kiefer and Wolfowitz 1956, at an
/// error of 1 in 10,000).
const SAMPLE: usize = 1 << 18;

/// Slots of about equal share; KS is known to about the share of one.
const SLOTS: usize = 1024;

/// Columns that are worked on at a time, each with a sample of either side: 4 MiB.
const AT_ONCE: usize = 8;

/// A column on one side after the first pass.
#[derive(Debug, Clone)]
struct Sketch {
    /// Ascending, of rows drawn with equal chance.
    sample: Vec<f64>,
    low: f64,
    high: f64,
    /// Sum of the finite values.
    sum: f64,
    values: u64,
}

/// Where a column's values are counted.
struct Grid {
    edges: Vec<f64>,
    /// Those of them that bound PSI's bins.
    psi: Vec<usize>,
    plot: Option<Vec<f64>>,
    /// The least and the greatest finite value of both sides.
    range: (f64, f64),
}

/// Counts of a column on one side.
struct Counts {
    slots: Vec<f64>,
    plot: Vec<f64>,
}

/// Compares columns of numbers, one report for each in their order.
pub(super) fn compare(
    tables: [&Table; 2],
    pairs: &[&Pair],
    settings: &Settings,
) -> Result<Vec<ColumnReport>, TableError> {
    let names: Vec<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
    if tables.iter().all(|table| table.is_columnar()) {
        // One by one, so that as many samples are in memory as there are cores at work, however many columns there are.
        let reports = each(&names, AT_ONCE, |name| together(tables, &[name], settings))?;
        return Ok(reports.into_iter().flatten().collect());
    }
    together(tables, &names, settings)
}

/// The same, all columns in the same passes.
fn together(tables: [&Table; 2], names: &[&str], settings: &Settings) -> Result<Vec<ColumnReport>, TableError> {
    let (reference_rows, reference) = sketches(tables[0], names)?;
    let (current_rows, current) = sketches(tables[1], names)?;
    let sketches: Vec<[Sketch; 2]> = reference.into_iter().zip(current).map(|(r, c)| [r, c]).collect();
    let grids: Vec<Grid> = sketches.iter().map(|sides| Grid::of(sides, settings.binning)).collect();
    let [reference, current] = [count_all(tables[0], names, &grids)?, count_all(tables[1], names, &grids)?];
    let counts = reference.into_iter().zip(current).map(|(r, c)| [r, c]);
    let columns = names.iter().zip(&sketches).zip(&grids).zip(counts);
    let rows = [reference_rows, current_rows];
    Ok(columns.map(|(((name, sides), grid), counts)| one(name, rows, sides, grid, &counts, settings)).collect())
}

fn one(
    name: &str,
    rows: [u64; 2],
    sides: &[Sketch; 2],
    grid: &Grid,
    counts: &[Counts; 2],
    settings: &Settings,
) -> ColumnReport {
    let values = [sides[0].values, sides[1].values];
    let limits = settings.limits_of(name);
    let held = Held { limits, error: settings.error, zero: settings.binning.zero_rule() };
    let [reference, current] = [&counts[0].slots, &counts[1].slots];
    let [reference_bins, current_bins] = [bins(reference, &grid.psi), bins(current, &grid.psi)];
    let ks = ks_bounds(reference, current, |slot| grid.is_atom(slot)).map(|bounds| {
        let p = ks::Ks { d: bounds.lo, n: values[0], m: values[1] }.p_asymptotic();
        figures::ks(bounds, p, values, held)
    });
    let share = |side: usize| counts[side].plot.iter().map(|count| count / values[side].max(1) as f64).collect();
    let histogram = grid.plot.clone().map(|edges| Histogram { edges, reference: share(0), current: share(1) });
    let numbers = Numbers {
        exact: false,
        psi: figures::psi(&reference_bins, &current_bins, held),
        ks,
        wasserstein: wasserstein(grid, sides, counts),
        jensen_shannon: jensen_shannon(&reference_bins, &current_bins),
        mean: [0, 1].map(|side: usize| (values[side] > 0).then(|| sides[side].sum / values[side] as f64)),
        histogram,
    };
    figures::column(name, rows, values, limits, Comparison::Numbers(numbers))
}

impl Grid {
    fn of([reference, current]: &[Sketch; 2], binning: Binning) -> Self {
        let sample = &reference.sample;
        let range = (reference.low.min(current.low), reference.high.max(current.high));
        let psi_edges = match binning {
            Binning::ReferenceQuantile => quantile_edges(sample, DECILES),
            Binning::SturgesUnion => {
                let both = (reference.values + current.values).max(1) as f64;
                let bins = (both.log2() + 1.0).ceil();
                let (low, high) = range;
                (1..bins as usize).map(|edge| low + edge as f64 * ((high - low) / bins)).collect()
            }
        };
        let mut edges = quantile_edges(sample, SLOTS);
        edges.extend(&psi_edges);
        edges.retain(|edge| edge.is_finite());
        edges.sort_unstable_by(f64::total_cmp);
        edges.dedup();
        let psi = psi_edges.iter().filter_map(|edge| edges.binary_search_by(|e| e.total_cmp(edge)).ok());
        Self { psi: psi.collect(), plot: plot_edges(sample, &current.sample), range, edges }
    }

    /// Whether the slot can hold but one value. One at an end holds an infinity alone where all finite values are within.
    fn is_atom(&self, slot: usize) -> bool {
        let edge = |index: usize| self.edges.get(index);
        match (slot.checked_sub(1).and_then(edge), edge(slot)) {
            (Some(from), Some(to)) => from.next_up() == *to,
            (None, Some(to)) => self.range.0 >= *to,
            (Some(from), None) => self.range.1 < *from,
            (None, None) => false,
        }
    }
}

/// Quantiles of ascending values; one that several fall on is an atom and gets a slot of its own.
fn quantile_edges(sorted: &[f64], parts: usize) -> Vec<f64> {
    let mut edges: Vec<f64> = Vec::with_capacity(parts);
    for part in 1..parts {
        let Some(edge) = of_sorted(sorted, part as f64 / parts as f64) else { break };
        match edges.last() {
            Some(last) if *last == edge => edges.push(edge.next_up()),
            Some(last) if *last > edge => {}
            _ => edges.push(edge),
        }
    }
    edges
}

/// The first pass: rows, and a sketch of each column.
fn sketches(table: &Table, names: &[&str]) -> Result<(u64, Vec<Sketch>), TableError> {
    let empty = Sketch { sample: Vec::new(), low: f64::INFINITY, high: f64::NEG_INFINITY, sum: 0.0, values: 0 };
    let mut sketches = vec![empty; names.len()];
    let (mut rows, mut random) = (0_u64, Random(0x7a6b_7a6b));
    for batch in table.numbers(names)? {
        let batch = batch?;
        // Algorithm R (Vitter 1985): the row takes the place of one that was drawn before, or none.
        let places: Vec<(usize, usize)> = (0..batch.rows())
            .filter_map(|row| {
                let seen = rows + row as u64;
                let place = if seen < SAMPLE as u64 { seen } else { random.below(seen + 1) };
                usize::try_from(place).ok().filter(|place| *place < SAMPLE).map(|place| (row, place))
            })
            .collect();
        for (sketch, column) in sketches.iter_mut().zip(&batch.columns) {
            sketch.draw(column, &places);
            sketch.add(column);
        }
        rows += batch.rows() as u64;
    }
    for sketch in &mut sketches {
        sketch.sample.retain(|value| value.is_finite());
        sketch.sample.sort_unstable_by(f64::total_cmp);
    }
    Ok((rows, sketches))
}

impl Sketch {
    fn draw(&mut self, column: &[f64], places: &[(usize, usize)]) {
        for (row, place) in places {
            let Some(value) = column.get(*row) else { continue };
            match self.sample.get_mut(*place) {
                Some(drawn) => *drawn = *value,
                // Places of the first rows come in order.
                None => self.sample.push(*value),
            }
        }
    }

    fn add(&mut self, column: &[f64]) {
        for value in column.iter().filter(|value| !value.is_nan()) {
            self.values += 1;
            if value.is_finite() {
                self.low = self.low.min(*value);
                self.high = self.high.max(*value);
                self.sum += value;
            }
        }
    }
}

/// The second pass.
fn count_all(table: &Table, names: &[&str], grids: &[Grid]) -> Result<Vec<Counts>, TableError> {
    let none = |edges: usize| vec![0.0; edges + 1];
    let mut counts: Vec<Counts> = grids
        .iter()
        .map(|grid| Counts { slots: none(grid.edges.len()), plot: none(grid.plot.as_ref().map_or(0, Vec::len)) })
        .collect();
    for batch in table.numbers(names)? {
        for ((counts, grid), column) in counts.iter_mut().zip(grids).zip(&batch?.columns) {
            add(&mut counts.slots, &count(column, &grid.edges));
            if let Some(edges) = &grid.plot {
                add(&mut counts.plot, &count(column, edges));
            }
        }
    }
    Ok(counts)
}

fn add(to: &mut [f64], counts: &[f64]) {
    to.iter_mut().zip(counts).for_each(|(to, count)| *to += count);
}

/// `integral |F - G|`, with both taken for straight lines between edges.
fn wasserstein(grid: &Grid, sides: &[Sketch; 2], counts: &[Counts; 2]) -> Option<f64> {
    let totals = [0, 1].map(|side: usize| counts[side].slots.iter().sum::<f64>());
    let (low, high) = (sides[0].low.min(sides[1].low), sides[0].high.max(sides[1].high));
    if totals.contains(&0.0) || !low.is_finite() || !high.is_finite() {
        return None;
    }
    let (mut from, mut apart_before, mut sums, mut area) = (low, 0.0_f64, [0.0, 0.0], 0.0);
    for (slot, edge) in grid.edges.iter().chain([&high]).enumerate() {
        for (side, sum) in sums.iter_mut().enumerate() {
            *sum += counts[side].slots.get(slot).copied().unwrap_or(0.0) / totals[side];
        }
        let (to, apart) = (edge.clamp(low, high), (sums[0] - sums[1]).abs());
        area += 0.5 * (apart_before + apart) * (to - from).max(0.0);
        (from, apart_before) = (to.max(from), apart);
    }
    Some(area)
}

/// A small generator of uniform numbers (SplitMix64, Steele, Lea and Flood 2014): the same sample on every machine.
struct Random(u64);

impl Random {
    /// Below `bound`, which is above 0; biased by less than one in 2^32 for tables of today.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(bound)) >> 64) as u64
    }
}
