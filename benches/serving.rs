//! What serving costs over calling ONNX Runtime directly: same model, same library, same threads, side by side in one run.
//!
//! ```text
//! python benches/models.py target/bench-models        # needs torch and onnx
//! TAKT_ORT=.../libonnxruntime.so cargo bench --bench serving -- target/bench-models
//! ```
//!
//! Prints the latency of one client beside that of the call in process, with the stages as the server counts them; then, turn
//! by turn and as medians, images per CPU-second and per second through gRPC with 16 clients and in process at the batch size
//! that the server reached.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use takt_backend::discover::Surroundings;
use takt_backend::ort::{OrtBackend, RuntimeOptions};
use takt_backend::{Backend, InputView, LoadRequest, Session};
use takt_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use takt_proto::inference::model_infer_request::InferInputTensor;
use takt_proto::inference::{ModelInferRequest, ModelStatisticsRequest, ServerLiveRequest, ServerReadyRequest};
use tonic::transport::{Channel, Endpoint};

type Outcome<T> = Result<T, Box<dyn Error>>;

const MODEL: &str = "resnet18-64";
const SIDE: usize = 64;
const CLIENTS: usize = 16;
/// Both sides take turns this often, so that a neighbour on the machine disturbs both alike.
const TURNS: usize = 12;
const SPAN: Duration = Duration::from_secs(1);
const SINGLE_RUNS: usize = 600;

fn main() -> Outcome<()> {
    let models = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let Some(models) = models.map(PathBuf::from).filter(|folder| folder.join(MODEL).is_dir()) else {
        println!("skipped: make the networks with `python benches/models.py DIR` and name DIR after `--`");
        return Ok(());
    };
    let Some(backend) = OrtBackend::find(&Surroundings::of_process(), RuntimeOptions::default())? else {
        println!("skipped: no ONNX Runtime found; set TAKT_ORT to its library");
        return Ok(());
    };
    let request = LoadRequest {
        model: models.join(MODEL).join("1/model.onnx"),
        batch_sizes: vec![1, CLIENTS],
        ..LoadRequest::default()
    };
    let mut session = backend.load(&request)?;
    let server = Server::start(&models)?;
    // One thread: a client that adds as little as it can.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    println!("{MODEL}, ONNX Runtime {}, {} cores", backend.version(), std::thread::available_parallelism()?);

    let single = runtime.block_on(single(&server, session.as_mut()))?;
    println!("one client, {SINGLE_RUNS} requests in turn with calls in process:");
    println!("  in process      p50 {:>6.0} us  mean {:>6.0} us", single.inside.p50, single.inside.mean);
    println!("  through gRPC    p50 {:>6.0} us  mean {:>6.0} us", single.served.p50, single.served.mean);
    for (stage, mean) in ["queue", "input", "infer", "output"].iter().zip(single.stages) {
        println!("    {stage:<12}               mean {mean:>6.0} us");
    }
    println!("  an empty call   p50 {:>6.0} us  mean {:>6.0} us", single.empty.p50, single.empty.mean);
    println!(
        "  waking a thread p50 {:>6.0} us  mean {:>6.0} us (a byte to a sleeping thread and back)",
        single.wake.p50, single.wake.mean
    );
    let rest = single.served.mean - single.stages.iter().sum::<f64>();
    println!("    protocol, wake-ups, client mean {rest:>6.0} us");
    println!("  added at p50: {:.0} us (goal 150)", single.served.p50 - single.inside.p50);

    let (mut cpu_ratios, mut wall_ratios) = (Vec::new(), Vec::new());
    for turn in 1..=TURNS {
        let served = runtime.block_on(many_clients(&server))?;
        let inside = in_process(session.as_mut(), served.batch.round().max(1.0) as usize)?;
        println!(
            "turn {turn:>2}: {CLIENTS} clients, batch {:.1}: {:.0} images/s, {:.0} per server CPU-second; in process: {:.0} \
             images/s, {:.0} per CPU-second",
            served.batch, served.rate, served.per_cpu, inside.rate, inside.per_cpu
        );
        cpu_ratios.push(served.per_cpu / inside.per_cpu);
        wall_ratios.push(served.rate / inside.rate);
    }
    println!("images per CPU-second, served / in process: {} (goal 0.95)", spread(&mut cpu_ratios));
    println!(
        "images per second, served / in process, client on the same cores: {} (goal 0.90)",
        spread(&mut wall_ratios)
    );
    Ok(())
}

