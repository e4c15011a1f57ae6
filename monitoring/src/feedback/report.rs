//! From counts to rates with bounds.
//!
//! Not every unit is labelled. A rate over all inspected units is therefore the share of a verdict times the share among
//! its labelled units, `x/N = n/N * x/n`: with all n labelled it is one binomial, bounded exactly (Clopper and Pearson
//! 1934); else both factors are, each at half the risk (Bonferroni). That presumes that who is labelled among the flagged
//! does not depend on what they are, as when all are inspected and some findings are late; of passed units it is true only
//! of an audit, a share drawn at random, and without one their rates are unknown.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use takt_artifact::VersionDigest;
use takt_stats::proportion::{Rate, lower_bound, upper_bound};

use super::Config;
use super::cells::{Counts, Cube, Findings, HOUR, hour};
use crate::events::{Arm, Name, UnixMillis};

/// Quality of all models over a time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QualityReport {
    /// Begin of the first hour.
    pub since: UnixMillis,
    /// End of the last hour, the current one.
    pub until: UnixMillis,
    /// Of each bound, one-sided.
    pub confidence: f64,
    /// Share of false rejects that is tolerated.
    pub false_reject_limit: f64,
    /// By name.
    pub models: Vec<ModelQuality>,
}

/// Quality of one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelQuality {
    /// The model.
    pub model: Name,
    /// All verdicts that went to clients: without shadows.
    pub quality: Quality,
    /// Each version in each of its roles.
    pub versions: Vec<VersionQuality>,
    /// By the class that was predicted, without shadows.
    pub classes: BTreeMap<String, Quality>,
    /// By station, without shadows; verdicts without a station are not among them.
    pub stations: BTreeMap<Name, Quality>,
}

/// Quality of one version in one role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VersionQuality {
    /// The version.
    pub version: VersionDigest,
    /// Its role.
    pub arm: Arm,
    /// What it did.
    pub quality: Quality,
}

/// Counts and what they say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Units by verdict and truth.
    pub counts: Counts,
    /// Good parts flagged as defective, of all inspected.
    pub false_rejects: Estimate,
    /// Good parts among those flagged.
    pub false_rejects_of_flagged: Estimate,
    /// Where the false rejects stand against the limit.
    pub standing: Standing,
    /// Defective parts passed as good, of all inspected.
    pub escapes: Estimate,
    /// Right verdicts, of those that are not uncertain.
    pub accuracy: Estimate,
}

/// A rate with bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Estimate {
    /// The best guess and its bounds, each of which holds with the report's confidence.
    Known {
        /// From 0 to 1.
        rate: f64,
        /// Not above the true rate.
        lower: f64,
        /// Not below the true rate.
        upper: f64,
    },
    /// It cannot be said.
    Unknown(Unknown),
}

/// Why a rate cannot be said.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// There was nothing to judge.
    NothingInspected,
    /// No label has come for any of them.
    NoLabels,
    /// The line does not say that it inspects passed parts at random.
    NoAudit,
    /// It says so, and less than half of that share is labelled.
    AuditTooSmall {
        /// Share of passed parts it says it inspects.
        declared: f64,
        /// Share that is labelled.
        found: f64,
    },
}

/// Where a rate stands against a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Its upper bound is not above the limit.
    Within,
    /// Its lower bound is above the limit.
    Above,
    /// The limit lies between the bounds, or nothing is known.
    Undetermined,
}

impl Estimate {
    /// The rate, where it is known.
    #[must_use]
    pub const fn rate(&self) -> Option<f64> {
        match self {
            Self::Known { rate, .. } => Some(*rate),
            Self::Unknown(_) => None,
        }
    }

    /// Where it stands against `limit`.
    #[must_use]
    pub fn standing(&self, limit: f64) -> Standing {
        match self {
            Self::Known { upper, .. } if *upper <= limit => Standing::Within,
            Self::Known { lower, .. } if *lower > limit => Standing::Above,
            _ => Standing::Undetermined,
        }
    }
}

/// Quality in the hours of `cube` that end with the current one.
pub(super) fn report(cube: &Cube<'_>, config: &Config, now: UnixMillis, window: Duration) -> QualityReport {
    let until = hour(now).saturating_add(1);
    let hours = u64::try_from(window.as_millis().div_ceil(u128::from(HOUR))).unwrap_or(u64::MAX).max(1);
    let since = until.saturating_sub(hours);
    let mut models: BTreeMap<&Name, Tally<'_>> = BTreeMap::new();
    for (_, cell, counts) in cube.rows(since, until) {
        let tally = models.entry(&cell.model).or_default();
        tally.versions.entry((cell.version, cell.arm)).or_default().add(counts);
        if cell.arm == Arm::Shadow {
            continue;
        }
        tally.all.add(counts);
        tally.classes.entry(&cell.class).or_default().add(counts);
        if let Some(station) = &cell.station {
            tally.stations.entry(station).or_default().add(counts);
        }
    }
    let quality = |counts: Counts| Quality::of(counts, config);
    let models = models.into_iter().map(|(model, tally)| ModelQuality {
        model: model.clone(),
        quality: quality(tally.all),
        versions: tally
            .versions
            .into_iter()
            .map(|((version, arm), counts)| VersionQuality { version, arm, quality: quality(counts) })
            .collect(),
        classes: tally.classes.into_iter().map(|(class, counts)| (class.to_owned(), quality(counts))).collect(),
        stations: tally.stations.into_iter().map(|(station, counts)| (station.clone(), quality(counts))).collect(),
    });
    QualityReport {
        since: UnixMillis(since.saturating_mul(HOUR)),
        until: UnixMillis(until.saturating_mul(HOUR)),
        confidence: config.confidence,
        false_reject_limit: config.false_reject_limit,
        models: models.collect(),
    }
}

