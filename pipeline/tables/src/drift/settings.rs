//! What to compare, how, and where drift begins.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use takt_stats::psi::ZeroRule;

/// Settings of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Which columns; all that both tables have where none is named.
    pub columns: Vec<String>,
    /// How numbers are binned.
    pub binning: Binning,
    /// Where drift begins.
    pub limits: Limits,
    /// The same for single columns.
    pub column: BTreeMap<String, ColumnLimits>,
    /// Probability of a wrong verdict on either side where the truth lies exactly on a limit.
    pub error: f64,
    /// Up to so many rows on either side figures are exact.
    pub exact_rows: u64,
}

/// How numbers are binned for PSI and the Jensen-Shannon distance; there is no common PSI, and these differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Binning {
    /// Deciles of the reference; an empty bin counts as a share of 1e-4. One outlier moves nothing.
    #[default]
    ReferenceQuantile,
    /// Evidently's: bins of equal width over both sides by Sturges' rule, and its rule for empty bins.
    SturgesUnion,
}

/// Figures beyond which there is drift.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Of PSI.
    pub psi: f64,
    /// Of the KS distance.
    pub ks: f64,
    /// Of the rise in the share of missing values.
    pub missing: f64,
}

/// Limits of one column, where they differ.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColumnLimits {
    /// Of PSI.
    pub psi: Option<f64>,
    /// Of the KS distance.
    pub ks: Option<f64>,
    /// Of the rise in the share of missing values.
    pub missing: Option<f64>,
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// Not TOML, or a key that is unknown or of another type.
    #[error("{0}")]
    Form(#[from] toml::de::Error),
    /// Numbers that make no sense; all of them.
    #[error("{}", .0.join("; "))]
    Values(Vec<String>),
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            columns: Vec::new(),
            binning: Binning::default(),
            limits: Limits::default(),
            column: BTreeMap::new(),
            error: takt_stats::verdict::ERROR,
            exact_rows: 1_000_000,
        }
    }
}

impl Default for Limits {
    /// The limits at which the server's monitor alerts.
    fn default() -> Self {
        Self { psi: 0.15, ks: 0.22, missing: 0.05 }
    }
}

impl Settings {
    /// Reads settings from TOML.
    ///
    /// # Errors
    /// The first key that is unknown or of another type, with its line; else all numbers that make no sense.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings: Self = toml::from_str(text)?;
        let faults = settings.faults();
        if faults.is_empty() { Ok(settings) } else { Err(SettingsError::Values(faults)) }
    }

    fn faults(&self) -> Vec<String> {
        let Limits { psi, ks, missing } = self.limits;
        let mut limits = vec![
            ("limits.psi".to_owned(), psi, f64::MAX),
            ("limits.ks".to_owned(), ks, 1.0),
            ("limits.missing".to_owned(), missing, 1.0),
        ];
        for (name, of) in &self.column {
            let mut add = |key: &str, value: Option<f64>, most| {
                limits.extend(value.map(|value| (format!("column.{name}.{key}"), value, most)));
            };
            add("psi", of.psi, f64::MAX);
            add("ks", of.ks, 1.0);
            add("missing", of.missing, 1.0);
        }
        let wrong = limits.into_iter().filter(|(_, value, most)| !(0.0..=*most).contains(value));
        let mut faults: Vec<String> = wrong
            .map(|(key, value, most)| {
                let to = if most == 1.0 { " to 1" } else { " or more" };
                format!("{key} is {value}, expected a number from 0{to}")
            })
            .collect();
        if !(self.error > 0.0 && self.error < 0.5) {
            faults.push(format!("error is {}, expected a probability above 0 and below 0.5", self.error));
        }
        faults
    }

    pub(super) fn limits_of(&self, column: &str) -> Limits {
        let of = self.column.get(column).copied().unwrap_or_default();
        Limits {
            psi: of.psi.unwrap_or(self.limits.psi),
            ks: of.ks.unwrap_or(self.limits.ks),
            missing: of.missing.unwrap_or(self.limits.missing),
        }
    }
}

impl Binning {
    pub(super) fn zero_rule(self) -> ZeroRule {
        match self {
            Self::ReferenceQuantile => ZeroRule::default(),
            Self::SturgesUnion => ZeroRule::Evidently,
        }
    }
}