/// What was reached over a span of time.
struct Rate {
    rate: f64,
    per_cpu: f64,
    batch: f64,
}

fn in_process(session: &mut dyn Session, batch: usize) -> Outcome<Rate> {
    let data = vec![0u64; batch * 3 * SIDE * SIDE / 2];
    let shape = [batch, 3, SIDE, SIDE];
    let view = InputView { datatype: takt_artifact::DataType::Fp32, shape: &shape, data: bytes(&data) };
    session.run(&[view])?;
    let (begun, cpu) = (Instant::now(), cpu_seconds("self")?);
    let mut images = 0;
    while begun.elapsed() < SPAN {
        session.run(&[view])?;
        images += batch;
    }
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds("self")? - cpu);
    Ok(Rate { rate: images as f64 / wall, per_cpu: images as f64 / cpu, batch: batch as f64 })
}

/// Latency in microseconds.
struct Latency {
    p50: f64,
    mean: f64,
}

impl Latency {
    fn of(mut times: Vec<f64>) -> Self {
        let mean = times.iter().sum::<f64>() / times.len() as f64;
        Self { p50: median(&mut times), mean }
    }
}

struct Single {
    inside: Latency,
    served: Latency,
    /// `ServerLive`: what the protocol and waking threads up cost without a tensor.
    empty: Latency,
    /// A byte to a thread that slept meanwhile, and back: the floor of any two hops between threads on this machine.
    wake: Latency,
    /// Mean microseconds in queue, input, infer and output, as the server counts them.
    stages: [f64; 4],
}

async fn single(server: &Server, session: &mut dyn Session) -> Outcome<Single> {
    let mut client = server.client().await?;
    let data = vec![0u64; 3 * SIDE * SIDE / 2];
    let shape = [1, 3, SIDE, SIDE];
    let view = InputView { datatype: takt_artifact::DataType::Fp32, shape: &shape, data: bytes(&data) };
    let (mut inside, mut served, mut empty, mut wake) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut near, mut far) = UnixStream::pair()?;
    std::thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).and_then(|()| far.write_all(&byte)).is_ok() {}
    });
    let before = server.statistics().await?;
    for _ in 0..SINGLE_RUNS {
        let begun = Instant::now();
        session.run(&[view])?;
        inside.push(begun.elapsed().as_secs_f64() * 1e6);
        let request = infer_request();
        let begun = Instant::now();
        client.model_infer(request).await?;
        served.push(begun.elapsed().as_secs_f64() * 1e6);
        let begun = Instant::now();
        client.server_live(ServerLiveRequest {}).await?;
        empty.push(begun.elapsed().as_secs_f64() * 1e6);
        session.run(&[view])?;
        let begun = Instant::now();
        near.write_all(&[1])?;
        near.read_exact(&mut [0])?;
        wake.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    let after = server.statistics().await?;
    let stages =
        std::array::from_fn(|stage| (after.stages[stage] - before.stages[stage]) as f64 / 1e3 / SINGLE_RUNS as f64);
    let [inside, served, empty, wake] = [inside, served, empty, wake].map(Latency::of);
    Ok(Single { inside, served, empty, wake, stages })
}

