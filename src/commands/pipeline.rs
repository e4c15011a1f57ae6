//! `takt pipeline`: the stages of a TOML file, run so that nothing is done twice.

use std::io::Write;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use takt_artifact::publish::{self, Published};
use takt_pipeline::progress::Progress;
use takt_pipeline::recipe::{Machine, Recipe};
use takt_pipeline::run::{self, Ended, Observer, Options, Plan, Row, Summary, Why};
use takt_pipeline::train;

use super::workshop::{ShopArgs, Workshop};

/// Folder beside which nothing is written: results of all pipelines lie in it, each under its name.
const WORK: &str = "takt-work";

/// From images to a packaged version, as a file of stages says; what is done is not done again.
#[derive(Debug, Args)]
pub struct PipelineArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run what has no result yet, and end with a table; exit code 3 if a gate says no
    Run(Run),
    /// Say what would run, and why
    Show(Show),
    /// Remove results that the file, as it is now, does not lead to
    Clean(Clean),
}

#[derive(Debug, Args)]
struct Run {
    #[command(flatten)]
    pipeline: Pipeline,
    #[command(flatten)]
    again: Again,
    /// Put the packaged version into this model repository, under the next number, unless it is there already
    #[arg(long, value_name = "DIR")]
    publish: Option<PathBuf>,
    #[command(flatten)]
    shop: ShopArgs,
}

#[derive(Debug, Args)]
struct Show {
    #[command(flatten)]
    pipeline: Pipeline,
    #[command(flatten)]
    again: Again,
    /// Print JSON on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Clean {
    #[command(flatten)]
    pipeline: Pipeline,
}

#[derive(Debug, Args)]
struct Pipeline {
    /// The stages
    #[arg(value_name = "FILE.toml")]
    file: PathBuf,
    /// Folder of results [default: takt-work/<name of the pipeline>]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Again {
    /// Run this stage again; may be repeated
    #[arg(long, value_name = "STAGE")]
    force: Vec<String>,
    /// Run this stage and all that depend on it again; may be repeated
    #[arg(long, value_name = "STAGE")]
    from: Vec<String>,
}

/// Runs `takt pipeline ...`.
pub fn run(args: PipelineArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Run(args) => args.run(),
        Command::Show(args) => args.run(),
        Command::Clean(args) => args.run(),
    }
}

impl Pipeline {
    fn read(&self) -> anyhow::Result<(Recipe, PathBuf)> {
        let recipe = Recipe::read(&self.file)?;
        let work = self.work.clone().unwrap_or_else(|| Path::new(WORK).join(&recipe.name));
        Ok((recipe, work))
    }

    /// For looking only.
    fn plan(&self) -> anyhow::Result<(Plan, PathBuf)> {
        let (recipe, work) = self.read()?;
        Ok((recipe.plan(Machine { threads: NonZeroUsize::MIN, cache_bytes: 0, weigh: None })?, work))
    }
}

impl From<Again> for Options {
    fn from(again: Again) -> Self {
        Self { force: again.force, from: again.from }
    }
}

impl Run {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (recipe, work) = self.pipeline.read()?;
        let workshop = Workshop::new(self.shop, 0)?;
        let machine = Machine {
            threads: workshop.threads(),
            cache_bytes: workshop.cache_bytes(),
            weigh: Some(super::weigh::ask),
        };
        let plan = recipe.plan(machine)?;
        let summary = run::run(&plan, &work, &self.again.into(), &Told(&workshop), workshop.stop())?;
        let published = match &self.publish {
            Some(repository) if summary.ended == Ended::Done => {
                let versions = recipe.versions(&summary);
                versions.iter().map(|version| publish::publish(version, repository)).collect::<Result<_, _>>()?
            }
            _ => Vec::new(),
        };
        let json = workshop.json();
        drop(workshop);
        let mut out = std::io::stdout().lock();
        if json {
            let told = serde_json::json!({ "summary": summary, "published": published });
            super::write_json(&mut out, &told)?;
        } else {
            write!(out, "{summary}")?;
            tell_versions(&mut out, &recipe, &summary, &published)?;
        }
        Ok(ExitCode::from(summary.exit_code()))
    }
}

/// Where what was made lies, and what to do with it.
fn tell_versions(
    out: &mut impl Write,
    recipe: &Recipe,
    summary: &Summary,
    published: &[Published],
) -> std::io::Result<()> {
    for version in published {
        let how = if version.was_there { "is there already" } else { "published" };
        writeln!(out, "{how}: {}", version.folder.display())?;
    }
    if published.is_empty() {
        for version in recipe.versions(summary) {
            let repository = version.parent().and_then(Path::parent).unwrap_or(&version);
            writeln!(out, "serve it: takt serve --model-repository {}", repository.display())?;
        }
    }
    Ok(())
}

impl Show {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (plan, work) = self.pipeline.plan()?;
        let overview = run::show(&plan, &work, &self.again.into())?;
        let mut out = std::io::stdout().lock();
        if self.json {
            super::write_json(&mut out, &overview)?;
        } else {
            write!(out, "{overview}")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Clean {
    fn run(self) -> anyhow::Result<ExitCode> {
        let (plan, work) = self.pipeline.plan()?;
        let pruned = run::prune_results(&[&plan], &work)?;
        let mut out = std::io::stdout().lock();
        for folder in &pruned.removed {
            writeln!(out, "removed {folder}")?;
        }
        writeln!(out, "{:.1} MB freed in {}", pruned.bytes as f64 / 1e6, work.display())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Lines about stages above the bar.
struct Told<'a>(&'a Workshop);

impl Observer for Told<'_> {
    fn begin(&self, stage: &str, number: usize, total: usize, why: &Why, resumes: bool) {
        let how = if resumes { "goes on" } else { "runs" };
        self.0.line(&format!("[{number}/{total}] {stage} {how} ({why})"));
    }

    fn skip(&self, row: &Row, number: usize, total: usize) {
        self.0.line(&format!("[{number}/{total}] {} is there", row.stage));
    }

    fn warn(&self, stage: &str, message: &str) {
        self.0.line(&format!("{stage}: {message}"));
    }

    fn progress(&self) -> &dyn Progress {
        self.0.progress()
    }

    fn training(&self) -> &dyn train::Observer {
        self.0.observer()
    }
}
