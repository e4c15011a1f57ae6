//! A server started through the binary on ports that the system chooses.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use takt_proto::admin::RetryVersionRequest;
use takt_proto::admin::model_admin_client::ModelAdminClient;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};

use super::ask::{Client, is_ready};
use super::workspace::Workspace;
use super::{SOON, STEP};

/// A server that is about to be started.
pub struct Launch<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) arguments: Vec<String>,
    pub(super) fault: String,
    pub(super) settings: String,
    pub(super) shell: String,
}

impl Launch<'_> {
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// `TAKT_FAULT`, see `serving/backend/src/fault.rs`.
    pub fn fault(mut self, fault: &str) -> Self {
        fault.clone_into(&mut self.fault);
        self
    }

    /// A line of `takt.toml`.
    pub fn setting(mut self, line: &str) -> Self {
        self.settings.push_str(line);
        self.settings.push('\n');
        self
    }

    /// Commands of a shell that becomes the server, such as `trap '' XFSZ`.
    pub fn shell(mut self, commands: &str) -> Self {
        commands.clone_into(&mut self.shell);
        self
    }

    /// Starts it.
    pub fn spawn(self) -> Server {
        // One each: an orphan of the last server may still write to its own.
        let log_path = (1..).map(|life| self.workspace.path(&format!("server-{life}.log"))).find(|path| !path.exists());
        let log_path = log_path.unwrap();
        let settings = self.workspace.path("takt.toml");
        fs::write(&settings, &self.settings).unwrap();
        let log = File::create(&log_path).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{}\nexec \"$0\" \"$@\"", self.shell), env!("CARGO_BIN_EXE_takt")]);
        if self.shell.is_empty() {
            command = Command::new(env!("CARGO_BIN_EXE_takt"));
        }
        let child = command
            .arg("serve")
            .arg("--model-repository")
            .arg(self.workspace.repository())
            .arg("--state-dir")
            .arg(self.workspace.path("state"))
            .arg("--config")
            .arg(settings)
            .args(["--host", "127.0.0.1", "--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"])
            .args(["--runtime", "tract"])
            .args(&self.arguments)
            .env("TAKT_FAULT", &self.fault)
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Server { child, log_path, ports: Vec::new(), gone: Vec::new() }
    }

    /// Starts it and waits until it listens.
    pub async fn listening(self) -> Server {
        let mut server = self.spawn();
        let address = eventually("the server listens", || server.announced("gRPC")).await;
        server.ports.push(("gRPC", address));
        server
    }

    /// Starts it and waits until it is ready.
    pub async fn ready(self) -> Server {
        let server = self.listening().await;
        server.wait_ready().await;
        server
    }
}

/// A running server; killed with its workers when dropped, its log shown if the test fails.
pub struct Server {
    child: Child,
    log_path: PathBuf,
    ports: Vec<(&'static str, SocketAddr)>,
    /// Workers that were seen, in case the supervisor goes first.
    gone: Vec<Pid>,
}

impl Server {
    pub fn address(&self) -> SocketAddr {
        self.ports[0].1
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log_path).unwrap_or_default()
    }

    pub fn times_logged(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// The address that a listener announced in the log.
    pub fn announced(&self, protocol: &str) -> Option<SocketAddr> {
        let log = self.log();
        let line = log.lines().find(|line| line.contains(&format!("{protocol} listens")))?;
        line.split("address=").nth(1)?.split_whitespace().next()?.parse().ok()
    }

    /// A client on a connection of its own.
    pub fn client(&self) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address())).unwrap();
        Client::new(self.channel_of(endpoint)).max_decoding_message_size(usize::MAX)
    }

    /// `takt models retry`.
    pub async fn retry(&self, model: &str, version: u64) -> Result<(), Status> {
        let request = RetryVersionRequest { model: model.to_owned(), version };
        ModelAdminClient::new(self.channel()).retry_version(request).await.map(|_| ())
    }

    pub fn channel(&self) -> Channel {
        self.channel_of(Endpoint::from_shared(format!("http://{}", self.address())).unwrap())
    }

    fn channel_of(&self, endpoint: Endpoint) -> Channel {
        endpoint.connect_timeout(Duration::from_secs(5)).timeout(SOON).connect_lazy()
    }

    pub async fn wait_ready(&self) {
        let mut client = self.client();
        let begun = Instant::now();
        while !is_ready(&mut client).await {
            assert!(begun.elapsed() < SOON, "the server is not ready after {SOON:?}\n{}", self.log());
            tokio::time::sleep(STEP).await;
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The worker's process id, once there is one.
    pub fn worker(&self) -> Option<Pid> {
        children_of(self.pid()).into_iter().next()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Kills the worker as the out-of-memory killer does.
    pub fn kill_worker(&self) {
        kill_process(self.worker().expect("a worker runs"), Signal::KILL).unwrap();
    }

    /// Kills the supervisor alone.
    pub fn kill_supervisor(&mut self) {
        self.gone.extend(children_of(self.pid()));
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills supervisor and worker at the same moment, as a power cut does.
    pub fn kill_all(&mut self) {
        let workers = children_of(self.pid());
        // Stopped first: neither sees the other go.
        for &pid in workers.iter().chain([&self.pid()]) {
            let _ = kill_process(pid, Signal::STOP);
        }
        for &pid in workers.iter().chain([&self.pid()]) {
            let _ = kill_process(pid, Signal::KILL);
        }
        self.child.wait().unwrap();
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begun.elapsed() < within, "the server still runs after {within:?}\n{}", self.log());
            tokio::time::sleep(STEP).await;
        }
    }

    /// Ends it as an operator does: what answered well is then known to be good.
    pub async fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.ended(SOON).await;
        assert_eq!(status.code(), Some(0), "exit after SIGTERM\n{}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.gone.extend(children_of(self.pid()));
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
            for &pid in &self.gone {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("---- log of the server ----\n{}---- end of log ----", self.log());
        }
    }
}

fn children_of(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| {
            let number: i32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // "pid (name) state ppid ...": the name may hold anything, so count from its end.
            let mut after = stat.rsplit(')').next()?.split_whitespace();
            let (state, ppid) = (after.next()?, after.next()?);
            (ppid == parent && state != "Z").then(|| Pid::from_raw(number)).flatten()
        })
        .collect()
}

/// Waits until `look` finds something.
pub async fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < SOON, "waited {SOON:?} in vain: {what}");
        tokio::time::sleep(STEP).await;
    }
}
