//! What of the monitor outlives the process: sealed panes, learned references, rows on the way to one.
//!
//! ```text
//! <state>/monitor/<version digest>/profile.json    a learned reference
//!                                  panes.jsonl     sealed panes, oldest first
//!                                  rows.jsonl      rows that a reference is being learned from
//! ```
//!
//! Lines are appended without fsync: a process that is killed loses the open pane, a power cut perhaps the last half
//! minute, and flash is not worn. A torn last line is passed over.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use takt_artifact::profile::Profile;
use takt_monitoring::drift::{Pane, PaneEvidence, Row};
use takt_monitoring::events::{Features, UnixMillis};
use takt_monitoring::features::{VISION, VISION_LEN};

/// Versions whose files are kept; the longest untouched go first.
const MOST_VERSIONS: usize = 16;

/// Lines beyond those that are needed after which a file is written anew.
const SURPLUS: usize = 4;

/// A sealed pane, as a line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptPane {
    pub(super) sealed_at: UnixMillis,
    /// sha256 of the reference that it was counted over.
    pub(super) reference: String,
    pub(super) pane: Pane,
    /// What it said.
    #[serde(default, skip_serializing_if = "PaneEvidence::is_empty")]
    pub(super) evidence: PaneEvidence,
}

/// A row of a reference to be, as a line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeptRow {
    pub(super) at: UnixMillis,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    product: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    station: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<usize>,
    features: Features,
}

/// The folder of one version.
#[derive(Debug)]
pub(super) struct Keep {
    folder: PathBuf,
    panes: Option<Lines>,
    rows: Option<Lines>,
}

/// A file of lines that grows.
#[derive(Debug)]
struct Lines {
    file: File,
    lines: usize,
}

impl Keep {
    /// The folder for a version of that digest; made when something is kept.
    pub(super) fn new(root: &Path, digest: &str) -> Self {
        Self { folder: root.join(digest), panes: None, rows: None }
    }

    /// The learned reference, if one was kept. One that cannot be read counts as none.
    pub(super) fn profile(&self) -> Option<Profile> {
        let path = self.folder.join("profile.json");
        let bytes = fs::read(&path).ok()?;
        Profile::parse(&bytes)
            .inspect_err(
                |error| tracing::warn!(path = %path.display(), %error, "learned reference passed over; learning anew"),
            )
            .ok()
    }

    /// Keeps a learned reference, and lets go of the rows it was learned from.
    pub(super) fn keep_profile(&mut self, profile: &Profile) -> io::Result<()> {
        let bytes = profile.to_bytes().map_err(io::Error::other)?;
        self.make()?;
        replace(&self.folder.join("profile.json"), &bytes)?;
        self.rows = None;
        remove_if_there(&self.folder.join("rows.jsonl"))
    }

    /// Panes that were counted over that reference, oldest first.
    pub(super) fn panes(&self, reference: &str) -> Vec<KeptPane> {
        let mut panes: Vec<KeptPane> = read_lines(&self.folder.join("panes.jsonl"));
        panes.retain(|pane| pane.reference == reference);
        panes
    }

    /// Keeps a pane; only the last `window` will be asked for.
    pub(super) fn keep_pane(&mut self, pane: &KeptPane, window: usize) -> io::Result<()> {
        self.make()?;
        let path = self.folder.join("panes.jsonl");
        let lines = open(&mut self.panes, &path)?;
        lines.append(pane)?;
        if lines.lines > SURPLUS * window {
            let kept: Vec<KeptPane> = read_lines(&path);
            let mut bytes = Vec::new();
            for pane in kept.iter().skip(kept.len().saturating_sub(window)) {
                bytes.extend(line(pane)?);
            }
            self.panes = None;
            replace(&path, &bytes)?;
        }
        Ok(())
    }

    /// Rows of a reference that was not complete yet.
    pub(super) fn rows(&self) -> Vec<KeptRow> {
        read_lines(&self.folder.join("rows.jsonl"))
    }

    /// Keeps rows of a reference to be.
    pub(super) fn keep_rows(&mut self, rows: &[KeptRow]) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        self.make()?;
        let lines = open(&mut self.rows, &self.folder.join("rows.jsonl"))?;
        rows.iter().try_for_each(|row| lines.append(row))
    }

    fn make(&self) -> io::Result<()> {
        if self.folder.is_dir() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        self.folder.parent().map_or(Ok(()), forget_oldest)
    }
}

