//! What the end-to-end tests share: a folder with a repository and a state directory, a server started through the
//! binary on ports that the system chooses, and a client.
//!
//! Models are the small ones of the backend's tests: `classifier`, `nameless_batch` and `traced_shapes` have the same
//! input and output and other weights, so that they stand for three versions of one model with three digests.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use takt_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use takt_proto::inference::repository_index_response::ModelIndex;
use takt_proto::inference::*;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

pub type Client = GrpcInferenceServiceClient<Channel>;

/// Longest wait for anything that should come soon, on a slow and busy machine.
pub const SOON: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(20);

/// A repository and a state directory, gone with the test.
pub struct Workspace {
    root: tempfile::TempDir,
}

impl Workspace {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("takt-e2e-").tempdir().unwrap();
        fs::create_dir(root.path().join("repository")).unwrap();
        Self { root }
    }

    pub fn path(&self, within: &str) -> PathBuf {
        self.root.path().join(within)
    }

    /// Waits until the journal says that a load has begun: the index says so some milliseconds before.
    pub async fn load_is_recorded(&self) {
        let journal = self.path("state/journal.json");
        let begun = Instant::now();
        while !fs::read_to_string(&journal).is_ok_and(|text| text.contains("\"kind\": \"load\"")) {
            assert!(begun.elapsed() < SOON, "waited {SOON:?} in vain for a load in {}", journal.display());
            tokio::time::sleep(STEP).await;
        }
    }

    pub fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    /// Puts one of the backend's test models there as a version, all at once.
    pub fn add(&self, model: &str, version: u64, source: &str) -> &Self {
        self.add_bytes(model, version, &fs::read(test_model(source)).unwrap())
    }

    pub fn add_bytes(&self, model: &str, version: u64, onnx: &[u8]) -> &Self {
        let folder = self.repository().join(model);
        fs::create_dir_all(&folder).unwrap();
        let aside = self.path(&format!("aside-{model}-{version}"));
        fs::create_dir(&aside).unwrap();
        fs::write(aside.join("model.onnx"), onnx).unwrap();
        let place = folder.join(version.to_string());
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        fs::rename(aside, place).unwrap();
        self
    }

    /// Writes `model.toml`, all at once.
    pub fn configure(&self, model: &str, toml: &str) -> &Self {
        let folder = self.repository().join(model);
        fs::create_dir_all(&folder).unwrap();
        let aside = self.path(&format!("aside-{model}.toml"));
        fs::write(&aside, toml).unwrap();
        fs::rename(aside, folder.join("model.toml")).unwrap();
        self
    }

    /// A model whose first request is the first run of its session.
    pub fn add_unwarmed(&self, model: &str, version: u64, source: &str) -> &Self {
        self.configure(model, "max_batch_size = 4\nwarmup = false\n").add(model, version, source)
    }

    /// The repository that is shipped with Takt.
    pub fn add_shipped(&self) -> &Self {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/repository/surface-defects");
        copy_folder(&shipped, &self.repository().join("surface-defects"));
        self
    }

    pub fn server(&self) -> Launch<'_> {
        Launch { workspace: self, arguments: Vec::new(), fault: String::new(), settings: "poll_secs = 1\n".into() }
    }
}

pub fn test_model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("serving/backend/tests/models").join(format!("{name}.onnx"))
}

