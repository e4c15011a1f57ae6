//! What the serving benchmarks share: a server in a process of its own, what it has used, and medians.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::error::Error;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use takt_backend::discover::Surroundings;
use takt_backend::ort::{OrtBackend, RuntimeOptions};
use takt_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use takt_proto::inference::{ModelStatisticsRequest, ServerReadyRequest};
use tonic::transport::{Channel, Endpoint};

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// ResNet-18 at 64x64, made by `models.py`.
pub const MODEL: &str = "resnet18-64";
pub const SIDE: usize = 64;
pub const CLIENTS: usize = 16;

/// The folder with the networks and ONNX Runtime; `None`, with the reason printed, where one is missing.
pub fn prerequisites() -> Outcome<Option<(PathBuf, OrtBackend)>> {
    let models = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let Some(models) = models.map(PathBuf::from).filter(|folder| folder.join(MODEL).is_dir()) else {
        println!("skipped: make the networks with `python benches/models.py DIR` and name DIR after `--`");
        return Ok(None);
    };
    let Some(backend) = OrtBackend::find(&Surroundings::of_process(), RuntimeOptions::default())? else {
        println!("skipped: no ONNX Runtime found; set TAKT_ORT to its library");
        return Ok(None);
    };
    Ok(Some((models, backend)))
}

/// What the server has done so far.
pub struct Counts {
    pub images: u64,
    pub batches: u64,
    /// Nanoseconds in queue, input, infer and output.
    pub stages: [u64; 4],
}

/// A server of its own process, ended when dropped.
pub struct Server {
    child: Child,
    model: String,
    address: String,
    _state: tempfile::TempDir,
}

impl Server {
    pub fn start(models: &Path) -> Outcome<Self> {
        Self::start_with(models, MODEL, "")
    }

    /// Serves that model, under those settings of `takt.toml`.
    pub fn start_with(models: &Path, model: &str, settings: &str) -> Outcome<Self> {
        let state = tempfile::tempdir()?;
        let ports = [free_port()?, free_port()?, free_port()?];
        let mut command = Command::new(env!("CARGO_BIN_EXE_takt"));
        command.args(["serve", "--no-supervisor", "--host", "127.0.0.1", "--model-control-mode", "explicit"]);
        let config = state.path().join("takt.toml");
        std::fs::write(&config, settings)?;
        command.arg("--config").arg(config);
        command.args(["--load-model", model, "--runtime", "onnxruntime", "--model-repository"]).arg(models);
        command.arg("--state-dir").arg(state.path().join("state"));
        for (flag, port) in ["--grpc-port", "--http-port", "--metrics-port"].iter().zip(ports) {
            command.arg(flag).arg(port.to_string());
        }
        let child = command.env("RUST_LOG", "warn").stdin(Stdio::null()).spawn()?;
        let server =
            Self { child, model: model.to_owned(), address: format!("http://127.0.0.1:{}", ports[0]), _state: state };
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

    pub async fn client(&self) -> Outcome<GrpcInferenceServiceClient<Channel>> {
        let channel = Endpoint::from_shared(self.address.clone())?.tcp_nodelay(true).connect().await?;
        Ok(GrpcInferenceServiceClient::new(channel))
    }

    pub async fn statistics(&self) -> Outcome<Counts> {
        let request = ModelStatisticsRequest { name: self.model.clone(), version: String::new() };
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

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn pid(&self) -> String {
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

/// Processor time of a process's threads in seconds, to the nanosecond (`proc(5)`, task/*/schedstat, first field).
pub fn cpu_seconds(pid: &str) -> Outcome<f64> {
    let mut nanos = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += text.split_whitespace().next().ok_or("an empty schedstat")?.parse::<u64>()?;
    }
    Ok(nanos as f64 / 1e9)
}

pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Mean of paired ratios, taken of their logarithms, with the interval that covers it in 95 of 100 runs.
pub fn mean_ratio(ratios: &[f64]) -> String {
    let count = ratios.len() as f64;
    let mean = ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / count;
    let variance = ratios.iter().map(|ratio| (ratio.ln() - mean).powi(2)).sum::<f64>() / (count - 1.0);
    let half = 1.96 * (variance / count).sqrt();
    format!("{:.4} (95 % interval {:.4} to {:.4})", mean.exp(), (mean - half).exp(), (mean + half).exp())
}

/// Median with quartiles.
pub fn spread(values: &mut [f64]) -> String {
    let middle = median(values);
    format!("{middle:.3} (quartiles {:.3} to {:.3})", values[values.len() / 4], values[values.len() * 3 / 4])
}
