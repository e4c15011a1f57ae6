//! Queue, instance thread and waiters together, over a session that doubles numbers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use takt_artifact::{DataType, Signature, TensorSpec};
use takt_backend::{InputView, OutputTensor, Placement, RunError, Session};
use takt_image::ImageStatistics;
use tokio::sync::oneshot;

use super::batcher::{Batcher, Refusal, wait};
use super::config::BatchConfig;
use super::images::{DecodePool, ImageDecoder, ImageSlot};
use super::instance::{Instance, RunObserver};
use super::job::{Answer, Job, Payload, Reply, Ticket};
use super::queue::Meta;
use crate::error::{ErrorKind, InferError};
use crate::telemetry::stats::VersionStats;

/// What the session was given and how it should behave.
#[derive(Default)]
struct Script {
    batches: Mutex<Vec<Vec<f32>>>,
    /// All runs fail until the session is rebuilt.
    broken: AtomicBool,
    rebuilds: AtomicUsize,
    /// How long a run takes.
    run: Duration,
}

/// Doubles every number; a negative one is a request that no runtime can run.
struct Doubling {
    script: Arc<Script>,
    signature: Signature,
    placement: Placement,
}

impl Doubling {
    fn new(script: &Arc<Script>) -> Self {
        let spec = |name: &str| TensorSpec { name: name.into(), datatype: DataType::Fp32, shape: vec![-1, 1] };
        let placement = Placement { runtime: "test", provider: "test".into(), declined: Vec::new(), nodes: Vec::new() };
        let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")] };
        Self { script: Arc::clone(script), signature, placement }
    }
}

impl Session for Doubling {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn placement(&self) -> &Placement {
        &self.placement
    }

    fn run(&mut self, inputs: &[InputView<'_>]) -> Result<Vec<OutputTensor>, RunError> {
        let values: &[f32] = bytemuck::cast_slice(inputs[0].data);
        self.script.batches.lock().unwrap().push(values.to_vec());
        std::thread::sleep(self.script.run);
        if self.script.broken.load(Ordering::Relaxed) || values.iter().any(|value| *value < 0.0) {
            return Err(RunError::Runtime("refused".into()));
        }
        let data: Vec<u8> = values.iter().flat_map(|value| (value * 2.0).to_le_bytes()).collect();
        Ok(vec![OutputTensor { datatype: DataType::Fp32, shape: inputs[0].shape.to_vec(), data: data.into() }])
    }
}

struct Unwatched;

impl RunObserver for Unwatched {
    fn begin(&mut self) {}
    fn end(&mut self) -> bool {
        true
    }
}

/// A batcher with one instance.
struct Bench {
    batcher: Arc<Batcher>,
    script: Arc<Script>,
    thread: Option<JoinHandle<()>>,
}

impl Bench {
    fn new(config: BatchConfig, script: Script) -> Self {
        let script = Arc::new(script);
        let stats = Arc::new(VersionStats::new(config.max_batch_size));
        let decode = Arc::new(DecodePool::start(1).unwrap());
        let batcher = Arc::new(Batcher::new("model 'm' version 1".into(), config, stats, decode));
        let rebuilt = Arc::clone(&script);
        let instance = Instance {
            batcher: Arc::clone(&batcher),
            session: Box::new(Doubling::new(&script)),
            rebuild: Box::new(move || {
                rebuilt.rebuilds.fetch_add(1, Ordering::Relaxed);
                rebuilt.broken.store(false, Ordering::Relaxed);
                Ok(Box::new(Doubling::new(&rebuilt)))
            }),
            observer: Box::new(Unwatched),
        };
        let thread = Some(instance.start("test-instance".into()).unwrap());
        Self { batcher, script, thread }
    }

    fn submit(&self, payload: Payload, rows: usize) -> Result<Pending, Refusal> {
        let (reply, received) = oneshot::channel();
        let ticket = Arc::new(Ticket::default());
        let shapes: Arc<[Box<[usize]>]> = vec![Box::from([1usize])].into();
        let job = Job { inputs: vec![payload], shapes, ticket: Arc::clone(&ticket), reply };
        let now = Instant::now();
        let meta = Meta { rows, priority: 1, shape: 0, arrived: now, expires: None, deadline: None };
        self.batcher.submit(job, meta).map_err(|(_, refusal)| refusal)?;
        Ok(Pending { ticket, received })
    }

