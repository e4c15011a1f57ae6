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

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use takt_backend::{Backend, InputView, LoadRequest, Session};
use takt_proto::inference::model_infer_request::InferInputTensor;
use takt_proto::inference::{ModelInferRequest, ServerLiveRequest};

use support::{CLIENTS, MODEL, Outcome, SIDE, Server, cpu_seconds, median, prerequisites, spread};

/// Both sides take turns this often, so that a neighbour on the machine disturbs both alike.
const TURNS: usize = 12;
const SPAN: Duration = Duration::from_secs(1);
const SINGLE_RUNS: usize = 600;

fn main() -> Outcome<()> {
    let Some((models, backend)) = prerequisites()? else { return Ok(()) };
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

fn bytes(words: &[u64]) -> &[u8] {
    bytemuck::cast_slice(words)
}
