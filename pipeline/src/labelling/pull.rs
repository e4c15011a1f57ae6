//! Captured images as a folder to be labelled.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use takt_artifact::calendar::rfc3339;
use takt_monitoring::capture::{Captured, Reason, list, read};

use super::error::LabellingError;
use crate::data::DataError;
use crate::data::csv::Csv;
use crate::file;
use crate::progress::Progress;

/// Columns of the label file. The first two are those of every label file; `suggested` is what the model said.
const COLUMNS: [&str; 12] = [
    "file",
    "label",
    "suggested",
    "score",
    "verdict",
    "reason",
    "station",
    "product",
    "part_id",
    "model",
    "time",
    "prediction_id",
];

/// Where images lie below a server's state directory, and below `monitor` of that.
const BELOW: [&str; 2] = ["monitor/images", "images"];

/// What is pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pull {
    /// Kept for one of these reasons; any where none is given.
    pub reasons: Vec<Reason>,
    /// Of this model.
    pub model: Option<String>,
}

/// What was pulled.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pulled {
    /// Images that are new in the folder.
    pub added: usize,
    /// Images that it had already; their rows are as they were.
    pub known: usize,
    /// Images of other reasons or models.
    pub left_out: usize,
    /// Images that could not be read, each with why.
    pub unreadable: Vec<String>,
}

/// Copies the captured images of `from`, a server's state directory or its folder of images, to `out` and adds a row for
/// each to `out/labels.csv`, with an empty label and what the model suggests. Rows that are there are not touched, so what
/// was labelled stays. Nothing where `stop` was set meanwhile; what was copied by then stays.
///
/// # Errors
/// No captured images, a folder that is another's, or files that cannot be written.
pub fn pull(
    from: &Path,
    out: &Path,
    wanted: &Pull,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<Option<Pulled>, LabellingError> {
    let store = find(from)?;
    let mut labels = open(out)?;
    let (captured, unreadable) = list(&store)?;
    if captured.is_empty() && unreadable.is_empty() {
        return Err(LabellingError::NoImages { path: from.to_owned() });
    }
    let told = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let unreadable = unreadable.iter().map(|image| told(&image.path, &image.error)).collect();
    let mut pulled = Pulled { unreadable, ..Pulled::default() };
    let images = out.join("images");
    fs::create_dir_all(&images).map_err(written(&images))?;
    let there: BTreeSet<String> = labels.rows.iter().filter_map(|(_, row)| row.first().cloned()).collect();
    progress.begin(captured.len() as u64);
    for image in &captured {
        if stop.load(Ordering::Relaxed) {
            labels.write(&out.join("labels.csv"))?;
            return Ok(None);
        }
        progress.advance();
        let name = format!("images/{}", image.image.file);
        if !wanted.takes(image) {
            pulled.left_out += 1;
        } else if there.contains(&name) {
            pulled.known += 1;
        } else {
            match read(&store, image) {
                Ok(bytes) => {
                    let path = out.join(&name);
                    file::replace(&path, &bytes).map_err(written(&path))?;
                    labels.rows.push((0, row(name, image)));
                    pulled.added += 1;
                }
                // Its place may have been needed since it was listed.
                Err(error) => pulled.unreadable.push(told(&store.join(&image.image.file), &error)),
            }
        }
    }
    labels.write(&out.join("labels.csv"))?;
    Ok(Some(pulled))
}

impl Pull {
    fn takes(&self, image: &Captured) -> bool {
        (self.reasons.is_empty() || self.reasons.contains(&image.reason))
            && self.model.as_ref().is_none_or(|model| image.outcome.model.as_str() == model)
    }
}

fn find(from: &Path) -> Result<PathBuf, LabellingError> {
    let below = BELOW.into_iter().map(|below| from.join(below)).find(|folder| folder.is_dir());
    let folder = below.or_else(|| from.is_dir().then(|| from.to_owned()));
    folder.ok_or_else(|| LabellingError::NoImages { path: from.to_owned() })
}

/// The label file of a folder that was pulled into, or a new one.
fn open(out: &Path) -> Result<Csv, LabellingError> {
    let header: Vec<String> = COLUMNS.map(str::to_owned).into();
    let labels = out.join("labels.csv");
    if labels.is_file() {
        let csv = Csv::read_even(&labels)?;
        // Columns may have been added behind ours.
        if csv.header.starts_with(&header) {
            return Ok(csv);
        }
    } else if fs::read_dir(out).map_or(true, |mut entries| entries.next().is_none()) {
        return Ok(Csv { separator: b',', header, rows: Vec::new() });
    }
    Err(LabellingError::NotPulled { path: out.to_owned(), expected: COLUMNS.join(",") })
}

fn row(name: String, image: &Captured) -> Vec<String> {
    let outcome = &image.outcome;
    let decision = outcome.decision.as_ref();
    let text =
        |name: &Option<takt_monitoring::events::Name>| name.as_ref().map(ToString::to_string).unwrap_or_default();
    let verdict = decision.and_then(|decision| Some(serde_json::to_value(decision.verdict).ok()?.as_str()?.to_owned()));
    vec![
        name,
        String::new(),
        decision.map(|decision| decision.label.clone()).unwrap_or_default(),
        decision.map(|decision| decision.score.to_string()).unwrap_or_default(),
        verdict.unwrap_or_default(),
        image.reason.label().to_owned(),
        text(&outcome.station),
        text(&outcome.product),
        text(&outcome.part_id),
        outcome.model.to_string(),
        rfc3339(outcome.routed_at.0 / 1000),
        outcome.prediction_id.to_string(),
    ]
}

fn written(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    let path = path.to_owned();
    move |source| DataError::Write { path, source }
}
