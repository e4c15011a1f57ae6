//! Carrying out a plan: the images of all splits, over all cores, into one folder.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde::Serialize;

use super::plan::{Plan, PlanError, Record};
use super::render::render;
use super::scene::{Label, Scene};
use super::write::{self, LabelFile};
use crate::data::split::Split;
use crate::file;
use crate::progress::Progress;

/// The plan of a data set, in its folder.
const RECORD: &str = "dataset.json";

/// What is in the folder now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Images made by this call.
    pub made: u64,
    /// Images that an earlier call with the same plan had made.
    pub kept: u64,
    /// Number of images by split and label.
    pub counts: BTreeMap<Split, BTreeMap<Label, u64>>,
    /// sha256 of `dataset.json`, which decides every byte of the data set.
    pub digest: String,
    /// Path of the label file.
    pub labels: PathBuf,
}

/// Why a data set was not completed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum GenerateError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(
        "{} holds another data set ({differences}); give an empty folder, or the same settings to go on with it",
        folder.display()
    )]
    OtherPlan { folder: PathBuf, differences: String },
    #[error(
        "{} is not empty and has no {RECORD}, so nothing is written there; give an empty or a new folder",
        folder.display()
    )]
    NotEmpty { folder: PathBuf },
    #[error(
        "{} is not the record of a surface-defects data set ({reason}); give an empty or a new folder",
        path.display()
    )]
    Record { path: PathBuf, reason: serde_json::Error },
    #[error("another process is writing to {}; wait for it, or give another folder", folder.display())]
    Busy { folder: PathBuf },
    #[error("cannot {action} {}", path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("interrupted with {done} of {total} images there; run it again to go on")]
    Interrupted { done: u64, total: u64 },
}

impl GenerateError {
    /// Stable label of the kind of error.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan",
            Self::OtherPlan { .. } => "other_plan",
            Self::NotEmpty { .. } => "not_empty",
            Self::Record { .. } => "record",
            Self::Busy { .. } => "busy",
            Self::Io { .. } => "io",
            Self::Interrupted { .. } => "interrupted",
        }
    }

    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }
}

/// Writes the plan's images and then the label file into the folder `out`, on `threads` threads.
///
/// Images that an earlier call with the same plan left there are kept, so an interrupted call is taken up by calling
/// again. Set `cancel` from elsewhere to stop after the images being drawn.
///
/// # Errors
/// A plan out of range, a folder that holds anything else, a file that cannot be written, or `cancel`.
pub fn generate(
    plan: &Plan,
    out: &Path,
    labels: LabelFile,
    threads: NonZeroUsize,
    progress: &dyn Progress,
    cancel: &AtomicBool,
) -> Result<Summary, GenerateError> {
    plan.check()?;
    let _lock = claim(plan, out)?;
    let scenes: Vec<Scene> = Split::ALL.into_iter().flat_map(|split| Scene::of(plan, split)).collect();
    make_folders(&scenes, out)?;
    progress.begin(scenes.len() as u64);
    let run =
        Run { plan, out, scenes: &scenes, progress, cancel, failed: AtomicBool::new(false), next: AtomicUsize::new(0) };
    let (made, kept) = run.all(threads)?;
    let total = scenes.len() as u64;
    if made + kept < total {
        let done = made + kept;
        return Err(GenerateError::Interrupted { done, total });
    }
    let labels = labels.write(out, &scenes).map_err(GenerateError::io("write", &out.join(labels.name())))?;
    Ok(Summary { made, kept, counts: count(&scenes), digest: plan.digest(), labels })
}

/// One call of [`generate`], shared by its threads.
struct Run<'a> {
    plan: &'a Plan,
    out: &'a Path,
    scenes: &'a [Scene],
    progress: &'a dyn Progress,
    cancel: &'a AtomicBool,
    /// Set by the thread that met an error, so that the others stop too.
    failed: AtomicBool,
    /// The scene that the next free thread takes.
    next: AtomicUsize,
}