pub fn shipped_image(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/images").join(name)).unwrap()
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A server that is about to be started.
pub struct Launch<'a> {
    workspace: &'a Workspace,
    arguments: Vec<String>,
    fault: String,
    settings: String,
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

    /// Starts it and waits until it listens.
    pub async fn listening(self) -> Server {
        // One each: an orphan of the last server may still write to its own.
        let log_path = (1..).map(|life| self.workspace.path(&format!("server-{life}.log"))).find(|path| !path.exists());
        let log_path = log_path.unwrap();
        let settings = self.workspace.path("takt.toml");
        fs::write(&settings, &self.settings).unwrap();
        let log = File::create(&log_path).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_takt"))
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
        let mut server = Server { child, log_path, ports: Vec::new(), gone: Vec::new() };
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

/// Waits until a line of the index satisfies `look`.
pub async fn index_shows(
    client: &mut Client,
    model: &str,
    version: u64,
    look: impl Fn(&ModelIndex) -> bool,
) -> ModelIndex {
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < SOON {
        if let Some(line) = index_line(client, model, version).await {
            if look(&line) {
                return line;
            }
            last = Some(line);
        }
        tokio::time::sleep(STEP).await;
    }
    panic!("waited {SOON:?} in vain for a state of '{model}' version {version}; last seen: {last:?}");
}

pub async fn index_line(client: &mut Client, model: &str, version: u64) -> Option<ModelIndex> {
    let index = client.repository_index(RepositoryIndexRequest::default()).await.ok()?.into_inner();
    index.models.into_iter().find(|line| line.name == model && line.version == version.to_string())
}

pub async fn is_ready(client: &mut Client) -> bool {
    client.server_ready(ServerReadyRequest {}).await.is_ok_and(|answer| answer.into_inner().ready)
}

pub async fn is_model_ready(client: &mut Client, model: &str) -> bool {
    let request = ModelReadyRequest { name: model.into(), version: String::new() };
    client.model_ready(request).await.is_ok_and(|answer| answer.into_inner().ready)
}

pub async fn infer(client: &mut Client, request: ModelInferRequest) -> Result<ModelInferResponse, Status> {
    client.model_infer(request).await.map(tonic::Response::into_inner)
}

/// The version that answers a good request.
pub async fn version_of(client: &mut Client, model: &str) -> Result<u64, Status> {
    infer(client, image(model, 1)).await.map(|answer| answer.model_version.parse().unwrap())
}

/// Asks until a version answers; returns it with the time that took.
pub async fn answers_again(client: &mut Client, model: &str) -> (u64, Duration) {
    let begun = Instant::now();
    loop {
        match version_of(client, model).await {
            Ok(version) => return (version, begun.elapsed()),
            Err(status) => assert!(begun.elapsed() < SOON, "'{model}' does not answer again: {status}"),
        }
        tokio::time::sleep(STEP).await;
    }
}

/// Whether a client that gets this code tries again: the answer when a worker dies under a request. A broken connection
/// is UNAVAILABLE to most gRPC libraries; tonic calls it UNKNOWN where the stream had begun.
pub fn can_retry(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Cancelled)
}

/// A request of zeros for `classifier` and its kin.
pub fn image(model: &str, rows: i64) -> ModelInferRequest {
    tensor_request(model, "image", "FP32", &[rows, 3, 16, 16], vec![0; rows as usize * 3 * 16 * 16 * 4])
}

pub fn tensor(name: &str, datatype: &str, shape: &[i64]) -> InferInputTensor {
    InferInputTensor {
        name: name.into(),
        datatype: datatype.into(),
        shape: shape.to_vec(),
        ..InferInputTensor::default()
    }
}

pub fn tensor_request(model: &str, name: &str, datatype: &str, shape: &[i64], raw: Vec<u8>) -> ModelInferRequest {
    ModelInferRequest {
        model_name: model.into(),
        inputs: vec![tensor(name, datatype, shape)],
        raw_input_contents: vec![Bytes::from(raw)],
        ..ModelInferRequest::default()
    }
}

/// A request of one encoded image for the shipped model.
pub fn encoded(image: &[u8]) -> ModelInferRequest {
    let mut raw = u32::try_from(image.len()).unwrap().to_le_bytes().to_vec();
    raw.extend_from_slice(image);
    tensor_request("surface-defects", "image", "BYTES", &[1], raw)
}

pub fn output(name: &str, parameters: &[(&str, ParameterChoice)]) -> InferRequestedOutputTensor {
    let parameters = parameters.iter().map(|(key, choice)| ((*key).to_owned(), parameter(choice.clone()))).collect();
    InferRequestedOutputTensor { name: name.into(), parameters }
}

pub fn parameter(choice: ParameterChoice) -> InferParameter {
    InferParameter { parameter_choice: Some(choice) }
}

/// With a deadline of its own.
pub fn within<T>(message: T, timeout: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(timeout);
    request
}

/// What a call without a gRPC library gave: nothing stands between the test and the wire.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: i32,
    pub message: String,
    pub body: Vec<u8>,
}

/// Calls a method by HTTP/2 alone, with a `grpc-timeout` that no timer of the client's enforces.
pub async fn raw_call(
    server: &Server,
    method: &str,
    message: &impl prost::Message,
    timeout: Option<&str>,
) -> RawAnswer {
    let stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut request =
        http::Request::post(format!("http://{}/inference.GRPCInferenceService/{method}", server.address()))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
    if let Some(timeout) = timeout {
        request = request.header("grpc-timeout", timeout);
    }
    let mut client = client.ready().await.unwrap();
    let (response, mut send) = client.send_request(request.body(()).unwrap(), false).unwrap();
    let encoded = message.encode_to_vec();
    let mut framed = vec![0];
    framed.extend(u32::try_from(encoded.len()).unwrap().to_be_bytes());
    framed.extend(encoded);
    send.send_data(framed.into(), true).unwrap();
    let (head, mut body) = response.await.unwrap().into_parts();
    let mut data = Vec::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk.unwrap();
        body.flow_control().release_capacity(chunk.len()).unwrap();
        data.extend_from_slice(&chunk);
    }
    let trailers = body.trailers().await.unwrap().unwrap_or(head.headers);
    let text = |key: &str| trailers.get(key).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    RawAnswer {
        status: text("grpc-status").parse().unwrap(),
        message: text("grpc-message"),
        body: data.split_off(data.len().min(5)),
    }
}

pub fn floats(raw: &[u8]) -> Vec<f32> {
    raw.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// Sum of a model's `inference_count` over its versions.
pub async fn statistics(client: &mut Client, model: &str) -> ModelStatistics {
    let request = ModelStatisticsRequest { name: model.into(), version: String::new() };
    client.model_statistics(request).await.unwrap().into_inner().model_stats.remove(0)
}
