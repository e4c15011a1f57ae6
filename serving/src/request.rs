//! A request and its answer as the core knows them: no gRPC, no HTTP, every tensor as raw bytes.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use takt_artifact::DataType;

/// One inference request, decoded from whichever protocol it came by.
#[derive(Debug, Clone)]
pub struct InferRequest {
    /// Model name.
    pub model: String,
    /// The version that is asked for; `None` lets the server choose.
    pub version: Option<VersionRef>,
    /// The client's request id, echoed; may be empty.
    pub id: String,
    /// Inputs in the client's order.
    pub inputs: Vec<InputTensor>,
    /// Names of the outputs wanted, in that order; empty means all.
    pub outputs: Vec<String>,
    /// 1 is served first; 0 asks for the model's default.
    pub priority: u64,
    /// How long it may wait in the queue.
    pub timeout: Option<Duration>,
    /// When the client stops waiting.
    pub deadline: Option<Instant>,
    /// Where the image comes from.
    pub origin: Origin,
}

impl InferRequest {
    /// A request that says nothing yet but which model it is for.
    #[must_use]
    pub fn new(model: String, version: Option<VersionRef>) -> Self {
        Self {
            model,
            version,
            id: String::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            priority: 0,
            timeout: None,
            deadline: None,
            origin: Origin::default(),
        }
    }
}

/// How a request names a version. A request that does is no evidence in a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionRef {
    /// By its number.
    Number(u64),
    /// The one that a rollout would go back to; the one that serves where no rollout is under way.
    Stable,
    /// The one that a rollout tries.
    Canary,
}

impl fmt::Display for VersionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Stable => f.write_str("stable"),
            Self::Canary => f.write_str("canary"),
        }
    }
}

/// What the station says of the part; routes, monitors and joins labels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// `x-part-id`: all views of one part go to one version.
    pub part_id: Option<String>,
    /// `x-station-id`.
    pub station: Option<String>,
    /// `x-product`: the segment of drift references.
    pub product: Option<String>,
}

/// One input as it came.
#[derive(Debug, Clone)]
pub struct InputTensor {
    /// Input name.
    pub name: String,
    /// Element type that the client claims.
    pub datatype: DataType,
    /// Shape that the client claims.
    pub shape: Vec<i64>,
    /// Elements in the protocol's raw form: little endian, row major; BYTES as length-prefixed strings.
    pub data: Bytes,
}

/// One output of an answer.
#[derive(Debug, Clone)]
pub struct NamedTensor {
    /// Output name.
    pub name: String,
    /// Element type.
    pub datatype: DataType,
    /// Shape, batch included.
    pub shape: Vec<usize>,
    /// Elements in the protocol's raw form; a view of what the runtime wrote.
    pub data: Bytes,
}

/// Time spent in each stage of a request's life. Stages do not overlap; their sum is the time inside the server
/// between validation and the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTimes {
    /// Waiting in the queue until its batch closed.
    pub queue: Duration,
    /// Waiting for images of the batch to be decoded, after it closed.
    pub decode: Duration,
    /// Gathering the inputs of the batch.
    pub input: Duration,
    /// The session run of the batch.
    pub infer: Duration,
    /// Splitting the outputs.
    pub output: Duration,
}
