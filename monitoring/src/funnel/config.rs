//! What the stages are.

use serde::{Deserialize, Serialize};
use takt_artifact::decision::Verdict;
use takt_artifact::fault::Fault;

use crate::cause::adtributor;
use crate::events::{Arm, Name};
use crate::feedback::{Cell, Counts, Findings};

/// A funnel as a person writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunnelConfig {
    /// The model whose units are counted; not given: all of them together.
    pub model: Option<Name>,
    /// From the widest to the narrowest.
    pub stages: Vec<Stage>,
    /// Hours of the window that is compared with the one before.
    pub window_hours: u32,
    /// Hours after which labels are expected to be there. Stages that look at labels are compared that much later, or each
    /// fresh hour would look like a fall.
    pub label_delay_hours: u32,
    /// Relative change, either way, above which there may be an alarm.
    pub limit: f64,
    /// Probability of an alarm by chance that each comparison may have.
    pub significance: f64,
    /// What is searched for the cause.
    pub dimensions: Vec<Dimension>,
    /// Thresholds of that search.
    pub cause: adtributor::Options,
}

/// A stage: units that meet all of its conditions, and those of the stage that it is a part of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What it is called.
    pub name: Name,
    /// What the model said. Not given: anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// What was found since. Not given: anything, also nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelState>,
    /// The class that was predicted. Not given: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The earlier stage of which it is a share; the one before where not given. The first stage is compared by its
    /// count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of: Option<Name>,
    /// Which change is bad.
    pub bad: Direction,
}

/// What is known of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelState {
    /// Whether it was good, either way.
    Any,
    /// Nothing.
    None,
    /// It was good.
    Good,
    /// It was defective.
    Defect,
}

/// Which way a stage should not go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// A rise is bad.
    Up,
    /// A fall is bad.
    Down,
}

/// What units are told apart by when a cause is sought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// Station.
    Station,
    /// Product.
    Product,
    /// Shift.
    Shift,
    /// Class that was predicted.
    Class,
    /// Version that judged, by the beginning of its digest.
    Version,
}

impl Default for FunnelConfig {
    /// inspected -> flagged -> reviewed -> confirmed.
    fn default() -> Self {
        use Dimension::{Class, Product, Shift, Station, Version};
        let stage = |name: &str, verdict, label, bad| {
            let name = Name::new(name).ok()?;
            Some(Stage { name, verdict, label, class: None, of: None, bad })
        };
        let defect = Some(Verdict::Defect);
        let stages = [
            stage("inspected", None, None, Direction::Down),
            stage("flagged", defect, None, Direction::Up),
            stage("reviewed", defect, Some(LabelState::Any), Direction::Down),
            stage("confirmed", defect, Some(LabelState::Defect), Direction::Down),
        ];
        Self {
            model: None,
            stages: stages.into_iter().flatten().collect(),
            window_hours: 24,
            label_delay_hours: 24,
            limit: 0.08,
            significance: 0.01,
            dimensions: vec![Station, Product, Shift, Class, Version],
            cause: adtributor::Options::default(),
        }
    }
}

/// A funnel that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Funnel {
    pub(super) config: FunnelConfig,
    /// One per stage of the configuration.
    pub(super) stages: Vec<Resolved>,
}

/// A stage with the conditions of all stages that it is a part of.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Resolved {
    verdict: Option<Verdict>,
    label: Option<LabelState>,
    class: Option<String>,
    /// Index of the stage that it is a share of.
    pub(super) of: Option<usize>,
}

/// Everything that is wrong with a funnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("funnel: {}", .faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
pub struct FunnelErrors {
    /// Never empty.
    pub faults: Vec<Fault>,
}

impl TryFrom<FunnelConfig> for Funnel {
    type Error = FunnelErrors;

    fn try_from(config: FunnelConfig) -> Result<Self, FunnelErrors> {
        let mut faults = config.faults();
        let mut stages: Vec<Resolved> = Vec::new();
        for (at, stage) in config.stages.iter().enumerate() {
            let resolved = stage.resolve(at, &config.stages, &stages);
            // A stage that is wrong stands in as what it says itself, so that later ones are checked too.
            stages.push(resolved.unwrap_or_else(|(found, resolved)| {
                faults.extend(found);
                resolved
            }));
        }
        if faults.is_empty() { Ok(Self { config, stages }) } else { Err(FunnelErrors { faults }) }
    }
}

