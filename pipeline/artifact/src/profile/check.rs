//! Whether a profile makes sense.

use std::collections::{BTreeMap, BTreeSet};

use super::{Bins, Counts, Feature, Grid, NullPanes, Origin, Profile, Segment};
use crate::fault::{Fault, choices};
use crate::names::{NAME_RULE, is_name, is_sha256, is_utc_time};

/// Most segments, so that a monitor's memory is bounded.
const MAX_SEGMENTS: usize = 256;
/// Most edges of a grid; 1,000 bound the error of KS at one per mille already.
const MAX_EDGES: usize = 10_000;

/// All faults of a profile.
pub(super) fn profile(p: &Profile) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !is_name(&p.model) {
        faults.push(Fault::new("model", format!("{:?}", p.model), NAME_RULE, "name the model"));
    }
    if !is_utc_time(&p.created) {
        faults.push(Fault::new(
            "created",
            format!("{:?}", p.created),
            "a date and time of RFC 3339 in UTC such as 2026-03-01T08:30:00Z",
            "write the time that way",
        ));
    }
    if p.origin == Origin::Learned && p.version.is_none() {
        faults.push(Fault::new(
            "version",
            "nothing",
            "the digest of the version, as the reference was learned from its outputs",
            "add it",
        ));
    }
    if !is_sha256(&p.reference_sha256) {
        faults.push(Fault::new(
            "reference_sha256",
            format!("{:?}", p.reference_sha256),
            "64 lower-case hexadecimal digits",
            "write the sha256 of the reference data",
        ));
    }
    if !(1..=MAX_SEGMENTS).contains(&p.segments.len()) {
        faults.push(Fault::new(
            "segments",
            p.segments.len().to_string(),
            format!("1 to {MAX_SEGMENTS} segments"),
            "put rare products together under \"*\"",
        ));
    }
    for (name, s) in &p.segments {
        let path = format!("segments[{name:?}]");
        faults.extend(segment(s).into_iter().map(|f| f.under(&path)));
    }
    faults
}

fn segment(s: &Segment) -> Vec<Fault> {
    let mut faults = Vec::new();
    if s.units.values().all(|&n| n == 0) {
        faults.push(Fault::new(
            "units",
            "no units",
            "at least one station with at least one unit",
            "a reference needs data",
        ));
    }
    for (name, f) in &s.features {
        let path = format!("features[{name:?}]");
        if !is_name(name) {
            faults.push(Fault::new(&path, format!("{name:?}"), NAME_RULE, "rename the feature"));
        }
        let found = feature(f, &s.units);
        faults.extend(found.into_iter().map(|f| f.under(&path)));
    }
    faults
}

fn feature(f: &Feature, stations: &BTreeMap<String, u64>) -> Vec<Fault> {
    let mut faults = match &f.bins {
        Bins::Grid(g) => grid(g).into_iter().map(|f| f.under("bins.grid")).collect(),
        Bins::Categories(names) => categories(names),
    };
    if f.counts.values().all(|c| c.total() == 0) {
        faults.push(Fault::new(
            "counts",
            "no values",
            "at least one value that is not missing",
            "leave the feature out",
        ));
    }
    for (station, c) in &f.counts {
        let path = format!("counts[{station:?}]");
        if !stations.contains_key(station) {
            faults.push(Fault::new(
                &path,
                format!("station '{station}'"),
                format!("a station of `units`: {}", choices(stations.keys().map(String::as_str))),
                "add its units or correct the name",
            ));
        }
        faults.extend(counts(c, &f.bins).into_iter().map(|f| f.under(&path)));
    }
    if let Some(n) = &f.null {
        faults.extend(null_panes(n).into_iter().map(|f| f.under("null")));
    }
    faults
}

fn grid(g: &Grid) -> Vec<Fault> {
    let Grid { edges, psi_edges } = g;
    let mut faults = Vec::new();
    if !(1..=MAX_EDGES).contains(&edges.len()) {
        faults.push(Fault::new(
            "edges",
            format!("{} edges", edges.len()),
            format!("1 to {MAX_EDGES}"),
            "take quantiles of the reference, 1000 by default",
        ));
    }
    if let Some(i) = edges.iter().position(|edge| !edge.is_finite()) {
        faults.push(Fault::new(
            format!("edges[{i}]"),
            edges[i].to_string(),
            "a finite number",
            "infinities belong to the end slots",
        ));
    } else if let Some(i) = edges.windows(2).position(|pair| pair[0] >= pair[1]) {
        faults.push(Fault::new(
            format!("edges[{}]", i + 1),
            format!("{} after {}", edges[i + 1], edges[i]),
            "increasing edges",
            "drop repeated quantiles",
        ));
    }
    let increasing = psi_edges.windows(2).all(|pair| pair[0] < pair[1]);
    let last_inside = psi_edges.last().is_some_and(|&i| i < edges.len());
    if !increasing || !last_inside {
        faults.push(Fault::new(
            "psi_edges",
            format!("{psi_edges:?}"),
            format!("at least one index into the {} edges, increasing", edges.len()),
            "name the edges that bound the PSI bins",
        ));
    }
    faults
}

fn categories(names: &[String]) -> Vec<Fault> {
    let mut seen = BTreeSet::new();
    let sound = names.iter().all(|name| !name.is_empty() && seen.insert(name));
    if sound && !names.is_empty() {
        return Vec::new();
    }
    vec![Fault::new(
        "bins.categories",
        choices(names.iter().map(String::as_str)),
        "at least one class, each named and named once",
        "take the labels of the version",
    )]
}

fn counts(c: &Counts, bins: &Bins) -> Vec<Fault> {
    let mut faults = Vec::new();
    if c.slots.len() != bins.slots() {
        faults.push(Fault::new(
            "slots",
            format!("{} counts", c.slots.len()),
            format!("{}, one per slot", bins.slots()),
            "count again over these bins",
        ));
    }
    let end = |slot: Option<&u64>| match bins {
        Bins::Grid(_) => slot.copied().unwrap_or(0),
        Bins::Categories(_) => 0,
    };
    for (key, infinite, slot) in
        [("neg_inf", c.neg_inf, end(c.slots.first())), ("pos_inf", c.pos_inf, end(c.slots.last()))]
    {
        if infinite > slot {
            faults.push(Fault::new(
                key,
                infinite.to_string(),
                format!("at most {slot}, as infinities count in the end slot too"),
                "count again over these bins",
            ));
        }
    }
    faults
}

fn null_panes(n: &NullPanes) -> Vec<Fault> {
    let mut faults = Vec::new();
    if n.psi.len() != n.ks.len() {
        faults.push(Fault::new(
            "ks",
            format!("{} panes", n.ks.len()),
            format!("{}, as for psi", n.psi.len()),
            "give both figures for every pane",
        ));
    }
    if let Some(i) = n.psi.iter().position(|psi| !(psi.is_finite() && *psi >= 0.0)) {
        faults.push(Fault::new(
            format!("psi[{i}]"),
            n.psi[i].to_string(),
            "a finite number of at least 0",
            "compute the pane again",
        ));
    }
    if let Some(i) = n.ks.iter().position(|ks| !(0.0..=1.0).contains(ks)) {
        faults.push(Fault::new(
            format!("ks[{i}]"),
            n.ks[i].to_string(),
            "a distance from 0 to 1",
            "compute the pane again",
        ));
    }
    faults
}