impl Run<'_> {
    /// Numbers of images made and kept, by all threads together.
    fn all(&self, threads: NonZeroUsize) -> Result<(u64, u64), GenerateError> {
        thread::scope(|scope| {
            let workers: Vec<_> =
                (0..threads.get().min(self.scenes.len())).map(|_| scope.spawn(|| self.work())).collect();
            let mut results = workers.into_iter().map(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            results.try_fold((0, 0), |(made, kept), result| {
                let (more_made, more_kept) = result?;
                Ok((made + more_made, kept + more_kept))
            })
        })
    }

    /// Takes scenes until none is left; numbers of images made and kept.
    fn work(&self) -> Result<(u64, u64), GenerateError> {
        let (mut made, mut kept) = (0, 0);
        while !self.cancel.load(Ordering::Relaxed) && !self.failed.load(Ordering::Relaxed) {
            let Some(scene) = self.scenes.get(self.next.fetch_add(1, Ordering::Relaxed)) else {
                break;
            };
            let path = self.out.join(scene.file());
            if write::is_whole_jpeg(&path) {
                kept += 1;
            } else {
                render(self.plan, scene)
                    .to_jpeg(self.plan.jpeg_quality)
                    .map_err(io::Error::other)
                    .and_then(|bytes| file::replace(&path, &bytes))
                    .inspect_err(|_| self.failed.store(true, Ordering::Relaxed))
                    .map_err(GenerateError::io("write", &path))?;
                made += 1;
            }
            self.progress.advance();
        }
        Ok((made, kept))
    }
}

/// Makes `out` the folder of this plan and of this process; the folder is free again when the file is closed.
fn claim(plan: &Plan, out: &Path) -> Result<File, GenerateError> {
    fs::create_dir_all(out).map_err(GenerateError::io("create", out))?;
    let path = out.join(RECORD);
    if !path.exists() && !is_empty(out).map_err(GenerateError::io("read", out))? {
        let folder = out.to_owned();
        return Err(GenerateError::NotEmpty { folder });
    }
    let locked = file::lock(&path).map_err(|(what, error)| GenerateError::io(what, &path)(error))?;
    let file::Lock::Ours(mut file) = locked else {
        return Err(GenerateError::Busy { folder: out.to_owned() });
    };
    let mut found = String::new();
    file.read_to_string(&mut found).map_err(GenerateError::io("read", &path))?;
    let asked = plan.record();
    if found.is_empty() {
        file.write_all(asked.as_bytes()).map_err(GenerateError::io("write", &path))?;
    } else if found != asked {
        return Err(refusal(out, &path, &found, &asked));
    }
    Ok(file)
}

fn is_empty(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if !entry?.file_name().as_encoded_bytes().starts_with(b".") {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Why a folder with the record `found` cannot take the plan of `asked`.
fn refusal(out: &Path, path: &Path, found: &str, asked: &str) -> GenerateError {
    let parse = |text| -> Result<(Record, serde_json::Value), serde_json::Error> {
        Ok((serde_json::from_str(text)?, serde_json::from_str(text)?))
    };
    match (parse(found), parse(asked)) {
        (Ok((_, found)), Ok((_, asked))) => {
            let mut differences = Vec::new();
            compare("", &found, &asked, &mut differences);
            if differences.is_empty() {
                differences.push("the same settings, written otherwise".to_owned());
            }
            GenerateError::OtherPlan { folder: out.to_owned(), differences: differences.join(", ") }
        }
        (Err(reason), _) | (_, Err(reason)) => GenerateError::Record { path: path.to_owned(), reason },
    }
}

/// Collects the settings in which two records differ.
fn compare(name: &str, found: &serde_json::Value, asked: &serde_json::Value, to: &mut Vec<String>) {
    if let (Some(found), Some(asked)) = (found.as_object(), asked.as_object()) {
        for (key, value) in found {
            compare(key, value, &asked[key], to);
        }
    } else if found != asked {
        to.push(format!("{name} is {found} there, {asked} was asked for"));
    }
}

fn make_folders(scenes: &[Scene], out: &Path) -> Result<(), GenerateError> {
    for (split, labels) in count(scenes) {
        for label in labels.keys() {
            let folder = out.join(split.name()).join(label.name());
            fs::create_dir_all(&folder).map_err(GenerateError::io("create", &folder))?;
        }
    }
    Ok(())
}

fn count(scenes: &[Scene]) -> BTreeMap<Split, BTreeMap<Label, u64>> {
    let mut counts = BTreeMap::<_, BTreeMap<_, u64>>::new();
    for scene in scenes {
        *counts.entry(scene.split).or_default().entry(scene.label).or_default() += 1;
    }
    counts
}
