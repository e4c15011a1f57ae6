//! From rows in the order of time to a profile: grids, counts by station, and what PSI and KS do while nothing is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use takt_artifact::VersionDigest;
use takt_artifact::manifest::FileDigest;
use takt_artifact::profile::{
    ANY_SEGMENT, Bins, Counts, Feature, Grid, MIN_NULL_PANES, NullPanes, Origin, Pane, Profile, SCHEMA, Segment,
};
use takt_stats::grid::edges;

use super::evaluate::{distances, single};
use super::mix::mixed;
use super::pane::SegmentCounts;
use crate::features::{CLASS, IMAGE_LEN, VISION_LEN, VISION_NAMES, Vision};

/// Fewest rows of a reference.
pub const FEWEST_ROWS: usize = 100;

/// Fewest rows with which a product gets a segment of its own.
const FEWEST_OF_SEGMENT: usize = 500;

/// Most products with a segment of their own; the commonest.
const MOST_SEGMENTS: usize = 64;

/// Most stations told apart; the commonest. The others stand together under [`ANY_SEGMENT`].
const MOST_STATIONS: usize = 32;

/// Rows per slot aimed at, between the fewest and most slots: KS from counts is off by at most one slot's share.
const ROWS_PER_SLOT: usize = 5;
const FEWEST_SLOTS: usize = 50;
const MOST_SLOTS: usize = 1000;

/// PSI bins: deciles.
const PSI_BINS: usize = 10;

/// The reference is cut into so many stretches of time, of which every fifth and the one before it are held out: both
/// sides see the whole time.
const STRETCHES: usize = 10;

/// One prediction of the reference.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Product or recipe, where known.
    pub product: Option<String>,
    /// Station, where known.
    pub station: Option<String>,
    /// Features, NaN where not measured.
    pub values: Vision,
    /// Index of the class in the version's labels, where it judges.
    pub class: Option<usize>,
}

/// What the profile is of.
#[derive(Debug, Clone)]
pub struct Reference<'a> {
    /// Model name.
    pub model: &'a str,
    /// Classes in the order of the model's output.
    pub labels: &'a [String],
    /// When, RFC 3339 UTC.
    pub created: String,
    /// Where the rows came from.
    pub origin: Origin,
    /// The version, where the rows are its answers on the line.
    pub version: Option<VersionDigest>,
    /// File of the artefact that gave the answers, where the version is not known yet.
    pub artefact: Option<String>,
}

/// There is too little to make a reference of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "found {found} rows for the drift reference, expected at least {FEWEST_ROWS}; give more images in the order of time, \
     1,000 or more for verdicts that know how the line varies"
)]
pub struct TooFewRows {
    /// Rows that were given.
    pub found: usize,
}

/// Makes a profile of rows in the order of time.
///
/// # Errors
/// Too few rows.
pub fn build(reference: &Reference<'_>, rows: &[Row]) -> Result<Profile, TooFewRows> {
    if rows.len() < FEWEST_ROWS {
        return Err(TooFewRows { found: rows.len() });
    }
    let stations = commonest(rows.iter().filter_map(|row| row.station.as_deref()), MOST_STATIONS, 1);
    let products = commonest(rows.iter().filter_map(|row| row.product.as_deref()), MOST_SEGMENTS, FEWEST_OF_SEGMENT);
    let of = |wanted: &dyn Fn(&Row) -> bool| {
        let rows: Vec<&Row> = rows.iter().filter(|row| wanted(row)).collect();
        segment(&rows, &stations, reference.labels)
    };
    let mut segments = BTreeMap::from([(ANY_SEGMENT.to_owned(), of(&|_| true))]);
    for product in products {
        segments.insert(product.to_owned(), of(&|row| row.product.as_deref() == Some(product)));
    }
    Ok(Profile {
        schema: SCHEMA,
        model: reference.model.to_owned(),
        created: reference.created.clone(),
        origin: reference.origin,
        version: reference.version,
        artefact: reference.artefact.clone(),
        reference_sha256: FileDigest::of_bytes(&canonical(rows)).sha256,
        segments,
    })
}

/// What of a profile can be compared with the answers of the artefact `file`: everything, or all but the figures of the
/// answers where another artefact gave them.
#[must_use]
pub fn comparable(mut profile: Profile, file: &str) -> Profile {
    if profile.artefact.as_deref().is_some_and(|of| of != file) {
        let answers = &VISION_NAMES[IMAGE_LEN..];
        for segment in profile.segments.values_mut() {
            segment.features.retain(|name, _| !answers.contains(&name.as_str()));
        }
    }
    profile
}

/// The names that occur at least `fewest` times, the `most` commonest of them.
fn commonest<'a>(names: impl Iterator<Item = &'a str>, most: usize, fewest: usize) -> BTreeSet<&'a str> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().filter(|(_, count)| *count >= fewest).collect();
    counts.sort_by_key(|&(name, count)| (std::cmp::Reverse(count), name));
    counts.into_iter().take(most).map(|(name, _)| name).collect()
}

fn station_of<'a>(row: &'a Row, stations: &BTreeSet<&str>) -> &'a str {
    row.station.as_deref().filter(|station| stations.contains(station)).unwrap_or(ANY_SEGMENT)
}

