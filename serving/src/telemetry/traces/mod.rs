//! Traces: a span per request and one beneath it per stage, over OTLP. Without an endpoint a request pays one comparison.

#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
mod otlp {
    //! This build exports no traces: nothing of this kind can exist.

    use super::{FinishedRequest, TracesError};

    pub(super) enum Exporter {}

    impl Exporter {
        pub(super) fn start(endpoint: &str) -> Result<Self, TracesError> {
            Err(TracesError::Absent(endpoint.to_owned()))
        }

        pub(super) fn export(&self, _: &FinishedRequest<'_>) {
            match *self {}
        }

        pub(super) fn shutdown(&self) {
            match *self {}
        }
    }
}

use std::time::{Duration, Instant, SystemTime};

use self::otlp::Exporter;
use crate::error::InferError;
use crate::infer::InferResponse;

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The program was built without them.
    #[error(
        "otlp_endpoint is '{0}', but this build exports no traces; build with `--features otlp`, or leave it out and scrape \
         /metrics, whose takt_stage_seconds has the time of every stage"
    )]
    Absent(String),
    /// The exporter refuses the endpoint.
    #[error(
        "otlp_endpoint is '{endpoint}', expected the URL of an OTLP gRPC receiver such as http://127.0.0.1:4317: {reason}"
    )]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Where spans go.
#[derive(Default)]
pub struct Traces {
    exporter: Option<Exporter>,
}

/// A request under way whose spans will be exported.
pub struct RequestSpan<'a> {
    exporter: &'a Exporter,
    protocol: &'static str,
    model: String,
    parent: Parent,
    begun: SystemTime,
    clock: Instant,
    parsed: Duration,
}

/// Headers of the W3C Trace Context by which a client makes our span part of its trace.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only the exporter reads it"))]
#[derive(Debug, Clone, Default)]
struct Parent {
    traceparent: Option<String>,
    tracestate: Option<String>,
}

/// A stage of a finished request, as time since the request began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StageSpan {
    name: &'static str,
    from: Duration,
    to: Duration,
}

/// All that the spans of a request are made of.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "only the exporter reads it"))]
struct FinishedRequest<'a> {
    protocol: &'static str,
    model: &'a str,
    parent: &'a Parent,
    begun: SystemTime,
    took: Duration,
    stages: Vec<StageSpan>,
    outcome: Result<&'a InferResponse, &'a InferError>,
}

impl Traces {
    /// Exports to that endpoint, in batches from a thread of its own; a receiver that is away costs spans, not requests.
    /// Call within the runtime that is to carry the connection.
    ///
    /// # Errors
    /// The endpoint is no URL, or this build has no exporter.
    pub fn to(endpoint: &str) -> Result<Self, TracesError> {
        Exporter::start(endpoint).map(|exporter| Self { exporter: Some(exporter) })
    }

    /// A request arrives; `header` looks its metadata up. `None` where traces are off.
    pub fn begin<'h>(
        &self,
        protocol: &'static str,
        model: &str,
        header: impl Fn(&str) -> Option<&'h str>,
    ) -> Option<RequestSpan<'_>> {
        let exporter = self.exporter.as_ref()?;
        let own = |name| header(name).map(str::to_owned);
        Some(RequestSpan {
            exporter,
            protocol,
            model: model.to_owned(),
            parent: Parent { traceparent: own("traceparent"), tracestate: own("tracestate") },
            begun: SystemTime::now(),
            clock: Instant::now(),
            parsed: Duration::ZERO,
        })
    }

    /// Sends what is still waiting; gives up after a few seconds.
    pub fn shutdown(&self) {
        if let Some(exporter) = &self.exporter {
            exporter.shutdown();
        }
    }
}

impl RequestSpan<'_> {
    /// The request has been read and goes to its model.
    pub fn parsed(&mut self) {
        self.parsed = self.clock.elapsed();
    }

    /// The answer has been written, or there is none.
    pub fn end(self, outcome: Result<&InferResponse, &InferError>) {
        let took = self.clock.elapsed();
        let stages = outcome.map(|response| self.stages(response, took)).unwrap_or_default();
        self.exporter.export(&FinishedRequest {
            protocol: self.protocol,
            model: &self.model,
            parent: &self.parent,
            begun: self.begun,
            took,
            stages,
            outcome,
        });
    }

    /// The stages one after the other: reading, those that the instance measured, writing the answer.
    fn stages(&self, response: &InferResponse, took: Duration) -> Vec<StageSpan> {
        let times = &response.times;
        let measured = [
            ("queue", times.queue),
            ("decode", times.decode),
            ("input", times.input),
            ("infer", times.infer),
            ("output", times.output),
        ];
        let mut stages = vec![StageSpan { name: "parse", from: Duration::ZERO, to: self.parsed }];
        let mut at = self.parsed;
        for (name, length) in measured {
            // Clocks of two threads may disagree by a little; no span ends after its parent.
            let to = (at + length).min(took);
            stages.push(StageSpan { name, from: at, to });
            at = to;
        }
        stages.push(StageSpan { name: "respond", from: at, to: took });
        stages
    }
}
