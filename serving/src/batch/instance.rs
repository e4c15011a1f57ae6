//! An instance: one thread that owns one session and runs the batches of its version.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use takt_artifact::{Signature, TensorSpec};
use takt_backend::{InputView, OutputTensor, RunError, Session};
use tracing::{error, info, warn};

use super::batcher::Batcher;
use super::gather::{InputBuffers, split};
use super::job::{Answer, Job, Reply};
use super::queue::{CloseReason, padded_rows};
use crate::error::{ErrorKind, InferError};
use crate::request::StageTimes;

/// First wait before a broken session is rebuilt; doubles up to [`REBUILD_MAX`].
const REBUILD_FIRST: Duration = Duration::from_millis(100);
const REBUILD_MAX: Duration = Duration::from_secs(10);

/// Told when a run begins and ends, so that a hung run is noticed and a death can be laid to it.
pub trait RunObserver: Send {
    /// A run begins now.
    fn begin(&mut self);
    /// The run is over, well or not. Says whether no other version of the model ran at any time of it.
    fn end(&mut self) -> bool;
}

/// Builds a session anew after the old one broke.
pub type Rebuild = Box<dyn FnMut() -> Result<Box<dyn Session>, String> + Send>;

/// What an instance thread owns.
pub struct Instance {
    /// Queue it serves.
    pub batcher: Arc<Batcher>,
    /// The session.
    pub session: Box<dyn Session>,
    /// How to get another.
    pub rebuild: Rebuild,
    /// Who watches its runs.
    pub observer: Box<dyn RunObserver>,
}

/// A batch that is being executed: live jobs with their rows, and the times so far.
struct Execution {
    jobs: Vec<(Job, usize)>,
    arrived: Vec<Instant>,
    times: StageTimes,
    closed: Instant,
    /// The run of the whole batch, where that failed and this is the second try.
    failed_run: Option<u64>,
}

impl Instance {
    /// Starts the thread; it ends when its version has drained.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(self, name: String) -> std::io::Result<JoinHandle<()>> {
        self.batcher.instance_up();
        std::thread::Builder::new().name(name).spawn(move || self.serve())
    }

    fn serve(mut self) {
        let signature = self.session.signature().clone();
        let mut buffers = InputBuffers::default();
        while let Some(batch) = self.batcher.next_batch() {
            let reason = batch.reason;
            let (jobs, arrived) = batch.items.into_iter().map(|(job, meta)| ((job, meta.rows), meta.arrived)).unzip();
            let execution =
                Execution { jobs, arrived, times: StageTimes::default(), closed: Instant::now(), failed_run: None };
            if let Err(broken) = self.execute(execution, reason, &signature, &mut buffers) {
                self.recover(&broken, &signature);
            }
        }
    }

    /// Runs one batch and answers all its requests. `Err` when the session has to be rebuilt.
    fn execute(
        &mut self,
        mut execution: Execution,
        reason: CloseReason,
        signature: &Signature,
        buffers: &mut InputBuffers,
    ) -> Result<(), RunError> {
        execution.drop_undecodable(&self.batcher);
        execution.times.decode = execution.closed.elapsed();
        if execution.jobs.is_empty() {
            return Ok(());
        }
        match self.run(&mut execution.times, &execution.jobs, &signature.inputs, buffers) {
            Ok(ran) => {
                execution.answer(&self.batcher, &ran, reason);
                Ok(())
            }
            Err(RunFailure::Gather(error)) => {
                execution.fail(&error);
                Ok(())
            }
            Err(RunFailure::Session(first)) => self.retry_alone(execution, reason, signature, buffers, first),
        }
    }

    /// A run failed: each request is run once more by itself, so that one bad request costs nobody else the answer.
    fn retry_alone(
        &mut self,
        execution: Execution,
        reason: CloseReason,
        signature: &Signature,
        buffers: &mut InputBuffers,
        first: RunError,
    ) -> Result<(), RunError> {
        warn!(model = self.batcher.label(), error = %first, requests = execution.jobs.len(), "run failed; trying each request alone");
        let failed = self.batcher.next_run();
        let mut any_ran = false;
        let mut last = first;
        for ((job, rows), arrived) in execution.jobs.into_iter().zip(execution.arrived) {
            let mut times = execution.times;
            let single = [(job, rows)];
            let result = self.run(&mut times, &single, &signature.inputs, buffers);
            let single = Execution {
                jobs: single.into(),
                arrived: vec![arrived],
                times,
                closed: execution.closed,
                failed_run: Some(failed),
            };
            match result {
                Ok(ran) => {
                    any_ran = true;
                    single.answer(&self.batcher, &ran, reason);
                }
                Err(RunFailure::Gather(error)) => single.fail(&error),
                Err(RunFailure::Session(error)) => {
                    let told = format!("{} failed to run this request, twice: {error}", self.batcher.label());
                    single.fail(&InferError::new(ErrorKind::RunFailed, told).of_run(failed));
                    last = error;
                }
            }
        }
        if any_ran || self.probe(signature).is_ok() { Ok(()) } else { Err(last) }
    }

    fn run(
        &mut self,
        times: &mut StageTimes,
        jobs: &[(Job, usize)],
        inputs: &[TensorSpec],
        buffers: &mut InputBuffers,
    ) -> Result<Ran, RunFailure> {
        let rows = jobs.iter().map(|(_, rows)| rows).sum();
        let config = self.batcher.config();
        let padded = (config.max_batch_size > 0).then(|| padded_rows(config, rows));
        let begun = Instant::now();
        buffers.gather(inputs, jobs, padded).map_err(RunFailure::Gather)?;
        let gathered = Instant::now();
        times.input = gathered - begun;
        self.observer.begin();
        let result = self.session.run(&views(inputs, buffers));
        let alone = self.observer.end();
        times.infer = gathered.elapsed();
        result.map(|outputs| Ran { outputs, rows, padded, alone }).map_err(RunFailure::Session)
    }

    /// Runs zeros, to tell a broken session from a bad request.
    fn probe(&mut self, signature: &Signature) -> Result<(), RunError> {
        self.observer.begin();
        let result = warm_up(self.session.as_mut(), signature, 1);
        let _ = self.observer.end();
        result
    }

    /// Takes the instance out of service until a new session passes a run of zeros.
    fn recover(&mut self, broken: &RunError, signature: &Signature) {
        error!(model = self.batcher.label(), error = %broken, "session broke; rebuilding it");
        self.batcher.instance_down(&broken.to_string());
        let mut pause = REBUILD_FIRST;
        loop {
            std::thread::sleep(pause);
            pause = (pause * 2).min(REBUILD_MAX);
            if self.batcher.is_draining() {
                // Nobody needs it any more; what might still wait is answered by the drain.
                self.batcher.instance_up();
                return;
            }
            let rebuilt = (self.rebuild)().and_then(|mut session| {
                self.observer.begin();
                let warmed = warm_up(session.as_mut(), signature, 1);
                let _ = self.observer.end();
                warmed.map(|()| session).map_err(|error| error.to_string())
            });
            match rebuilt {
                Ok(session) => {
                    self.session = session;
                    self.batcher.stats().rebuilds.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    self.batcher.instance_up();
                    info!(model = self.batcher.label(), "session rebuilt");
                    return;
                }
                Err(error) => {
                    warn!(model = self.batcher.label(), %error, next = ?pause, "session could not be rebuilt");
                }
            }
        }
    }
}

