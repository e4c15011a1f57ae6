//! Counts of what no label can change any more, and the file they lie in.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use takt_artifact::VersionDigest;
use takt_artifact::fault::{self, Document, Fault};

use super::cells::{Cell, Counts, Findings, Hours, hour};
use super::labels::Classes;
use super::units::Judged;
use crate::disk::{self, DiskError};
use crate::events::UnixMillis;

/// What is settled.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Predictions with ordinals below are counted here and nowhere else.
    pub(super) through: u64,
    /// And these beyond: views of parts whose first view is below.
    ahead: BTreeSet<u64>,
    pub(super) hours: Hours,
}

const FILE: &str = "settled.json";
const CORRUPT: &str = "settled.corrupt.json";
/// Rows at most, about 200 bytes each in memory.
const MOST_ROWS: usize = 100_000;

impl Settled {
    pub(super) fn count(&mut self, judged: &Judged<'_>) {
        let cells = self.hours.entry(hour(judged.at)).or_default();
        let counts = cells.entry(Arc::clone(judged.cell)).or_default();
        counts.count(judged.verdict, judged.truth, judged.contradicted);
    }

    /// Whether a prediction is counted here.
    pub(super) fn has(&self, ordinal: u64) -> bool {
        ordinal < self.through || self.ahead.contains(&ordinal)
    }

    /// Predictions with ordinals below `through`, and those in `ahead`, are counted here now.
    pub(super) fn advance(&mut self, through: u64, mut ahead: BTreeSet<u64>) {
        self.through = through;
        self.ahead.append(&mut ahead);
        self.ahead = self.ahead.split_off(&through);
    }

    /// Forgets hours before `oldest`, and the oldest beyond what memory is for.
    pub(super) fn bound(&mut self, oldest: u64) {
        self.hours = self.hours.split_off(&oldest);
        let mut rows: usize = self.hours.values().map(HashMap::len).sum();
        while rows > MOST_ROWS
            && let Some((_, cells)) = self.hours.pop_first()
        {
            rows -= cells.len();
        }
    }

    /// Reads the file in `dir`. One that cannot be understood is moved aside, and `true` says so.
    pub(super) fn load(
        dir: &Path,
        mut admit: impl FnMut(Cell) -> Arc<Cell>,
    ) -> Result<(Self, Classes, bool), DiskError> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Self::default(), Classes::new(), false)),
            Err(error) => return Err(DiskError::at("read", &path)(error)),
        };
        let file: File = match fault::read(&bytes) {
            Ok(file) => file,
            Err(error) => {
                let moved_to = dir.join(CORRUPT);
                tracing::error!(file = %path.display(), moved_to = %moved_to.display(), %error, "counts of past feedback are lost");
                fs::rename(&path, &moved_to).map_err(DiskError::at("move aside", &path))?;
                return Ok((Self::default(), Classes::new(), true));
            }
        };
        let cells: Vec<_> = file.cells.into_iter().map(&mut admit).collect();
        let mut hours = Hours::new();
        for Hour { hour, rows } in file.hours {
            let of_hour = hours.entry(hour).or_default();
            for (cell, numbers) in rows {
                if let Some(cell) = cells.get(cell) {
                    of_hour.entry(Arc::clone(cell)).or_default().add(&counts(numbers));
                }
            }
        }
        let classes = file.classes.into_iter().map(|known| (known.version, known.good)).collect();
        Ok((Self { through: file.through, ahead: file.ahead, hours }, classes, false))
    }

    /// Writes the file, whole or not at all.
    pub(super) fn store(&self, dir: &Path, classes: &Classes) -> Result<(), DiskError> {
        let mut numbers: HashMap<&Arc<Cell>, usize> = HashMap::new();
        let mut cells = Vec::new();
        let mut number = |cell| {
            *numbers.entry(cell).or_insert_with(|| {
                cells.push(Cell::clone(cell));
                cells.len() - 1
            })
        };
        let hours = self.hours.iter().map(|(&hour, rows)| {
            let rows = rows.iter().map(|(cell, counts)| (number(cell), self::numbers(counts))).collect();
            Hour { hour, rows }
        });
        let hours = hours.collect();
        let classes = classes.iter().map(|(&version, good)| Known { version, good: good.clone() }).collect();
        let file =
            File { schema: File::SCHEMA, through: self.through, ahead: self.ahead.clone(), classes, cells, hours };
        let bytes = fault::write_line(&file)
            .map_err(|error| DiskError::at("encode", &dir.join(FILE))(std::io::Error::other(error)))?;
        disk::replace(dir, FILE, &bytes)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: u32,
    through: u64,
    ahead: BTreeSet<u64>,
    classes: Vec<Known>,
    cells: Vec<Cell>,
    hours: Vec<Hour>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    version: VersionDigest,
    good: HashMap<String, bool>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hour {
    hour: u64,
    /// Index of the cell, and its counts: passed, flagged, uncertain, each unlabelled, good, defect, unresolved; and
    /// contradicted.
    rows: Vec<(usize, [u64; 13])>,
}

impl Document for File {
    const NAME: &'static str = FILE;
    const SCHEMA: u32 = 1;

    fn faults(&self) -> Vec<Fault> {
        let most = self.cells.len();
        let cells = self.hours.iter().flat_map(|hour| &hour.rows).map(|(cell, _)| *cell);
        let fault = |cell: usize| {
            Fault::new("hours", format!("cell {cell}"), format!("one below {most}"), "restore the file or remove it")
        };
        cells.filter(|cell| *cell >= most).take(1).map(fault).collect()
    }
}

fn numbers(counts: &Counts) -> [u64; 13] {
    let of = |findings: &Findings| [findings.unlabelled, findings.good, findings.defect, findings.unresolved];
    let [a, b, c] = [of(&counts.passed), of(&counts.flagged), of(&counts.uncertain)];
    [a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3], c[0], c[1], c[2], c[3], counts.contradicted]
}

fn counts([a, b, c, d, e, f, g, h, i, j, k, l, contradicted]: [u64; 13]) -> Counts {
    let of = |unlabelled, good, defect, unresolved| Findings { unlabelled, good, defect, unresolved };
    Counts { passed: of(a, b, c, d), flagged: of(e, f, g, h), uncertain: of(i, j, k, l), contradicted }
}

/// The oldest hour of `days` until `now`.
pub(super) fn oldest(now: UnixMillis, days: u32) -> u64 {
    hour(now).saturating_sub(u64::from(days) * 24)
}
