//! `takt serve`: supervisor and worker, or one process with `--no-supervisor`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use takt_serving::server::{self, GRPC, HTTP, METRICS};
use takt_serving::settings::{ControlMode, RawSettings, RuntimeChoice, ServerSettings};
use takt_serving::state::{Access, StateDir, StateError};
use takt_serving::supervise::{self, Inherited, Listeners, SupervisorSpec};
use tracing_subscriber::EnvFilter;

/// How much longer than the exit timeout the supervisor waits before it kills its worker.
const GRACE: Duration = Duration::from_secs(2);

/// How often a state directory that is still in use is tried again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Serve the models of a repository over gRPC and HTTP.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Folder with one folder per model
    #[arg(long, value_name = "DIR")]
    model_repository: Option<PathBuf>,
    /// What must survive the process: quarantines, last good versions, engines
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// Settings of the server as a whole; flags go before it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to listen on [default: 0.0.0.0]
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// [default: 8001; 0 lets the system choose]
    #[arg(long, value_name = "PORT")]
    grpc_port: Option<u16>,
    /// [default: 8000; 0 lets the system choose]
    #[arg(long, value_name = "PORT")]
    http_port: Option<u16>,
    /// [default: 8002; 0 lets the system choose]
    #[arg(long, value_name = "PORT")]
    metrics_port: Option<u16>,
    /// Who decides which models are loaded [default: poll]
    #[arg(long, value_enum)]
    model_control_mode: Option<Mode>,
    /// Model to load at the start, in mode explicit; may be repeated
    #[arg(long, value_name = "MODEL")]
    load_model: Vec<String>,
    /// How long requests in flight may take after SIGTERM [default: 30]
    #[arg(long, value_name = "SECONDS")]
    exit_timeout_secs: Option<u64>,
    /// Runtime for models that leave it open [default: auto]
    #[arg(long, value_enum)]
    runtime: Option<Runtime>,
    /// Threads of the runtime's shared pool [default: one per core]
    #[arg(long, value_name = "N")]
    intra_op_threads: Option<usize>,
    /// Most bytes of requests in flight [default: an eighth of the memory]
    #[arg(long, value_name = "BYTES")]
    max_in_flight_bytes: Option<usize>,
    /// Largest message [default: 2147483647]
    #[arg(long, value_name = "BYTES")]
    max_message_bytes: Option<usize>,
    /// Most gRPC connections [default: 1024]
    #[arg(long, value_name = "N")]
    max_connections: Option<usize>,
    /// Where traces go, such as http://127.0.0.1:4317 [default: nowhere]
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// Run in one process, where something else restarts it
    #[arg(long)]
    no_supervisor: bool,
    /// How log lines look
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    /// All models at the start; later changes are not looked at
    None,
    /// All models; changes in the repository are picked up
    Poll,
    /// Only what is asked for
    Explicit,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Runtime {
    /// ONNX Runtime where it is found, else tract
    Auto,
    /// tract
    Tract,
    /// ONNX Runtime, or an error
    Onnxruntime,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// Runs until told to stop.
pub fn run(args: ServeArgs) -> anyhow::Result<ExitCode> {
    start_log(args.log_format);
    let no_supervisor = args.no_supervisor;
    let settings = settings(args)?;
    if let Some(Inherited { listeners, link }) = Inherited::from_env()? {
        let state = StateDir::open(&settings.state_dir, Access::Worker)?;
        server::serve(&settings, listeners, &state, Some(&link))?;
        return Ok(ExitCode::SUCCESS);
    }
    let state = own_state_dir(&settings)?;
    let listeners = Listeners::bind([(GRPC, settings.grpc), (HTTP, settings.http), (METRICS, settings.metrics)])?;
    if no_supervisor {
        server::settle_previous_life(&state)?;
        server::serve(&settings, listeners, &state, None)?;
        return Ok(ExitCode::SUCCESS);
    }
    let executable = std::env::current_exe()?;
    let ended = supervise::run(SupervisorSpec {
        command: Box::new(move || {
            let mut command = Command::new(&executable);
            command.args(std::env::args_os().skip(1));
            command
        }),
        listeners,
        state: Some(state),
        exit_timeout: settings.exit_timeout,
        grace: GRACE,
        observe: Box::new(|_| ()),
    })?;
    Ok(ExitCode::from(ended.exit_code()))
}

/// Takes over the state directory. Where a supervisor was killed, its worker holds it until it has drained; whatever
/// restarts servers starts the next one before that, and should not have to try twice.
fn own_state_dir(settings: &ServerSettings) -> Result<StateDir, StateError> {
    let deadline = Instant::now() + settings.exit_timeout + GRACE;
    let mut told = false;
    loop {
        match StateDir::open(&settings.state_dir, Access::Owner) {
            Err(error @ StateError::WorkerAlive { .. }) if Instant::now() < deadline => {
                if !std::mem::replace(&mut told, true) {
                    tracing::warn!(%error, "waiting for the worker of an earlier server to end");
                }
                std::thread::sleep(LOOK_AGAIN);
            }
            opened => return opened,
        }
    }
}

fn settings(args: ServeArgs) -> anyhow::Result<ServerSettings> {
    let file = args.config.as_deref().map(RawSettings::read).transpose()?.unwrap_or_default();
    let raw = RawSettings {
        model_repository: args.model_repository,
        state_dir: args.state_dir,
        host: args.host,
        grpc_port: args.grpc_port,
        http_port: args.http_port,
        metrics_port: args.metrics_port,
        model_control_mode: args.model_control_mode.map(|mode| match mode {
            Mode::None => ControlMode::None,
            Mode::Poll => ControlMode::Poll,
            Mode::Explicit => ControlMode::Explicit,
        }),
        load_model: (!args.load_model.is_empty()).then_some(args.load_model),
        exit_timeout_secs: args.exit_timeout_secs,
        runtime: args.runtime.map(|runtime| match runtime {
            Runtime::Auto => RuntimeChoice::Auto,
            Runtime::Tract => RuntimeChoice::Tract,
            Runtime::Onnxruntime => RuntimeChoice::Onnxruntime,
        }),
        intra_op_threads: args.intra_op_threads,
        max_in_flight_bytes: args.max_in_flight_bytes,
        max_message_bytes: args.max_message_bytes,
        max_connections: args.max_connections,
        otlp_endpoint: args.otlp_endpoint,
        ..RawSettings::default()
    };
    Ok(ServerSettings::try_from(raw.over(file))?)
}

/// Log lines go to stderr; `RUST_LOG` chooses which (default: info).
fn start_log(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,tract_onnx=warn,tract_core=warn,ort=warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Saying on stderr that stderr takes nothing ends in a panic of whoever logs: a log on a full disk would stop serving.
    let log = log.log_internal_errors(false);
    let log = log.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match format {
        LogFormat::Text => log.with_target(false).init(),
        LogFormat::Json => log.json().init(),
    }
}
