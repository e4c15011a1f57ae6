//! What watching costs: the same server with monitoring on and off, turn by turn, at saturation.
//!
//! ```text
//! TAKT_ORT=.../libonnxruntime.so cargo bench --bench monitoring -- examples
//! ```
//!
//! Serves the shipped model to 16 clients that send encoded images. Prints images per second and per CPU-second of both
//! servers and the mean ratios with their intervals (goal: monitoring costs at most 1 %). With `null` after the folder neither is
//! watched: what the benchmark says of no difference.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use takt_proto::inference::ModelInferRequest;
use takt_proto::inference::model_infer_request::InferInputTensor;
use tonic::Request;

use takt_proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use tonic::transport::Channel;

use support::{CLIENTS, Outcome, Server, cpu_seconds, mean_ratio};

const SHIPPED: &str = "surface-defects";
/// Many short turns: what else the machine does then falls on both alike.
const TURNS: usize = 200;
const SPAN: Duration = Duration::from_millis(250);
const WARM_UP: Duration = Duration::from_secs(5);

/// Learns its reference within seconds, so that counting over a grid is part of what is measured.
const WATCHED: &str = "[monitor.learn]\nunits = 1000\nhours = 0\n";
const UNWATCHED: &str = "[monitor]\nenabled = false\n";
const SETTINGS: &str = "[monitor]\npane_ms = 1000\n";

fn main() -> Outcome<()> {
    let examples = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).map(PathBuf::from);
    let Some(examples) = examples.filter(|folder| folder.join("repository").join(SHIPPED).is_dir()) else {
        println!("skipped: name the repository's folder `examples` after `--`");
        return Ok(());
    };
    let images = read_images(&examples.join("images"))?;
    let folder = tempfile::tempdir()?;
    let serve = |name: &str, toml: &str| -> Outcome<Server> {
        let models = folder.path().join(name);
        copy(&examples.join("repository"), &models)?;
        std::fs::write(models.join(SHIPPED).join("model.toml"), toml)?;
        Server::start_with(&models, SHIPPED, SETTINGS)
    };
    let null = std::env::args().any(|argument| argument == "null");
    let first = if null { UNWATCHED } else { WATCHED };
    let (watched, unwatched) = (serve("watched", first)?, serve("unwatched", UNWATCHED)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (watched, unwatched) =
        runtime.block_on(async { Ok::<_, Failure>((Line::to(&watched).await?, Line::to(&unwatched).await?)) })?;
    // Until the reference is learned and everything is warm.
    for line in [&watched, &unwatched] {
        runtime.block_on(line.saturate(&images, WARM_UP))?;
    }
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for turn in 0..TURNS {
        let order = if turn % 2 == 0 { [&watched, &unwatched] } else { [&unwatched, &watched] };
        let [first, second] = order.map(|line| runtime.block_on(line.saturate(&images, SPAN)));
        let (on, off) = if turn % 2 == 0 { (first?, second?) } else { (second?, first?) };
        cpu.push(on.per_cpu / off.per_cpu);
        wall.push(on.rate / off.rate);
        if turn == TURNS - 1 {
            println!(
                "last turn: on {:.0} images/s, {:.0} per CPU-second; off {:.0} images/s, {:.0} per CPU-second",
                on.rate, on.per_cpu, off.rate, off.per_cpu
            );
        }
    }
    println!("images per CPU-second, on / off: {} (goal 0.99)", mean_ratio(&cpu));
    println!("images per second, on / off: {} (goal 0.99)", mean_ratio(&wall));
    Ok(())
}

/// What was reached over a span of time.
struct Rate {
    rate: f64,
    per_cpu: f64,
}

type Failure = Box<dyn std::error::Error>;

/// A server and the clients that are connected to it.
struct Line {
    pid: String,
    clients: Vec<GrpcInferenceServiceClient<Channel>>,
}

impl Line {
    async fn to(server: &Server) -> Outcome<Self> {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            clients.push(server.client().await?);
        }
        Ok(Self { pid: server.pid(), clients })
    }

    /// All clients send one image after the other.
    async fn saturate(&self, images: &[Vec<u8>], span: Duration) -> Outcome<Rate> {
        let (begun, cpu) = (Instant::now(), cpu_seconds(&self.pid)?);
        let work = self.clients.iter().cloned().enumerate().map(|(number, mut client)| async move {
            let (mut count, station) = (0_usize, format!("station-{}", number % 4));
            while begun.elapsed() < span {
                let mut request = Request::new(encoded(&images[(number + count) % images.len()]));
                request.metadata_mut().insert("x-station-id", station.parse()?);
                client.model_infer(request).await?;
                count += 1;
            }
            Ok::<usize, Failure>(count)
        });
        let mut sent = 0;
        for count in futures_util::future::join_all(work).await {
            sent += count?;
        }
        let cpu = cpu_seconds(&self.pid)? - cpu;
        Ok(Rate { rate: sent as f64 / begun.elapsed().as_secs_f64(), per_cpu: sent as f64 / cpu })
    }
}

fn encoded(image: &[u8]) -> ModelInferRequest {
    let mut raw = u32::try_from(image.len()).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    raw.extend_from_slice(image);
    let input =
        InferInputTensor { name: "image".into(), datatype: "BYTES".into(), shape: vec![1], ..Default::default() };
    ModelInferRequest {
        model_name: SHIPPED.into(),
        inputs: vec![input],
        raw_input_contents: vec![raw.into()],
        ..Default::default()
    }
}

fn read_images(folder: &Path) -> Outcome<Vec<Vec<u8>>> {
    let files = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Outcome<Vec<_>>>()?;
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|kind| kind == "jpg"))
        .map(|f| Ok(std::fs::read(f)?))
        .collect()
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