fn segment(rows: &[&Row], stations: &BTreeSet<&str>, labels: &[String]) -> Segment {
    let (kept, held_out) = split(rows);
    let mut units: BTreeMap<String, u64> = BTreeMap::new();
    for row in &kept {
        *units.entry(station_of(row, stations).to_owned()).or_default() += 1;
    }
    let numeric = (0..VISION_LEN).filter_map(|index| {
        let values: Vec<f32> = kept.iter().map(|row| row.values[index]).collect();
        let slots = (values.len() / ROWS_PER_SLOT).clamp(FEWEST_SLOTS, MOST_SLOTS);
        let edges = edges(&values, slots, PSI_BINS)?;
        let bins = Bins::Grid(Grid { edges: edges.slots, psi_edges: edges.psi });
        let of = move |row: &Row| Value::Number(row.values[index]);
        Some((VISION_NAMES[index].to_owned(), feature(bins, &kept, &held_out, stations, of)))
    });
    let judged = !labels.is_empty() && kept.iter().any(|row| row.class.is_some());
    let class = judged.then(|| {
        let bins = Bins::Categories(labels.to_vec());
        (CLASS.to_owned(), feature(bins, &kept, &held_out, stations, |row| Value::Class(row.class)))
    });
    Segment { units, features: numeric.chain(class).collect() }
}

/// What a feature reads from a row.
#[derive(Clone, Copy)]
enum Value {
    Number(f32),
    Class(Option<usize>),
}

fn slot(bins: &Bins, value: Value) -> Option<usize> {
    match (bins, value) {
        (Bins::Grid(grid), Value::Number(value)) => grid.slot(value),
        (Bins::Categories(names), Value::Class(class)) => class.filter(|class| *class < names.len()),
        _ => None,
    }
}

fn feature(
    bins: Bins,
    kept: &[&Row],
    held_out: &[Vec<&Row>],
    stations: &BTreeSet<&str>,
    of: impl Fn(&Row) -> Value,
) -> Feature {
    let mut counts: BTreeMap<String, Counts> = BTreeMap::new();
    for row in kept {
        let counts = counts.entry(station_of(row, stations).to_owned()).or_default();
        counts.slots.resize(bins.slots(), 0);
        match (slot(&bins, of(row)), of(row)) {
            (Some(slot), value) => {
                counts.slots[slot] += 1;
                if let Value::Number(value) = value {
                    counts.neg_inf += u64::from(value == f32::NEG_INFINITY);
                    counts.pos_inf += u64::from(value == f32::INFINITY);
                }
            }
            (None, _) => counts.missing += 1,
        }
    }
    let mut feature = Feature { bins, counts, null: None };
    feature.null = null_panes(&feature, held_out, stations, of);
    feature
}

/// Distances of panes that slide over the stretches held out; `None` where these are too short for enough panes.
fn null_panes(
    feature: &Feature,
    held_out: &[Vec<&Row>],
    stations: &BTreeSet<&str>,
    of: impl Fn(&Row) -> Value,
) -> Option<NullPanes> {
    let shortest = held_out.iter().map(Vec::len).min()?;
    let length = shortest / 2;
    let wanted = MIN_NULL_PANES.div_ceil(held_out.len());
    let step = (shortest - length) / wanted;
    if step == 0 {
        return None;
    }
    let (mut psi, mut ks) = (Vec::new(), Vec::new());
    for stretch in held_out {
        for start in (0..=stretch.len() - length).step_by(step) {
            let pane = &stretch[start..start + length];
            let mut current = vec![0.0; feature.bins.slots()];
            let mut mix = SegmentCounts::default();
            for row in pane {
                *mix.units.entry(station_of(row, stations).to_owned()).or_default() += 1;
                if let Some(slot) = slot(&feature.bins, of(row)) {
                    current[slot] += 1.0;
                }
            }
            let reference = mixed(feature, &mix)?;
            let (pane_psi, pane_ks) = distances(&feature.bins, &reference.shares, &current)?;
            psi.push(single(pane_psi));
            ks.push(single(pane_ks));
        }
    }
    Some(NullPanes { pane: Pane::Units(NonZeroU64::new(length as u64)?), psi, ks })
}

/// Six of ten stretches of time for the grid, the other four held out.
fn split<'a>(rows: &[&'a Row]) -> (Vec<&'a Row>, Vec<Vec<&'a Row>>) {
    let (mut kept, mut held_out) = (Vec::new(), Vec::new());
    for stretch in 0..STRETCHES {
        let bound = |stretch: usize| rows.len() * stretch / STRETCHES;
        let rows = &rows[bound(stretch)..bound(stretch + 1)];
        if stretch % 5 < 3 {
            kept.extend_from_slice(rows);
        } else {
            held_out.push(rows.to_vec());
        }
    }
    (kept, held_out)
}

/// The rows as bytes: the same reference data has the same digest.
fn canonical(rows: &[Row]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for row in rows {
        for text in [&row.product, &row.station] {
            let text = text.as_deref().unwrap_or_default();
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        row.values.iter().for_each(|value| bytes.extend(value.to_bits().to_le_bytes()));
        bytes.extend(row.class.map_or(u64::MAX, |class| class as u64).to_le_bytes());
    }
    bytes
}
