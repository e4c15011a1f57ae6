//! One run of a plan.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Instant, SystemTime};

use takt_artifact::fault::closest;

use super::decide::{Contents, Decision, Why, decide};
use super::error::RunError;
use super::key::{Key, Keyed, keyed, sources};
use super::observe::{Context, Observer};
use super::plan::Plan;
use super::record::{InputRecord, Made, Record};
use super::sources::Memo;
use super::stage::Unfinished;
use super::store::Store;
use super::summary::{Ended, Happened, Row, Summary};
use crate::told;

/// What to run although there is a result. The old result stays until the new one is complete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Stages to run again. What depends on them runs only where they come out otherwise.
    pub force: Vec<String>,
    /// Stages to run again with everything that depends on them.
    pub from: Vec<String>,
}

impl Options {
    /// The stages of `plan` that these name.
    pub(super) fn chosen<'a>(&self, plan: &'a Plan) -> Result<BTreeSet<&'a str>, RunError> {
        let mut chosen = BTreeSet::new();
        for asked in self.force.iter().chain(&self.from) {
            let name = plan.names().find(|name| name == asked).ok_or_else(|| RunError::UnknownStage {
                found: asked.clone(),
                closest: closest(asked, plan.names()).map(str::to_owned),
                known: plan.names().collect::<Vec<_>>().join(", "),
            })?;
            chosen.insert(name);
        }
        for asked in &self.from {
            chosen.extend(plan.with_dependants(asked));
        }
        Ok(chosen)
    }
}

/// Runs what is not there yet, one stage after the other, and ends with the first that fails or says no.
///
/// Results go to `work`; killed at any moment, the next run goes on from there. Once `stop` is set, the stage at hand
/// is asked to write its checkpoint, and no other begins.
///
/// # Errors
/// The run could not begin: another works in `work`, sources cannot be read, an option names an unknown stage. What
/// happens to stages is in the summary, failures too.
pub fn run(
    plan: &Plan,
    work: &Path,
    options: &Options,
    observer: &dyn Observer,
    stop: &AtomicBool,
) -> Result<Summary, RunError> {
    let begun = Instant::now();
    let forced = options.chosen(plan)?;
    let store = Store::open(work)?;
    let mut memo = store.memo();
    let steps = keyed(plan, &mut memo);
    memo.save();
    let steps = steps?;
    let total = steps.len();
    let mut drive = Drive { store, memo, forced, observer, stop, contents: Contents::new(), results: BTreeMap::new() };
    let mut ended = Ended::Done;
    let mut rows = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        if ended == Ended::Done && stop.load(Ordering::Relaxed) {
            ended = Ended::Stopped;
        }
        if ended == Ended::Done {
            let row = drive.step(step, at + 1, total);
            ended = row.happened.ends();
            rows.push(row);
        } else {
            rows.push(Row::new(step, Happened::NotReached));
        }
    }
    drive.memo.save();
    Ok(Summary::new(ended, rows, begun.elapsed().as_secs_f64()))
}

struct Drive<'a> {
    store: Store,
    memo: Memo,
    forced: BTreeSet<&'a str>,
    observer: &'a dyn Observer,
    stop: &'a AtomicBool,
    /// Of the stages so far.
    contents: Contents<'a>,
    /// Folders of the stages so far.
    results: BTreeMap<&'a str, PathBuf>,
}

impl<'a> Drive<'a> {
    fn step(&mut self, step: &Keyed<'a>, number: usize, total: usize) -> Row {
        let folder = step.folder();
        let why = match decide(step, &self.store, self.forced.contains(step.name), &self.contents) {
            Decision::Cached(record) => {
                let row = Row::cached(step, &record, self.keep(step, &record));
                self.observer.skip(&row, number, total);
                return row;
            }
            Decision::Run(why) => why,
        };
        if let Why::Damaged { reason } = &why {
            tracing::warn!(stage = step.name, reason, "a damaged result is made again");
            self.observer.warn(step.name, &format!("its result is damaged ({reason}) and is made again"));
        }
        self.observer.begin(step.name, number, total, &why, self.store.resumes(&folder));
        let begun = Instant::now();
        let mut row = match self.make(step) {
            Ok(record) => Row::ran(step, &record, self.keep(step, &record)),
            Err(Unfinished::Stopped) => Row::unfinished(step, Happened::Stopped, self.store.running(&folder)),
            Err(error) => {
                let error = match error {
                    // Itself, not its wrapper: a transparent one hides it among the causes.
                    Unfinished::Failed(error) => told(error.as_ref()),
                    error => told(&error),
                };
                tracing::error!(stage = step.name, error, "stage failed");
                Row::unfinished(step, Happened::Failed { error }, self.store.running(&folder))
            }
        };
        row.seconds = Some(begun.elapsed().as_secs_f64());
        row.why = Some(why);
        self.observer.end(&row);
        row
    }

    /// Notes a result for those who read it; its folder.
    fn keep(&mut self, step: &Keyed<'a>, record: &Record) -> PathBuf {
        let folder = self.store.result(&step.folder());
        self.contents.insert(step.name, Some(record.digest.clone()));
        self.results.insert(step.name, folder.clone());
        folder
    }

    fn make(&mut self, step: &Keyed<'a>) -> Result<Record, Unfinished> {
        let folder = step.folder();
        let out = self.store.begin(&folder).map_err(Unfinished::failed)?;
        let (clock, started) = (Instant::now(), SystemTime::now().duration_since(SystemTime::UNIX_EPOCH));
        let result = |(name, _): &(&str, Key)| Some(((*name).to_owned(), self.results.get(name)?.clone()));
        let inputs: BTreeMap<String, PathBuf> = step.inputs.iter().filter_map(result).collect();
        let context = Context { observer: self.observer, stop: self.stop, key: Some(&step.key) };
        // The run folder is what a later run goes on from, after a panic as after a kill.
        let report = catch_unwind(AssertUnwindSafe(|| step.stage.run(&inputs, &out, &context)))
            .map_err(|panic| Unfinished::Panicked(message(panic.as_ref())))??;
        self.check_sources(step)?;
        let made = Made {
            stage: step.name.to_owned(),
            kind: step.stage.kind().to_owned(),
            key: step.key.clone(),
            identity: step.identity.clone(),
            inputs: step.inputs.iter().map(|(name, key)| self.input(name, key)).collect(),
            sources: step.sources.clone(),
            figures: report.figures,
            refused: report.refused,
            started_unix_ms: started.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)),
            seconds: clock.elapsed().as_secs_f64(),
        };
        self.store.finish(&folder, made, &|file| step.stage.is_log(file)).map_err(Unfinished::failed)
    }

    fn input(&self, stage: &str, key: &Key) -> InputRecord {
        let digest = self.contents.get(stage).cloned().flatten().unwrap_or_default();
        InputRecord { stage: stage.to_owned(), key: key.clone(), digest }
    }

    /// A result is kept only under the key of what it was made from.
    fn check_sources(&mut self, step: &Keyed<'a>) -> Result<(), Unfinished> {
        let mut faults = Vec::new();
        let now = sources(step.name, step.stage, &mut self.memo, &mut faults);
        if let Some(fault) = faults.first() {
            return Err(Unfinished::failed(format!("{fault} (it was there when the stage began); run again")));
        }
        match step.sources.iter().zip(&now).find(|(then, now)| then != now) {
            None => Ok(()),
            Some((source, _)) => Err(Unfinished::failed(format!(
                "source {} changed while the stage read it; leave it alone and run again",
                source.path.display()
            ))),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a message".to_owned())
}
