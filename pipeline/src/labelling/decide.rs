//! What an expert decides, recorded with the labelling guide's new version.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use serde::Serialize;
use takt_artifact::fault::closest;
use takt_monitoring::agreement::{Ratings, Rulings};
use takt_monitoring::events::{Name, UnixMillis};

use super::error::LabellingError;
use crate::data::csv::Csv;
use crate::data::{DataError, Faults};
use crate::file;

/// What was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Decisions that are new.
    pub recorded: usize,
    /// Decisions that the newest ruling about their item says already.
    pub known: usize,
    /// Version of the labelling guide in force from now on.
    pub guide: u32,
}

/// Reads the rulings; none where the file is not there yet.
///
/// # Errors
/// A file that cannot be read or makes no sense.
pub fn open(path: &Path) -> Result<Rulings, LabellingError> {
    match fs::read(path) {
        Ok(bytes) => Rulings::parse(&bytes).map_err(|source| LabellingError::Rulings { path: path.to_owned(), source }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Rulings::default()),
        Err(error) => Err(DataError::io(path)(error).into()),
    }
}

/// Records the decisions of a CSV file (columns item and class) in one sitting of `expert` and writes the rulings to `to`.
/// What is decided again as it was changes nothing.
///
/// # Errors
/// Decisions about items that nobody rated, all at once; files that cannot be read or written.
pub fn decide(
    decisions: &Path,
    ratings: &Ratings,
    rulings: &mut Rulings,
    expert: &Name,
    reason: &str,
    at: UnixMillis,
    to: &Path,
) -> Result<Decided, LabellingError> {
    let csv = Csv::read_even(decisions)?;
    let [item, class] = csv.columns(decisions, ["item", "class"])?;
    let (mut new, mut known, mut faults, mut seen) = (Vec::new(), 0, Vec::new(), BTreeSet::new());
    for (line, fields) in &csv.rows {
        let (Some(item), Some(class)) = (fields.get(item), fields.get(class)) else { continue };
        if let Some(fault) = fault(item, class, ratings) {
            faults.push(format!("line {line}: {fault}"));
        } else if !seen.insert(item) {
            faults.push(format!("line {line}: '{item}' is decided twice, expected once; remove one of the rows"));
        } else if rulings.rulings().iter().rev().find(|ruling| ruling.item == *item).is_some_and(|r| r.class == *class)
        {
            known += 1;
        } else {
            new.push((item.clone(), class.clone()));
        }
    }
    if !faults.is_empty() {
        return Err(DataError::Faults { path: decisions.to_owned(), faults: Faults(faults) }.into());
    }
    let recorded = new.len();
    let guide = rulings.record(expert, at, reason, new);
    let bytes = rulings.to_bytes().map_err(|source| LabellingError::Rulings { path: to.to_owned(), source })?;
    file::replace(to, &bytes).map_err(|source| DataError::Write { path: to.to_owned(), source })?;
    Ok(Decided { recorded, known, guide })
}

fn fault(item: &str, class: &str, ratings: &Ratings) -> Option<String> {
    if !ratings.items().iter().any(|known| known == item) {
        let like = closest(item, ratings.items().iter().map(String::as_str));
        let like = like.map_or_else(String::new, |like| format!("; did you mean '{like}'?"));
        return Some(format!("nobody rated '{item}', expected an item of the annotations{like}"));
    }
    class.is_empty().then(|| format!("'{item}' has no class; say what it is"))
}
