//! The table `[monitor]` of `model.toml`.

use std::time::Duration;

use takt_monitoring::drift::Limits;
use takt_monitoring::features::{CLASS, VISION_NAMES};

use super::reader::{Entry, Section};
use crate::monitor::MonitorConfig;
use crate::repository::fault::closest;

/// Longest time that a reference may be learned over: a month.
const LONGEST_HOURS: u64 = 31 * 24;
const MOST_UNITS: u64 = 1_000_000_000;
const MOST_IMAGES: u64 = 1_000_000;

/// Reads `[monitor]`.
pub(super) fn monitor(mut table: Section<'_>, config: &mut MonitorConfig) {
    if let Some(enabled) = table.take("enabled").and_then(Entry::boolean) {
        config.enabled = enabled;
    }
    limits(&mut table, &mut config.limits);
    if let Some(images) = table.take("images_per_second").and_then(|entry| entry.integer(0..=MOST_IMAGES)) {
        config.images_per_second = u32::try_from(images).unwrap_or(u32::MAX);
    }
    let mut learn = table.section("learn");
    if let Some(units) = learn.take("units").and_then(|entry| entry.integer(100..=MOST_UNITS)) {
        config.learn.units = units;
    }
    if let Some(hours) = learn.take("hours").and_then(|entry| entry.integer(0..=LONGEST_HOURS)) {
        config.learn.time = Duration::from_secs(hours * 3600);
    }
    if let Some(units) = learn.take("units_per_station").and_then(|entry| entry.integer(0..=MOST_UNITS)) {
        config.learn.units_per_station = units;
    }
    learn.finish();
    let mut features = table.section("features");
    for entry in features.rest() {
        let name = entry.name().to_owned();
        let known = || VISION_NAMES.into_iter().chain([CLASS]);
        if !known().any(|known| known == name) {
            let expected = format!("one of {}", known().collect::<Vec<_>>().join(", "));
            let fix = closest(&name, known()).map(|known| format!("did you mean '{known}'?")).unwrap_or_default();
            entry.refuse_as(format!("the unknown feature '{name}'"), &expected, &fix);
            continue;
        }
        let mut own = config.limits;
        if let Some(mut table) = entry.table() {
            limits(&mut table, &mut own);
            table.finish();
            config.features.insert(name, own);
        }
    }
    table.finish();
}

fn limits(table: &mut Section<'_>, limits: &mut Limits) {
    if let Some(psi) = table.take("psi_limit").and_then(Entry::parse::<f64>) {
        if psi <= 0.0 || !psi.is_finite() {
            table.fault("psi_limit", &psi.to_string(), "more than 0, usually 0.1 to 0.25", "");
        }
        limits.psi = psi;
    }
    if let Some(ks) = table.take("ks_limit").and_then(Entry::parse::<f64>) {
        if !(ks > 0.0 && ks < 1.0) {
            table.fault("ks_limit", &ks.to_string(), "between 0 and 1", "");
        }
        limits.ks = ks;
    }
}
