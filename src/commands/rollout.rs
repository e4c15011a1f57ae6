//! `takt rollout`: a new version, tried on a growing share of traffic and taken back by itself when it is worse.

mod view;

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use takt_proto::rollout::control_request::Action;
use takt_proto::rollout::{ControlRequest, GetRequest, Rollout, StartRequest};
use tonic::Request;

use self::view::Report;
use crate::client::{self, Rollouts, ServerArgs, told};

/// How long the server may take to answer; it only decides, loading goes on behind.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the live view is drawn.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// Puts the cursor home and clears what is below (ECMA-48: CUP, ED).
const CLEAR: &str = "\x1b[H\x1b[J";

/// Roll a new version out step by step; it goes back by itself when it is worse.
#[derive(Debug, Args)]
pub struct RolloutArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Begin to roll out a version that is in the repository and does not serve
    Start {
        model: String,
        /// Number of the version to try
        #[arg(long, value_name = "VERSION")]
        candidate: u64,
        /// TOML file with a plan, as the table [rollout] of model.toml; else that table, else the built-in plan
        #[arg(long, value_name = "FILE")]
        plan: Option<PathBuf>,
        /// Try a version again that was taken back
        #[arg(long)]
        retry: bool,
        /// Only say what would be done and how long it would take
        #[arg(long)]
        dry_run: bool,
        /// Stay and watch
        #[arg(long)]
        watch: bool,
    },
    /// How rollouts stand, and why
    Status {
        /// Of one model
        model: Option<String>,
        /// Stay and watch
        #[arg(long)]
        watch: bool,
    },
    /// Hold traffic where it is
    Pause(Control),
    /// Go on after a pause or a hold
    Resume(Control),
    /// Give the candidate all traffic now, on your word and not on evidence
    Promote(Control),
    /// Take all traffic back, and refuse the candidate from now on
    Abort(Control),
}

#[derive(Debug, Args)]
struct Control {
    model: String,
    /// Why, for the audit log
    #[arg(long, default_value = "")]
    reason: String,
}

/// Runs `takt rollout ...`.
pub fn run(args: RolloutArgs) -> anyhow::Result<ExitCode> {
    client::block_on(async {
        let mut server = client::connect_rollouts(&args.server.url).await?;
        let (action, control) = match args.command {
            Command::Start { model, candidate, plan, retry, dry_run, watch } => {
                let plan_toml = plan.map(|path| super::read_text(&path)).transpose()?.unwrap_or_default();
                let request = StartRequest { model: model.clone(), candidate, plan_toml, retry, dry_run };
                let begun = server.start(patient(request)).await.map_err(told)?.into_inner();
                if !watch || dry_run {
                    return show(&[begun], args.json);
                }
                return stay(&mut server, Some(model), args.json).await;
            }
            Command::Status { model, watch: true } => return stay(&mut server, model, args.json).await,
            Command::Status { model, watch: false } => {
                return show(&ask(&mut server, model.as_deref()).await?, args.json);
            }
            Command::Pause(control) => (Action::Pause, control),
            Command::Resume(control) => (Action::Resume, control),
            Command::Promote(control) => (Action::Promote, control),
            Command::Abort(control) => (Action::Abort, control),
        };
        let request = ControlRequest { model: control.model, action: action.into(), reason: control.reason };
        show(&[server.control(patient(request)).await.map_err(told)?.into_inner()], args.json)
    })
}

async fn ask(server: &mut Rollouts, model: Option<&str>) -> anyhow::Result<Vec<Rollout>> {
    let request = GetRequest { model: model.unwrap_or_default().to_owned() };
    Ok(server.get(patient(request)).await.map_err(told)?.into_inner().rollouts)
}

/// Shows rollouts until all have ended. On a terminal the view is drawn anew; elsewhere what changes is appended.
async fn stay(server: &mut Rollouts, model: Option<String>, json: bool) -> anyhow::Result<ExitCode> {
    let live = !json && std::io::stdout().is_terminal();
    let mut last = Vec::new();
    loop {
        let rollouts = ask(server, model.as_deref()).await?;
        let reports = read(&rollouts)?;
        if live {
            let mut out = std::io::stdout().lock();
            write!(out, "{CLEAR}")?;
            reports.iter().try_for_each(|report| writeln!(out, "{report}"))?;
            out.flush()?;
        } else {
            let said: Vec<String> = reports.iter().map(Report::line).collect();
            if said != last {
                if json {
                    show(&rollouts, true)?
                } else {
                    lines(&said)?
                };
                last = said;
            }
        }
        if let Some(code) = view::ended(&reports) {
            return Ok(code);
        }
        tokio::time::sleep(DRAW_EVERY).await;
    }
}

fn lines(said: &[String]) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    said.iter().try_for_each(|line| writeln!(out, "{line}"))?;
    Ok(ExitCode::SUCCESS)
}

fn show(rollouts: &[Rollout], json: bool) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if json {
        let values: Vec<serde_json::Value> =
            rollouts.iter().map(|rollout| serde_json::from_str(&rollout.progress_json)).collect::<Result<_, _>>()?;
        super::write_json(&mut out, &values)?;
    } else {
        let reports = read(rollouts)?;
        if reports.is_empty() {
            writeln!(
                out,
                "no rollout is under way, and none was; begin one with takt rollout start MODEL --candidate VERSION"
            )?;
        }
        reports.iter().try_for_each(|report| writeln!(out, "{report}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn read(rollouts: &[Rollout]) -> anyhow::Result<Vec<Report>> {
    let read =
        |rollout: &Rollout| serde_json::from_str(&rollout.progress_json).context("the server's answer can't be read");
    rollouts.iter().map(read).collect()
}

/// A request that does not wait for ever.
fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}