impl KeptRow {
    pub(super) fn new(at: UnixMillis, row: &Row) -> Self {
        Self {
            at,
            product: row.product.clone(),
            station: row.station.clone(),
            class: row.class,
            features: Features { list: VISION, values: row.values.to_vec() },
        }
    }

    /// `None` for a row with other features than ours.
    pub(super) fn row(self) -> Option<Row> {
        let values: [f32; VISION_LEN] = self.features.values.try_into().ok()?;
        let known = self.features.list == VISION;
        known.then_some(Row { product: self.product, station: self.station, values, class: self.class })
    }
}

impl Lines {
    fn append(&mut self, value: &impl Serialize) -> io::Result<()> {
        // One write per line, so that a full disk tears at most one.
        self.file.write_all(&line(value)?)?;
        self.lines += 1;
        Ok(())
    }
}

fn open<'a>(lines: &'a mut Option<Lines>, path: &Path) -> io::Result<&'a mut Lines> {
    if lines.is_none() {
        let count = File::open(path).map_or(0, |file| BufReader::new(file).split(b'\n').count());
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        // What a torn line left behind is ended, so that the next one stands by itself.
        file.write_all(b"\n")?;
        *lines = Some(Lines { file, lines: count });
    }
    lines.as_mut().ok_or_else(|| io::Error::other("no file"))
}

fn line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec(value)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Every line that can be read.
fn read_lines<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let Ok(file) = File::open(path) else { return Vec::new() };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    lines.filter_map(|line| serde_json::from_slice(&line).ok()).collect()
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension("new");
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn forget_oldest(root: &Path) -> io::Result<()> {
    let mut folders = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        folders.push((entry.metadata()?.modified()?, entry.path()));
    }
    folders.sort();
    let surplus = folders.len().saturating_sub(MOST_VERSIONS);
    folders.iter().take(surplus).try_for_each(|(_, folder)| fs::remove_dir_all(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pane(at: u64) -> KeptPane {
        KeptPane {
            sealed_at: UnixMillis(at),
            reference: "r".to_owned(),
            pane: Pane::default(),
            evidence: PaneEvidence::new(),
        }
    }

    fn times(keep: &Keep) -> Vec<u64> {
        keep.panes("r").iter().map(|pane| pane.sealed_at.0).collect()
    }

    #[test]
    fn panes_outlive_the_process_and_the_file_stays_short() {
        let folder = tempfile::tempdir().unwrap();
        let mut keep = Keep::new(folder.path(), "d");
        for at in 0..100 {
            keep.keep_pane(&pane(at), 3).unwrap();
        }
        let found = times(&Keep::new(folder.path(), "d"));
        assert!(found.len() <= SURPLUS * 3 + 1 && found.ends_with(&[97, 98, 99]), "{found:?}");
        assert!(keep.panes("another").is_empty());
    }

    #[test]
    fn a_torn_line_costs_itself_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut keep = Keep::new(folder.path(), "d");
        keep.keep_pane(&pane(1), 9).unwrap();
        keep.keep_pane(&pane(2), 9).unwrap();
        let path = folder.path().join("d/panes.jsonl");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        let mut again = Keep::new(folder.path(), "d");
        again.keep_pane(&pane(3), 9).unwrap();
        assert_eq!(times(&again), [1, 3]);
    }

    #[test]
    fn only_the_latest_versions_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        for version in 0..MOST_VERSIONS + 3 {
            Keep::new(folder.path(), &format!("{version:02}")).keep_pane(&pane(1), 9).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_VERSIONS);
        assert!(folder.path().join(format!("{:02}", MOST_VERSIONS + 2)).exists());
    }

    #[test]
    fn a_missing_value_survives_as_missing() {
        let mut values = [0.5; VISION_LEN];
        values[0] = f32::NAN;
        let row = Row { product: Some("p".to_owned()), station: None, values, class: Some(2) };
        let text = serde_json::to_string(&KeptRow::new(UnixMillis(7), &row)).unwrap();
        let back = serde_json::from_str::<KeptRow>(&text).unwrap().row().unwrap();
        assert!(back.values[0].is_nan());
        assert_eq!((back.values[1], back.product, back.class), (0.5, row.product, row.class));
    }
}