async fn many_clients(server: &Server) -> Outcome<Rate> {
    let before = server.statistics().await?;
    let (begun, cpu) = (Instant::now(), cpu_seconds(&server.pid())?);
    let clients = (0..CLIENTS).map(|_| async {
        let mut client = server.client().await?;
        while begun.elapsed() < SPAN {
            client.model_infer(infer_request()).await?;
        }
        Outcome::Ok(())
    });
    futures_util::future::try_join_all(clients).await?;
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds(&server.pid())? - cpu);
    let after = server.statistics().await?;
    let images = (after.images - before.images) as f64;
    let batches = (after.batches - before.batches).max(1) as f64;
    Ok(Rate { rate: images / wall, per_cpu: images / cpu, batch: images / batches })
}

fn infer_request() -> ModelInferRequest {
    ModelInferRequest {
        model_name: MODEL.to_owned(),
        inputs: vec![InferInputTensor {
            name: "input".to_owned(),
            datatype: "FP32".to_owned(),
            shape: vec![1, 3, SIDE as i64, SIDE as i64],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![vec![0; 3 * SIDE * SIDE * 4].into()],
        ..ModelInferRequest::default()
    }
}

/// What the server has done so far.
struct Counts {
    images: u64,
    batches: u64,
    /// Nanoseconds in queue, input, infer and output.
    stages: [u64; 4],
}

/// A server of its own process, ended when dropped.
struct Server {
    child: Child,
    address: String,
    _state: tempfile::TempDir,
}

impl Server {
    fn start(models: &Path) -> Outcome<Self> {
        let state = tempfile::tempdir()?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt"));
        command.args(["serve", "--no-supervisor", "--host", "127.0.0.1", "--model-control-mode", "explicit"]);
        command.args(["--load-model", MODEL, "--runtime", "onnxruntime", "--model-repository"]).arg(models);
        command.arg("--state-dir").arg(state.path());
        for (flag, port) in ["--grpc-port", "--http-port", "--metrics-port"].iter().zip(ports) {
            command.arg(flag).arg(port.to_string());
        }
        let child = command.env("RUST_LOG", "warn").stdin(Stdio::null()).spawn()?;
        let server = Self { child, address: format!("http://127.0.0.1:{}", ports[0]), _state: state };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !runtime.block_on(server.is_ready()) {
            if Instant::now() > deadline {
                return Err("the server was not ready within 60 s".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(server)
    }

    async fn is_ready(&self) -> bool {
        match self.client().await {
            Ok(mut client) => {
                client.server_ready(ServerReadyRequest {}).await.is_ok_and(|answer| answer.get_ref().ready)
            }
            Err(_) => false,
        }
    }

    async fn client(&self) -> Outcome<GrpcInferenceServiceClient<Channel>> {
        let channel = Endpoint::from_shared(self.address.clone())?.tcp_nodelay(true).connect().await?;
        Ok(GrpcInferenceServiceClient::new(channel))
    }

    async fn statistics(&self) -> Outcome<Counts> {
        let request = ModelStatisticsRequest { name: MODEL.to_owned(), version: String::new() };
        let answer = self.client().await?.model_statistics(request).await?.into_inner();
        let stats = answer.model_stats.first().ok_or("no statistics")?;
        let times = stats.inference_stats.as_ref().ok_or("no statistics of stages")?;
        let stages = [&times.queue, &times.compute_input, &times.compute_infer, &times.compute_output];
        Ok(Counts {
            images: stats.inference_count,
            batches: stats.execution_count,
            stages: stages.map(|stage| stage.as_ref().map_or(0, |stage| stage.ns)),
        })
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Outcome<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// User and system time of a process in seconds (`proc(5)`, stat fields 14 and 15, in ticks of 1/100 s).
fn cpu_seconds(pid: &str) -> Outcome<f64> {
    let mut text = String::new();
    std::fs::File::open(format!("/proc/{pid}/stat"))?.read_to_string(&mut text)?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
    Ok(ticks as f64 / 100.0)
}

fn bytes(words: &[u64]) -> &[u8] {
    bytemuck::cast_slice(words)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Median with quartiles.
fn spread(values: &mut [f64]) -> String {
    let middle = median(values);
    format!("{middle:.3} (quartiles {:.3} to {:.3})", values[values.len() / 4], values[values.len() * 3 / 4])
}
