//! Families of what labels say of verdicts, and of the funnel.

use takt_monitoring::feedback::{Estimate, Quality};
use takt_monitoring::funnel::{Against, Compared, FunnelReport};

use super::families::{Families, Family};
use crate::monitor::report::QualitySection;

/// Rates with bounds, labels, funnels, and what is kept of it all.
pub(super) fn quality(families: &mut Families, section: &QualitySection) {
    let mut family = families.counter("takt_labels_total", "Labels taken, by what became of them");
    for (result, count) in
        [("new", section.labels.added), ("revised", section.labels.revised), ("known", section.labels.known)]
    {
        family.sample(&[("result", result)], count as f64);
    }
    rates(families, section);
    funnels(families, &section.funnels);
    let kept =
        [("predictions", section.prediction_log), ("feedback", section.feedback_store.map(|store| store.segments))];
    let kept: Vec<_> = kept.into_iter().filter_map(|(store, stats)| Some((store, stats?))).collect();
    let mut family = families.counter("takt_store_records_total", "Records taken by a store in the state directory");
    kept.iter().for_each(|(store, stats)| family.sample(&[("store", store)], stats.records as f64));
    let mut family =
        families.counter("takt_store_lost_total", "Records, or captured images, that a store could not write");
    kept.iter().for_each(|(store, stats)| family.sample(&[("store", store)], stats.lost as f64));
    if let Some(images) = &section.captured_images {
        family.sample(&[("store", "images")], images.lost as f64);
    }
    let mut family = families.gauge("takt_store_bytes", "Bytes that a store takes in the state directory");
    kept.iter().for_each(|(store, stats)| family.sample(&[("store", store)], stats.bytes as f64));
    let mut family = families.gauge("takt_captured_images", "Images kept as worth a look, by reason");
    for (reason, images) in section.captured_images.iter().flat_map(|stats| &stats.reasons) {
        family.sample(&[("reason", reason.label())], *images as f64);
    }
    families
        .gauge("takt_clock_synchronised", "1 while the clock is known to be right; else week over week is off")
        .sample(&[], f64::from(u8::from(section.clock_synchronised)));
}

/// One family per rate and bound; a rate that is not known has no sample.
fn rates(families: &mut Families, section: &QualitySection) {
    type Of = fn(&Quality) -> Estimate;
    let estimates: [(&str, &str, Of); 3] = [
        ("takt_false_reject", "Good parts flagged as defective, of all inspected", |q| q.false_rejects),
        (
            "takt_escape",
            "Defective parts passed as good, of all inspected; known only where passed parts are audited",
            |q| q.escapes,
        ),
        ("takt_accuracy", "Right verdicts, of those that are not uncertain", |q| q.accuracy),
    ];
    let models = || section.rates.iter().flat_map(|report| &report.models);
    for (name, help, of) in estimates {
        type Part = fn(Estimate) -> Option<f64>;
        let parts: [(&str, Part); 3] = [
            ("ratio", |e| e.rate()),
            ("lower_bound", |e| bounds(e).map(|b| b.0)),
            ("upper_bound", |e| bounds(e).map(|b| b.1)),
        ];
        for (suffix, part) in parts {
            let mut family = families.gauge(&format!("{name}_{suffix}"), help);
            for model in models() {
                sample(&mut family, &[("model", &model.model), ("station", "*")], part(of(&model.quality)));
                for (station, quality) in &model.stations {
                    sample(&mut family, &[("model", &model.model), ("station", station)], part(of(quality)));
                }
            }
        }
    }
    let mut family = families.gauge("takt_false_reject_limit", "Share of false rejects that is tolerated");
    if let Some(report) = &section.rates {
        family.sample(&[], report.false_reject_limit);
    }
    let mut family = families.gauge("takt_inspected_units", "Units of the quality window, by verdict");
    for model in models() {
        let counts = &model.quality.counts;
        let of = [("good", &counts.passed), ("defect", &counts.flagged), ("uncertain", &counts.uncertain)];
        for (verdict, findings) in of {
            family.sample(&[("model", &model.model), ("verdict", verdict)], findings.total() as f64);
        }
    }
}

fn bounds(estimate: Estimate) -> Option<(f64, f64)> {
    match estimate {
        Estimate::Known { lower, upper, .. } => Some((lower, upper)),
        Estimate::Unknown(_) => None,
    }
}

fn sample(family: &mut Family<'_>, labels: &[(&str, &str)], value: Option<f64>) {
    if let Some(value) = value {
        family.sample(labels, value);
    }
}

fn funnels(families: &mut Families, funnels: &[FunnelReport]) {
    let numbered: Vec<_> = funnels.iter().enumerate().map(|(at, funnel)| (at.to_string(), funnel)).collect();
    let mut family = families.gauge("takt_funnel_units", "Units that reached a stage in the last full window");
    for (at, funnel) in &numbered {
        for stage in &funnel.stages {
            family.sample(&[("funnel", at), ("stage", &stage.name)], stage.level.units as f64);
        }
    }
    let mut changes = Vec::new();
    for (at, funnel) in &numbered {
        for stage in &funnel.stages {
            for comparison in &stage.comparisons {
                if let Compared::Change(change) = &comparison.compared {
                    changes.push((at, &stage.name, against(comparison.against), change));
                }
            }
        }
    }
    let mut family = families.gauge("takt_funnel_change_ratio", "Relative change of a stage: -0.08 is a fall of 8 %");
    for (at, stage, against, change) in &changes {
        sample(&mut family, &[("funnel", at), ("stage", stage), ("against", against)], change.relative);
    }
    let mut family =
        families.gauge("takt_funnel_alarm", "1 where a stage changed for the worse, beyond its limit and chance");
    for (at, stage, against, change) in &changes {
        let alarm = f64::from(u8::from(change.alarm));
        family.sample(&[("funnel", at), ("stage", stage), ("against", against)], alarm);
    }
    let mut family = families
        .gauge("takt_funnel_cause_surprise", "Where a change lies: surprise of a dimension, the greatest first");
    for (at, stage, against, change) in &changes {
        for (rank, cause) in change.causes.iter().enumerate() {
            let elements: Vec<&str> = cause.elements.iter().map(|element| element.element.as_str()).collect();
            let labels = [
                ("funnel", at.as_str()),
                ("stage", stage),
                ("against", against),
                ("rank", &(rank + 1).to_string()),
                ("dimension", &cause.dimension),
                ("elements", &elements.join(",")),
            ];
            family.sample(&labels, cause.surprise);
        }
    }
}

const fn against(against: Against) -> &'static str {
    match against {
        Against::Week => "week",
        Against::Window => "window",
    }
}
