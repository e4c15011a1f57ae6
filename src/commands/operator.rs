//! `takt operator`: drives rollouts over the devices of a Kubernetes cluster.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use takt_operator::lead::Terms;
use takt_operator::reconcile::Pace;
use takt_operator::run::{Settings, connect, run as run_operator};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Drive rollouts over the devices of a Kubernetes cluster.
#[derive(Debug, Args)]
pub struct OperatorArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look after ModelServers and ModelRollouts until told to stop
    Run(RunArgs),
    /// Print the definitions of ModelServer and ModelRollout, for kubectl apply
    Crds {
        /// Write one file each into this folder instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Look after this namespace alone [default: all]
    #[arg(long, value_name = "NAMESPACE", env = "TAKT_NAMESPACE")]
    namespace: Option<String>,
    /// Namespace of the lease by which one of several operators leads
    #[arg(long, value_name = "NAMESPACE", env = "POD_NAMESPACE", default_value = "default")]
    lease_namespace: String,
    /// How long the lease lasts: after so long without a sign of life another operator takes over
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(2..=300))]
    lease_duration_secs: u64,
    /// Where the API of a Prometheus begins that has the servers' metrics, such as http://prometheus:9090; rollouts of the layer
    /// GRPCRoute are judged by it
    #[arg(long, value_name = "URL", env = "TAKT_PROMETHEUS_URL")]
    prometheus_url: Option<String>,
    /// Where metrics and health are served
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
}

/// Runs `takt operator ...`.
pub fn run(args: OperatorArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::Run(args) => operate(args),
        Command::Crds { out } => crds(out),
    }
}

fn operate(args: RunArgs) -> anyhow::Result<ExitCode> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let expires = Duration::from_secs(args.lease_duration_secs);
    let terms = Terms { namespace: args.lease_namespace, expires, renew: expires / 4, ..Terms::default() };
    let (namespace, listen, prometheus) = (args.namespace, args.listen, args.prometheus_url);
    let settings = Settings { namespace, terms, listen, pace: Pace::default(), prometheus };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        };
        run_operator(connect().await?, settings, stop).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn crds(out: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let files = takt_operator::crd::files()?;
    match out {
        Some(folder) => {
            std::fs::create_dir_all(&folder).with_context(|| format!("'{}'", folder.display()))?;
            for (name, text) in files {
                let path = folder.join(name);
                std::fs::write(&path, text).with_context(|| format!("'{}'", path.display()))?;
            }
        }
        None => {
            let mut stdout = std::io::stdout().lock();
            files.iter().try_for_each(|(_, text)| write!(stdout, "---\n{text}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