    fn number(&self, value: f32) -> Pending {
        self.submit(Payload::Raw(Bytes::copy_from_slice(&value.to_le_bytes())), 1).unwrap()
    }

    fn ran(&self) -> Vec<f32> {
        self.script.batches.lock().unwrap().concat()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.batcher.drain();
        self.thread.take().unwrap().join().unwrap();
    }
}

#[derive(Debug)]
struct Pending {
    ticket: Arc<Ticket>,
    received: oneshot::Receiver<Reply>,
}

impl Pending {
    fn reply(self) -> Reply {
        self.received.blocking_recv().unwrap()
    }
}

fn doubled(answer: &Answer) -> Vec<f32> {
    let (numbers, _) = answer.outputs[0].data.as_chunks::<4>();
    numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn batching(max_batch_size: usize, max_delay: u64) -> BatchConfig {
    BatchConfig { max_batch_size, max_delay: Duration::from_millis(max_delay), ..BatchConfig::default() }
}

#[test]
fn everybody_gets_the_rows_of_their_own_request() {
    let bench = Bench::new(batching(4, 1), Script { run: Duration::from_millis(1), ..Script::default() });
    let pending: Vec<(f32, Pending)> =
        (0..50).map(|value| value as f32).map(|value| (value, bench.number(value))).collect();
    for (value, pending) in pending {
        assert_eq!(doubled(&pending.reply().unwrap()), [value * 2.0]);
    }
    assert!(bench.script.batches.lock().unwrap().iter().all(|batch| batch.len() <= 4));
    assert_eq!(bench.ran().len(), 50, "nothing runs twice");
}

#[test]
fn a_batch_is_padded_with_zeros_that_nobody_sees() {
    let config = BatchConfig { allowed_sizes: vec![4], ..batching(4, 0) };
    let bench = Bench::new(config, Script::default());
    assert_eq!(doubled(&bench.number(3.0).reply().unwrap()), [6.0]);
    assert_eq!(bench.ran(), [3.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_withdrawn_request_never_runs() {
    let bench = Bench::new(batching(1, 0), Script { run: Duration::from_millis(30), ..Script::default() });
    let first = bench.number(1.0);
    let second = bench.number(2.0);
    assert!(second.ticket.withdraw());
    first.reply().unwrap();
    bench.number(3.0).reply().unwrap();
    assert_eq!(bench.ran(), [1.0, 3.0]);
}

#[test]
fn a_waiter_whose_deadline_passes_is_told_so_and_its_request_never_runs() {
    let bench = Bench::new(batching(1, 0), Script { run: Duration::from_millis(50), ..Script::default() });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = bench.number(1.0);
    let Pending { ticket, received } = bench.number(2.0);
    let deadline = Some(Instant::now() + Duration::from_millis(10));
    let error = runtime.block_on(wait(&bench.batcher, ticket, received, None, deadline)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    first.reply().unwrap();
    bench.number(3.0).reply().unwrap();
    assert_eq!(bench.ran(), [1.0, 3.0]);
}

#[test]
fn one_bad_request_costs_nobody_else_the_answer() {
    let bench = Bench::new(batching(4, 20), Script::default());
    let pending = [1.0, -1.0, 2.0].map(|value| bench.number(value));
    let replies = pending.map(Pending::reply);
    assert_eq!(doubled(replies[0].as_ref().unwrap()), [2.0]);
    assert_eq!(replies[1].as_ref().unwrap_err().kind(), ErrorKind::RunFailed);
    assert_eq!(doubled(replies[2].as_ref().unwrap()), [4.0]);
    assert_eq!(bench.script.rebuilds.load(Ordering::Relaxed), 0, "the session is not to blame");
}

#[test]
fn a_broken_session_is_rebuilt_and_refuses_meanwhile() {
    let bench = Bench::new(batching(1, 0), Script::default());
    bench.script.broken.store(true, Ordering::Relaxed);
    assert_eq!(bench.number(1.0).reply().unwrap_err().kind(), ErrorKind::RunFailed);
    let limit = Instant::now() + Duration::from_secs(10);
    let answer = loop {
        match bench.submit(Payload::Raw(Bytes::copy_from_slice(&2f32.to_le_bytes())), 1) {
            Ok(pending) => match pending.reply() {
                Ok(answer) => break answer,
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            },
            Err(Refusal::Error(error)) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}"),
            Err(Refusal::Draining) => panic!("nobody drains"),
        }
        assert!(Instant::now() < limit, "not rebuilt within 10 s");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!(doubled(&answer), [4.0]);
    assert_eq!(bench.script.rebuilds.load(Ordering::Relaxed), 1);
}

#[test]
fn draining_answers_what_waits_and_takes_nothing_new() {
    let bench = Bench::new(batching(2, 1_000), Script { run: Duration::from_millis(5), ..Script::default() });
    let pending: Vec<Pending> = (0..5).map(|value| bench.number(value as f32)).collect();
    bench.batcher.drain();
    assert!(matches!(bench.submit(Payload::Raw(Bytes::new()), 1), Err(Refusal::Draining)));
    for pending in pending {
        pending.reply().unwrap();
    }
}

#[test]
fn full_queue_names_its_limit() {
    let config = BatchConfig { max_queue: 2, ..batching(8, 1_000) };
    let bench = Bench::new(config, Script::default());
    let _waiting = [bench.number(1.0), bench.number(2.0)];
    let Err(Refusal::Error(error)) = bench.submit(Payload::Raw(Bytes::new()), 1) else { panic!("it took a third") };
    assert_eq!(error.kind(), ErrorKind::QueueFull);
    assert!(
        error.message().starts_with("Exceeds maximum queue size") && error.message().contains("limit 2"),
        "{error}"
    );
}

/// Reads a digit; counts how many images it was given.
struct Digits(AtomicUsize);

impl ImageDecoder for Digits {
    fn row_bytes(&self) -> usize {
        4
    }

    fn decode(&self, encoded: &[u8], row: &mut [u8], _: bool) -> Result<Option<ImageStatistics>, InferError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let text = std::str::from_utf8(encoded).ok().and_then(|text| text.parse::<f32>().ok());
        let value = text.ok_or_else(|| InferError::new(ErrorKind::BadImage, "not a digit"))?;
        row.copy_from_slice(&value.to_le_bytes());
        Ok(None)
    }
}

#[test]
fn an_undecodable_image_fails_its_own_request_only() {
    let bench = Bench::new(batching(4, 20), Script::default());
    let decoder = Arc::new(Digits(AtomicUsize::new(0)));
    let image = |text: &'static str| {
        let slot =
            ImageSlot::new(Arc::clone(&decoder) as Arc<dyn ImageDecoder>, Bytes::from_static(text.as_bytes()), false);
        bench.submit(Payload::Images(vec![Arc::new(slot)]), 1).unwrap()
    };
    let pending = [image("1"), image("what"), image("3")];
    let replies = pending.map(Pending::reply);
    assert_eq!(doubled(replies[0].as_ref().unwrap()), [2.0]);
    assert_eq!(replies[1].as_ref().unwrap_err().kind(), ErrorKind::BadImage);
    assert_eq!(doubled(replies[2].as_ref().unwrap()), [6.0]);
    assert_eq!(decoder.0.load(Ordering::Relaxed), 3, "each image is decoded once");
}

#[test]
fn images_are_decoded_ahead_for_two_batches_and_no_more() {
    let bench = Bench::new(batching(1, 0), Script { run: Duration::from_millis(200), ..Script::default() });
    let decoder = Arc::new(Digits(AtomicUsize::new(0)));
    let pending: Vec<Pending> = (0..6)
        .map(|_| {
            let slot = ImageSlot::new(Arc::clone(&decoder) as Arc<dyn ImageDecoder>, Bytes::from_static(b"1"), false);
            bench.submit(Payload::Images(vec![Arc::new(slot)]), 1).unwrap()
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    let decoded = decoder.0.load(Ordering::Relaxed);
    assert!((1..=3).contains(&decoded), "one that runs and two ahead, not {decoded}");
    for pending in pending {
        pending.reply().unwrap();
    }
}
