//! The demonstration's server: this program as a child process, with a temporary state directory.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use takt_proto::inference::{RepositoryIndexRequest, ServerReadyRequest};
use tempfile::TempDir;
use tonic::Request;

use super::examples::Examples;
use crate::client::{self, Grpc, ServerUrl, told};

/// How long requests in flight may take at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// How long the server may take to end beyond that, before it is killed.
const GRACE: Duration = Duration::from_secs(10);
/// How often the server is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long one look may take.
const ONE_LOOK: Duration = Duration::from_secs(2);
/// Lines of the log that are shown where the server failed.
const LOG_LINES: usize = 15;

/// Where the server listens.
#[derive(Debug, Clone, Serialize)]
pub struct Urls {
    /// `HOST:PORT`.
    pub grpc: String,
    /// `http://HOST:PORT`.
    pub http: String,
    /// `http://HOST:PORT`.
    pub metrics: String,
}

/// Ends with its owner.
pub struct DemoServer {
    child: Child,
    urls: Urls,
    log: PathBuf,
    _dir: TempDir,
}

impl Urls {
    /// The documented ports where they are free, else others.
    pub fn usual() -> anyhow::Result<Self> {
        Self::from_preferred([8001, 8000, 8002])
    }

    /// Ports that the system says are free.
    pub fn free() -> anyhow::Result<Self> {
        Self::from_preferred([0; 3])
    }

    fn from_preferred(ports: [u16; 3]) -> anyhow::Result<Self> {
        let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
        let listen = |port| bind(port).or_else(|_| bind(0)).context("no free port on 127.0.0.1");
        // All are bound before the first is let go, so that they differ.
        let listeners = [listen(ports[0])?, listen(ports[1])?, listen(ports[2])?];
        let address = |listener: &TcpListener| Ok::<_, std::io::Error>(listener.local_addr()?.to_string());
        let [grpc, http, metrics] = &listeners;
        Ok(Self {
            grpc: address(grpc)?,
            http: format!("http://{}", address(http)?),
            metrics: format!("http://{}", address(metrics)?),
        })
    }
}

impl DemoServer {
    /// Starts it on the shipped repository.
    pub fn start(examples: &Examples, urls: Urls) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("takt-demo-").tempdir().context("cannot make a temporary folder")?;
        let log = dir.path().join("server.log");
        let log_file = File::create(&log).with_context(|| format!("cannot write '{}'", log.display()))?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let port = |url: &str| url.rsplit(':').next().unwrap_or_default().to_owned();
        let mut command = Command::new(&program);
        command.arg("serve").arg("--model-repository").arg(&examples.repository);
        command.arg("--state-dir").arg(dir.path().join("state")).args(["--host", "127.0.0.1"]);
        command.args(["--grpc-port", &port(&urls.grpc), "--http-port", &port(&urls.http)]);
        command.args(["--metrics-port", &port(&urls.metrics)]);
        command.args(["--exit-timeout-secs", &DRAIN.as_secs().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log_file);
        // A group of its own: Ctrl-C reaches this process, which passes it on once.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().with_context(|| format!("cannot start '{}'", program.display()))?;
        Ok(Self { child, urls, log, _dir: dir })
    }

    /// Where it listens.
    pub fn urls(&self) -> &Urls {
        &self.urls
    }

    /// Waits until it serves `model`; says how long that took.
    ///
    /// # Errors
    /// It ends, takes too long, or cannot load the model.
    pub async fn ready(&mut self, model: &str, patience: Duration) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let url: ServerUrl = self.urls.grpc.parse().map_err(anyhow::Error::msg)?;
        let mut grpc = loop {
            if let Some(status) = self.child.try_wait()? {
                return Err(self.failed(status));
            }
            if let Ok(Some(grpc)) = tokio::time::timeout(ONE_LOOK, ready(&url)).await {
                break grpc;
            }
            if begun.elapsed() > patience {
                bail!("the server is not ready after {} s; its log ends with\n{}", patience.as_secs(), self.log_end());
            }
            tokio::time::sleep(LOOK).await;
        };
        let index = grpc.repository_index(RepositoryIndexRequest::default()).await.map_err(told)?.into_inner();
        if index.models.iter().any(|found| found.name == model && found.state == "READY") {
            return Ok(begun.elapsed());
        }
        let states = index.models.iter().map(|found| format!("\n  {} {} {}", found.name, found.state, found.reason));
        bail!(
            "the server does not serve '{model}'; it has{}\nits log ends with\n{}",
            states.collect::<String>(),
            self.log_end()
        )
    }

    /// Waits until it ends by itself, which it should not; says why.
    pub async fn ended(&mut self) -> anyhow::Error {
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return self.failed(status),
                Ok(None) => tokio::time::sleep(LOOK).await,
                Err(error) => return error.into(),
            }
        }
    }

    /// Lets it drain and end. Waits without blocking this thread, on which the client's connections close.
    ///
    /// # Errors
    /// It did not end by itself, or not cleanly.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.terminate()?;
        let begun = Instant::now();
        loop {
            match self.child.try_wait()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => return Err(self.failed(status)),
                None if begun.elapsed() > DRAIN + GRACE => {
                    self.child.kill()?;
                    bail!("the server did not end within {} s and was killed", (DRAIN + GRACE).as_secs());
                }
                None => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Asks it to end, if it has not.
    fn terminate(&mut self) -> anyhow::Result<()> {
        if self.child.try_wait()?.is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            kill_process(pid, Signal::TERM).context("cannot stop the server")?;
        }
        Ok(())
    }

    fn failed(&self, status: ExitStatus) -> anyhow::Error {
        anyhow!("the server ended with {status}; its log ends with\n{}", self.log_end())
    }

    fn log_end(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

impl Drop for DemoServer {
    fn drop(&mut self) {
        // After an error; after `stop` it has ended. Its folder goes when it is gone.
        let asked = self.terminate();
        let begun = Instant::now();
        while asked.is_ok() && begun.elapsed() < DRAIN + GRACE {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection, if the server there is ready.
async fn ready(url: &ServerUrl) -> Option<Grpc> {
    let mut grpc = client::connect(url).await.ok()?;
    let answer = grpc.server_ready(Request::new(ServerReadyRequest {})).await.ok()?;
    answer.into_inner().ready.then_some(grpc)
}
