//! `takt models`: what a server has; loading, unloading and retrying it.

mod status;
mod watch;

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde::Serialize;
use takt_proto::admin::RetryVersionRequest;
use takt_proto::inference::{
    RepositoryIndexRequest, RepositoryModelLoadRequest, RepositoryModelUnloadRequest,
    repository_index_response::ModelIndex,
};
use tonic::Request;

use crate::client::{self, Grpc, ServerArgs, told};
use crate::table::Table;

/// How long the server may take for a look; loading takes as long as it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Show a server's models, load, unload and retry them.
#[derive(Debug, Args)]
pub struct ModelsArgs {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every model and version with its state (the default)
    List,
    /// Load a model, or load it again if its files changed
    Load { model: String },
    /// Unload a model
    Unload { model: String },
    /// Try a version again that was refused: quarantined after a crash, or failed to load
    Retry {
        model: String,
        /// Number of the version
        version: u64,
    },
    /// What a model takes and gives, how it runs, and what it did
    Status { model: String },
}

/// Everything about a model.
#[derive(Serialize)]
struct Whole {
    #[serde(flatten)]
    status: status::Status,
    /// Absent where the server is not Takt.
    monitor: Option<watch::Watch>,
}

/// A line of the list.
#[derive(Serialize)]
struct Entry {
    name: String,
    version: Option<String>,
    state: String,
    reason: Option<String>,
}

/// Runs `takt models ...`.
pub fn run(args: ModelsArgs) -> anyhow::Result<ExitCode> {
    client::block_on(async {
        let mut server = client::connect(&args.server.url).await?;
        let mut out = std::io::stdout().lock();
        match args.command.unwrap_or(Command::List) {
            Command::List => list(&mut server, None, args.json, &mut out).await?,
            Command::Load { model } => {
                let request = RepositoryModelLoadRequest { model_name: model.clone(), ..Default::default() };
                server.repository_model_load(request).await.map_err(told)?;
                list(&mut server, Some(&model), args.json, &mut out).await?;
            }
            Command::Unload { model } => {
                let request = RepositoryModelUnloadRequest { model_name: model.clone(), ..Default::default() };
                server.repository_model_unload(request).await.map_err(told)?;
                list(&mut server, Some(&model), args.json, &mut out).await?;
            }
            Command::Retry { model, version } => {
                let mut admin = client::connect_admin(&args.server.url).await?;
                admin.retry_version(RetryVersionRequest { model: model.clone(), version }).await.map_err(told)?;
                list(&mut server, Some(&model), args.json, &mut out).await?;
            }
            Command::Status { model } => {
                let status = status::ask(&mut server, &model).await?;
                let watch = watch::ask(&args.server.url, &model).await;
                if args.json {
                    super::write_json(&mut out, &Whole { status, monitor: watch })?;
                } else {
                    write!(out, "{status}")?;
                    if let Some(watch) = watch {
                        write!(out, "{watch}")?;
                    }
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// Prints the server's models, or one of them.
async fn list(server: &mut Grpc, only: Option<&str>, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let index = server.repository_index(patient(RepositoryIndexRequest::default())).await.map_err(told)?;
    let shown = index.into_inner().models.into_iter().filter(|model| only.is_none_or(|only| model.name == only));
    let entries: Vec<Entry> = shown.map(Entry::from).collect();
    if json {
        return super::write_json(out, &entries);
    }
    let mut table = Table::new(["MODEL", "VERSION", "STATE", "REASON"]);
    for Entry { name, version, state, reason } in entries {
        table.push([name, version.unwrap_or_else(|| "-".to_owned()), state, reason.unwrap_or_default()]);
    }
    Ok(write!(out, "{table}")?)
}

/// A request that does not wait for ever.
fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

impl From<ModelIndex> for Entry {
    fn from(ModelIndex { name, version, state, reason }: ModelIndex) -> Self {
        let said = |text: String| (!text.is_empty()).then_some(text);
        Self { name, version: said(version), state, reason: said(reason) }
    }
}
