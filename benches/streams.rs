//! Camera frames through the whole server: 16 streams of 1920x1080 JPEGs, against decoding alone and inferring alone on the
//! same cores, in turn in one run.
//!
//! ```text
//! python benches/models.py target/bench-models
//! FRAME=frame.jpg TAKT_ORT=.../libonnxruntime.so cargo bench --profile release --bench streams -- target/bench-models
//! ```
//!
//! `serving/image/benches/reference.py make FILE` makes a frame. Where decoding and inference share the processor, the most that
//! can be reached is 1 / (1 / decode + 1 / infer); where a GPU infers, it is the smaller of both.

#![allow(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod support;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use takt_artifact::{DataType, Preprocess};
use takt_backend::{Backend, InputView, LoadRequest, Session};
use takt_image::{Limits, Preprocessor, Scratch};
use takt_proto::inference::ModelInferRequest;
use takt_proto::inference::model_infer_request::InferInputTensor;

use support::{CLIENTS, MODEL, Outcome, SIDE, Server, prerequisites, spread};

const TURNS: usize = 6;
const SPAN: Duration = Duration::from_secs(2);
/// What the server batches at most, and what is inferred at a time here.
const BATCH: usize = 16;
/// Requests that a camera's stream holds under way.
const AHEAD: usize = 2;

fn main() -> Outcome<()> {
    let Some((models, backend)) = prerequisites()? else { return Ok(()) };
    let Some(frame) = std::env::var_os("FRAME") else {
        println!("skipped: set FRAME to a JPEG of 1920x1080");
        return Ok(());
    };
    let frame = Bytes::from(std::fs::read(frame)?);
    let request = LoadRequest {
        model: models.join(MODEL).join("1/model.onnx"),
        batch_sizes: vec![BATCH],
        ..LoadRequest::default()
    };
    let mut session = backend.load(&request)?;
    let server = Server::start(&models)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut of_shared, mut of_smaller) = (Vec::new(), Vec::new());
    for turn in 1..=TURNS {
        let served = runtime.block_on(streams(&server, &frame))?;
        let decode = decode_only(&frame)?;
        let infer = infer_only(session.as_mut())?;
        let shared = 1.0 / (1.0 / decode + 1.0 / infer);
        println!(
            "turn {turn}: {CLIENTS} streams {served:.0} images/s; decode only {decode:.0}, infer only {infer:.0}, both on these \
             cores at most {shared:.0}"
        );
        of_shared.push(served / shared);
        of_smaller.push(served / decode.min(infer));
    }
    println!("of what these cores can give: {}", spread(&mut of_shared));
    println!("of the smaller of decode only and infer only: {} (goal 0.9, with a GPU)", spread(&mut of_smaller));
    Ok(())
}

/// Images a second through [`CLIENTS`] bidirectional streams.
async fn streams(server: &Server, frame: &Bytes) -> Outcome<f64> {
    let begun = Instant::now();
    let answered = AtomicU64::new(0);
    let clients = (0..CLIENTS).map(|_| async {
        let mut client = server.client().await?;
        let (send, receive) = tokio::sync::mpsc::channel(AHEAD);
        let requests = tokio_stream::wrappers::ReceiverStream::new(receive);
        for _ in 0..AHEAD {
            send.try_send(request(frame))?;
        }
        let mut answers = client.model_stream_infer(requests).await?.into_inner();
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            if !answer.error_message.is_empty() {
                return Err(answer.error_message.into());
            }
            answered.fetch_add(1, Relaxed);
            if begun.elapsed() >= SPAN {
                break;
            }
            send.try_send(request(frame))?;
        }
        Outcome::Ok(())
    });
    futures_util::future::try_join_all(clients).await?;
    Ok(answered.load(Relaxed) as f64 / begun.elapsed().as_secs_f64())
}

fn request(frame: &Bytes) -> ModelInferRequest {
    let mut raw = Vec::with_capacity(4 + frame.len());
    raw.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    raw.extend_from_slice(frame);
    ModelInferRequest {
        model_name: MODEL.to_owned(),
        inputs: vec![InferInputTensor {
            name: "input".to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![1],
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![raw.into()],
        ..ModelInferRequest::default()
    }
}

/// Images a second that all cores decode to the model's input.
fn decode_only(frame: &[u8]) -> Outcome<f64> {
    let spec: Preprocess = serde_json::from_str(&format!(r#"{{"input":"input","width":{SIDE},"height":{SIDE}}}"#))?;
    let preprocessor = Preprocessor::new(&spec, Limits::default())?;
    let threads = std::thread::available_parallelism()?.get();
    let begun = Instant::now();
    let work = || -> Result<u64, takt_image::ImageError> {
        let (mut scratch, mut out, mut images) = (Scratch::new(), vec![0.0f32; preprocessor.elements()], 0);
        while begun.elapsed() < SPAN {
            preprocessor.preprocess(frame, &mut out, &mut scratch)?;
            images += 1;
        }
        Ok(images)
    };
    let images = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| "a decoding thread panicked")).collect::<Vec<_>>()
    });
    let mut total = 0;
    for counted in images {
        total += counted??;
    }
    Ok(total as f64 / begun.elapsed().as_secs_f64())
}

/// Images a second that the runtime infers on all cores.
fn infer_only(session: &mut dyn Session) -> Outcome<f64> {
    let data = vec![0u64; BATCH * 3 * SIDE * SIDE / 2];
    let shape = [BATCH, 3, SIDE, SIDE];
    let view = InputView { datatype: DataType::Fp32, shape: &shape, data: bytemuck::cast_slice(&data) };
    let begun = Instant::now();
    let mut images = 0;
    while begun.elapsed() < SPAN {
        session.run(&[view])?;
        images += BATCH;
    }
    Ok(images as f64 / begun.elapsed().as_secs_f64())
}
