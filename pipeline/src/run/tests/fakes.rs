//! Stages that note that they ran and write what they were given.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::{Context, Options, Overview, Plan, Stage, StageReport, Summary, Unfinished, Unobserved, run, show};

type Work = dyn Fn(&Path, &Context<'_>) -> Result<StageReport, Unfinished> + Send + Sync;

/// Names of stages in the order in which they ran.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Writes `value`: its setting, and the values of its inputs in brackets. Then does what it was told besides.
pub struct Fake {
    name: String,
    inputs: Vec<String>,
    setting: Value,
    sources: Vec<PathBuf>,
    log: Log,
    work: Arc<Work>,
}

impl Fake {
    /// A file that says how its run went.
    pub const LOG: &str = "log";

    pub fn new(name: &str, inputs: &[&str]) -> Self {
        let inputs = inputs.iter().map(|&input| input.to_owned()).collect();
        let work = Arc::new(|_: &Path, _: &Context<'_>| Ok(StageReport::default()));
        Self { name: name.to_owned(), inputs, setting: json!(1), sources: Vec::new(), log: Log::default(), work }
    }

    pub fn setting(mut self, setting: impl Into<Value>) -> Self {
        self.setting = setting.into();
        self
    }

    pub fn source(mut self, path: &Path) -> Self {
        self.sources.push(path.to_owned());
        self
    }

    pub fn doing(
        mut self,
        work: impl Fn(&Path, &Context<'_>) -> Result<StageReport, Unfinished> + Send + Sync + 'static,
    ) -> Self {
        self.work = Arc::new(work);
        self
    }
}

impl Stage for Fake {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn identity(&self) -> Value {
        json!({"setting": self.setting})
    }

    fn inputs(&self) -> &[String] {
        &self.inputs
    }

    fn sources(&self) -> Vec<PathBuf> {
        self.sources.clone()
    }

    fn is_log(&self, file: &str) -> bool {
        file == Self::LOG
    }

    fn run(
        &self,
        inputs: &BTreeMap<String, PathBuf>,
        out: &Path,
        context: &Context<'_>,
    ) -> Result<StageReport, Unfinished> {
        self.log.0.lock().unwrap().push(self.name.clone());
        let values = self.inputs.iter().map(|input| fs::read_to_string(inputs[input].join("value")).unwrap());
        let values: Vec<String> = values.collect();
        fs::write(out.join("value"), format!("{}({})", self.setting, values.join(","))).unwrap();
        (self.work)(out, context)
    }
}

/// A work folder and what ran in it.
pub struct Bench {
    pub dir: TempDir,
    pub log: Log,
    pub stop: Arc<AtomicBool>,
}

impl Bench {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), log: Log::default(), stop: Arc::default() }
    }

    pub fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    pub fn plan(&self, fakes: impl IntoIterator<Item = Fake>) -> Plan {
        let boxed = |fake: Fake| {
            let stage: Box<dyn Stage> = Box::new(Fake { log: self.log.clone(), ..fake });
            stage
        };
        Plan::new(fakes.into_iter().map(|fake| (fake.name.clone(), boxed(fake))).collect()).unwrap()
    }

    pub fn run(&self, fakes: impl IntoIterator<Item = Fake>) -> Summary {
        self.run_with(fakes, &Options::default())
    }

    pub fn run_with(&self, fakes: impl IntoIterator<Item = Fake>, options: &Options) -> Summary {
        run(&self.plan(fakes), &self.work(), options, &Unobserved, &self.stop).unwrap()
    }

    pub fn show(&self, fakes: impl IntoIterator<Item = Fake>) -> Overview {
        show(&self.plan(fakes), &self.work(), &Options::default()).unwrap()
    }

    /// The value in a stage's result.
    pub fn value(&self, summary: &Summary, stage: &str) -> String {
        fs::read_to_string(summary.stage(stage).unwrap().folder.as_ref().unwrap().join("value")).unwrap()
    }

    /// Names in `results` or `running`.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.work().join(folder)).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }
}