/// A run that went well.
struct Ran {
    outputs: Vec<OutputTensor>,
    rows: usize,
    /// Rows with padding, where the model has a batch dimension.
    padded: Option<usize>,
    /// Whether no other version of the model ran meanwhile.
    alone: bool,
}

enum RunFailure {
    /// The request's fault or ours; the session was not touched.
    Gather(InferError),
    Session(RunError),
}

impl Execution {
    /// Decodes what nobody has decoded yet, and answers requests whose images are bad.
    fn drop_undecodable(&mut self, batcher: &Batcher) {
        for (job, _) in &self.jobs {
            job.images().for_each(|slot| slot.decode_if_unclaimed());
        }
        let mut index = 0;
        while index < self.jobs.len() {
            let failure = self.jobs[index].0.images().find_map(|slot| slot.with_row(|_| ()).err());
            match failure {
                None => index += 1,
                Some(error) => {
                    let (job, _) = self.jobs.remove(index);
                    self.arrived.remove(index);
                    batcher.stats().undecodable.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let _ = job.reply.send(Err(error));
                }
            }
        }
    }

    fn answer(mut self, batcher: &Batcher, ran: &Ran, reason: CloseReason) {
        let &Ran { ref outputs, rows, padded, alone } = ran;
        let begun = Instant::now();
        let mut start = 0;
        let replies: Vec<Result<Vec<OutputTensor>, InferError>> = self
            .jobs
            .iter()
            .map(|(_, job_rows)| {
                let part =
                    padded.map_or_else(|| Ok(outputs.clone()), |padded| split(outputs, start, *job_rows, padded));
                start += job_rows;
                part
            })
            .collect();
        self.times.output = begun.elapsed();
        batcher.ran(rows, padded.unwrap_or(rows), reason, &self.times, alone);
        let (run, failed_run) = (batcher.next_run(), self.failed_run);
        for (((job, _), arrived), part) in self.jobs.into_iter().zip(self.arrived).zip(replies) {
            let times = StageTimes { queue: self.closed.saturating_duration_since(arrived), ..self.times };
            let reply: Reply = part.map(|outputs| Answer { outputs, times, batch_rows: rows, run, failed_run });
            let _ = job.reply.send(reply);
        }
    }

    fn fail(self, error: &InferError) {
        for (job, _) in self.jobs {
            let _ = job.reply.send(Err(error.clone()));
        }
    }
}

fn views<'a>(inputs: &[TensorSpec], buffers: &'a InputBuffers) -> Vec<InputView<'a>> {
    let tensors = inputs.iter().zip(buffers.tensors());
    tensors.map(|(spec, (shape, data))| InputView { datatype: spec.datatype, shape, data }).collect()
}

/// Runs zeros at that batch size; free dimensions behind the batch count as 1.
///
/// # Errors
/// The run's error.
pub fn warm_up(session: &mut dyn Session, signature: &Signature, batch: usize) -> Result<(), RunError> {
    let tensors: Vec<(Vec<usize>, super::buffer::AlignedBuffer)> = signature
        .inputs
        .iter()
        .map(|spec| {
            let shape: Vec<usize> = spec
                .shape
                .iter()
                .enumerate()
                .map(|(axis, &dim)| usize::try_from(dim).unwrap_or(if axis == 0 { batch } else { 1 }))
                .collect();
            let bytes = shape.iter().product::<usize>() * spec.datatype.size().unwrap_or(1);
            (shape, super::buffer::AlignedBuffer::zeroed(bytes))
        })
        .collect();
    let views: Vec<InputView<'_>> = signature
        .inputs
        .iter()
        .zip(&tensors)
        .map(|(spec, (shape, data))| InputView { datatype: spec.datatype, shape, data: data.bytes() })
        .collect();
    session.run(&views).map(|_| ())
}