impl FunnelConfig {
    fn faults(&self) -> Vec<Fault> {
        let mut faults: Vec<_> = self.cause.faults().into_iter().map(|fault| fault.under("cause")).collect();
        if self.stages.is_empty() {
            let expected = "at least one stage";
            faults.push(Fault::new("stages", "none", expected, "leave the funnel out, or name what is counted"));
        }
        let hours = [
            ("window_hours", self.window_hours, 1, "24 compares with yesterday"),
            ("label_delay_hours", self.label_delay_hours, 0, "24 leaves a day for labels to come"),
        ];
        for (path, found, least, fix) in hours {
            if !(least..=24 * 90).contains(&found) {
                faults.push(Fault::new(path, found.to_string(), format!("{least} to 2160"), fix));
            }
        }
        if !(self.limit > 0.0 && self.limit.is_finite()) {
            faults.push(Fault::new("limit", self.limit.to_string(), "more than 0", "8 percent is 0.08"));
        }
        if !(self.significance > 0.0 && self.significance < 0.5) {
            let found = self.significance.to_string();
            faults.push(Fault::new("significance", found, "above 0, below 0.5", "0.01 is usual"));
        }
        for (at, dimension) in self.dimensions.iter().enumerate() {
            if self.dimensions.iter().take(at).any(|other| other == dimension) {
                let found = format!("{dimension:?} again").to_lowercase();
                faults.push(Fault::new(format!("dimensions[{at}]"), found, "each dimension once", "remove it"));
            }
        }
        faults
    }
}

impl Stage {
    /// With the conditions of the stage that it is a part of; or what is wrong, and the stage by itself.
    fn resolve(&self, at: usize, stages: &[Self], resolved: &[Resolved]) -> Result<Resolved, (Vec<Fault>, Resolved)> {
        let path = |key: &str| format!("stages[{at}].{key}");
        let earlier = stages.get(..at).unwrap_or_default();
        let mut faults = Vec::new();
        if earlier.iter().any(|other| other.name == self.name) {
            let found = format!("'{}' again", self.name);
            faults.push(Fault::new(path("name"), found, "a name of its own", "rename one of the two"));
        }
        let of = match &self.of {
            None => at.checked_sub(1),
            Some(name) => {
                let found = earlier.iter().position(|other| other.name == *name);
                if found.is_none() {
                    let expected = "the name of an earlier stage";
                    faults.push(Fault::new(path("of"), format!("'{name}'"), expected, "correct it or leave it out"));
                }
                found
            }
        };
        let own = Resolved { verdict: self.verdict, label: self.label, class: self.class.clone(), of };
        let Some(whole) = of.and_then(|of| resolved.get(of)) else {
            return if faults.is_empty() { Ok(own) } else { Err((faults, own)) };
        };
        let mut contradiction = |key: &str| {
            let expected = "a condition that units of the stage before can meet";
            faults.push(Fault::new(path(key), "a condition that no unit meets", expected, "correct it, or `of`"));
        };
        let verdict = both(self.verdict, whole.verdict).unwrap_or_else(|()| {
            contradiction("verdict");
            None
        });
        let class = both(self.class.clone(), whole.class.clone()).unwrap_or_else(|()| {
            contradiction("class");
            None
        });
        let label = match (self.label, whole.label) {
            (Some(LabelState::Good | LabelState::Defect), Some(LabelState::Any)) => self.label,
            (Some(LabelState::Any), Some(LabelState::Good | LabelState::Defect)) => whole.label,
            (own, other) => both(own, other).unwrap_or_else(|()| {
                contradiction("label");
                None
            }),
        };
        if faults.is_empty() { Ok(Resolved { verdict, label, class, of }) } else { Err((faults, own)) }
    }
}

fn both<T: PartialEq>(own: Option<T>, other: Option<T>) -> Result<Option<T>, ()> {
    match (own, other) {
        (Some(own), Some(other)) if own != other => Err(()),
        (own, other) => Ok(own.or(other)),
    }
}

impl Resolved {
    /// Units of a cell in this stage.
    pub(super) fn count(&self, cell: &Cell, counts: &Counts) -> u64 {
        if self.class.as_ref().is_some_and(|class| *class != cell.class) {
            return 0;
        }
        let of = |findings: &Findings| match self.label {
            None => findings.total(),
            Some(LabelState::Any) => findings.labelled(),
            Some(LabelState::None) => findings.unlabelled,
            Some(LabelState::Good) => findings.good,
            Some(LabelState::Defect) => findings.defect,
        };
        match self.verdict {
            Some(verdict) => of(counts.of(verdict)),
            None => of(&counts.passed) + of(&counts.flagged) + of(&counts.uncertain),
        }
    }

    /// Whether its counts grow when labels come.
    pub(super) const fn waits_for_labels(&self) -> bool {
        self.label.is_some()
    }
}

impl Dimension {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Station => "station",
            Self::Product => "product",
            Self::Shift => "shift",
            Self::Class => "class",
            Self::Version => "version",
        }
    }

    /// The element of a cell; `none` where it has no such name.
    pub(super) fn element(self, cell: &Cell) -> String {
        let named = |name: &Option<Name>| name.as_ref().map_or("none", Name::as_str).to_owned();
        match self {
            Self::Station => named(&cell.station),
            Self::Product => named(&cell.product),
            Self::Shift => named(&cell.shift),
            Self::Class => cell.class.clone(),
            Self::Version => cell.version.short(),
        }
    }
}

impl Funnel {
    /// Whether units of a cell are counted: of the model, and seen by a client.
    pub(super) fn counts(&self, cell: &Cell) -> bool {
        cell.arm != Arm::Shadow && self.config.model.as_ref().is_none_or(|model| *model == cell.model)
    }
}
