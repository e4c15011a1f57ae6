//! A validated request as the batcher sees it, and the ticket by which it leaves the queue exactly once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use takt_backend::OutputTensor;
use tokio::sync::oneshot;

use super::images::ImageSlot;
use crate::error::InferError;
use crate::request::StageTimes;

/// Answer to a job, or why there is none.
pub type Reply = Result<Answer, InferError>;

/// What a run gave for one request.
#[derive(Debug)]
pub struct Answer {
    /// The request's own rows of every output, in signature order; views of the runtime's memory.
    pub outputs: Vec<OutputTensor>,
    /// Time spent in each stage.
    pub times: StageTimes,
    /// Rows of the batch that it ran in.
    pub batch_rows: usize,
    /// Number of that run, unique among the version's.
    pub run: u64,
    /// The run before, of the whole batch, that failed; this answer is from a second try.
    pub failed_run: Option<u64>,
}

/// One request in the queue.
pub struct Job {
    /// Inputs in signature order.
    pub inputs: Vec<Payload>,
    /// Shapes behind the batch dimension, in signature order; whole shapes where the model does not batch.
    pub shapes: Arc<[Box<[usize]>]>,
    /// Decides who may answer it.
    pub ticket: Arc<Ticket>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// One input of a job.
pub enum Payload {
    /// Raw elements, already checked for their size.
    Raw(Bytes),
    /// One encoded image per row.
    Images(Vec<Arc<ImageSlot>>),
}

/// Whether a request may still run. The instance takes it or the waiter withdraws it; never both.
#[derive(Debug, Default)]
pub struct Ticket(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Ticket {
    /// Claims the request for a run. `false` means that it was withdrawn and must not run.
    #[must_use]
    pub fn take(&self) -> bool {
        self.0.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Withdraws the request. `false` means that a run has it already.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        self.0.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}