#[derive(Debug, Default)]
struct Tally<'a> {
    all: Counts,
    versions: BTreeMap<(VersionDigest, Arm), Counts>,
    classes: BTreeMap<&'a str, Counts>,
    stations: BTreeMap<&'a Name, Counts>,
}

impl Quality {
    pub(super) fn of(counts: Counts, config: &Config) -> Self {
        let Counts { passed, flagged, .. } = &counts;
        let (inspected, decided) = (counts.inspected(), passed.total() + flagged.total());
        let audit = audited(passed, config.audit_share);
        let false_rejects = share(flagged, flagged.good, inspected, config.confidence);
        let escapes =
            audit.map_or_else(Estimate::Unknown, |()| share(passed, passed.defect, inspected, config.confidence));
        let accuracy = audit.map_or_else(Estimate::Unknown, |()| {
            // Wrong in one of two ways; each bounded at half the risk.
            let confidence = halved(config.confidence);
            let wrong = [(flagged, flagged.good), (passed, passed.defect)];
            let [rejects, escapes] = wrong.map(|(findings, hits)| share(findings, hits, decided, confidence));
            right(rejects, escapes)
        });
        Self {
            counts,
            false_rejects,
            false_rejects_of_flagged: share(flagged, flagged.good, flagged.total(), config.confidence),
            standing: false_rejects.standing(config.false_reject_limit),
            escapes,
            accuracy,
        }
    }
}

/// Whether enough passed units are inspected for their labels to speak for all of them.
fn audited(passed: &Findings, declared: Option<f64>) -> Result<(), Unknown> {
    let declared = declared.ok_or(Unknown::NoAudit)?;
    if passed.total() == 0 {
        return Ok(());
    }
    let found = passed.labelled() as f64 / passed.total() as f64;
    // Half: labels come late, and a share drawn at random is not met exactly.
    if found < declared / 2.0 { Err(Unknown::AuditTooSmall { declared, found }) } else { Ok(()) }
}

/// Units of a verdict of which `hits` are known to be of one kind, as a share of `whole` units.
fn share(findings: &Findings, hits: u64, whole: u64, confidence: f64) -> Estimate {
    let (total, labelled) = (findings.total(), findings.labelled());
    let Some(of_verdict) = Rate::new(total, whole) else {
        return Estimate::Unknown(Unknown::NothingInspected);
    };
    if total == 0 {
        return Estimate::Known { rate: 0.0, lower: 0.0, upper: upper_bound(of_verdict, confidence) };
    }
    let Some(of_labelled) = Rate::new(hits, labelled) else {
        return Estimate::Unknown(Unknown::NoLabels);
    };
    match Rate::new(hits, whole).filter(|_| labelled == total) {
        Some(exact) => Estimate::Known {
            rate: exact.value(),
            lower: lower_bound(exact, confidence),
            upper: upper_bound(exact, confidence),
        },
        None if total == whole => Estimate::Known {
            rate: of_labelled.value(),
            lower: lower_bound(of_labelled, confidence),
            upper: upper_bound(of_labelled, confidence),
        },
        None => {
            let each = halved(confidence);
            Estimate::Known {
                rate: of_verdict.value() * of_labelled.value(),
                lower: lower_bound(of_verdict, each) * lower_bound(of_labelled, each),
                upper: upper_bound(of_verdict, each) * upper_bound(of_labelled, each),
            }
        }
    }
}

fn right(rejects: Estimate, escapes: Estimate) -> Estimate {
    match (rejects, escapes) {
        (Estimate::Known { rate: a, lower: b, upper: c }, Estimate::Known { rate: x, lower: y, upper: z }) => {
            Estimate::Known { rate: 1.0 - a - x, lower: (1.0 - c - z).max(0.0), upper: 1.0 - b - y }
        }
        (Estimate::Unknown(why), _) | (_, Estimate::Unknown(why)) => Estimate::Unknown(why),
    }
}

/// The confidence of each of two bounds that hold together with `confidence`.
fn halved(confidence: f64) -> f64 {
    1.0 - (1.0 - confidence) / 2.0
}
