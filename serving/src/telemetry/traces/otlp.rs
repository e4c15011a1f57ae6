//! Spans as OpenTelemetry's SDK makes and sends them.

use std::time::{Duration, SystemTime};

use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::warn;

use super::{FinishedRequest, Parent, TracesError};

/// How long the last spans may take at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub(super) struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Exporter {
    pub(super) fn start(endpoint: &str) -> Result<Self, TracesError> {
        let refused = |reason: String| TracesError::Endpoint { endpoint: endpoint.to_owned(), reason };
        let url: http::Uri = endpoint.parse().map_err(|error| refused(format!("{error}")))?;
        if url.scheme_str() != Some("http") || url.host().is_none() {
            return Err(refused(
                "only http:// is spoken; use a collector on this network for what lies beyond".to_owned(),
            ));
        }
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(|error| refused(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name("takt")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        let tracer = provider.tracer("takt-serving");
        Ok(Self { provider, tracer })
    }

    pub(super) fn export(&self, request: &FinishedRequest<'_>) {
        let parent = TraceContextPropagator::new().extract(request.parent);
        let mut attributes = vec![
            KeyValue::new("takt.protocol", request.protocol),
            KeyValue::new("takt.model", request.model.to_owned()),
        ];
        let mut status = Status::Unset;
        match request.outcome {
            Ok(response) => attributes.extend([
                KeyValue::new("takt.version", response.version.id.version.to_string()),
                KeyValue::new("takt.prediction_id", response.prediction.to_string()),
                KeyValue::new("takt.batch_rows", i64::try_from(response.batch_rows).unwrap_or(i64::MAX)),
            ]),
            Err(error) => {
                attributes.push(KeyValue::new("error.type", error.kind().label()));
                status = Status::error(error.to_string());
            }
        }
        let builder = SpanBuilder::from_name("infer").with_kind(SpanKind::Server).with_attributes(attributes);
        let mut span = self.tracer.build_with_context(builder.with_start_time(request.begun), &parent);
        span.set_status(status);
        let context = Context::new().with_remote_span_context(span.span_context().clone());
        let at = |since: Duration| -> SystemTime { request.begun + since };
        for stage in &request.stages {
            let builder = SpanBuilder::from_name(stage.name).with_start_time(at(stage.from));
            self.tracer.build_with_context(builder, &context).end_with_timestamp(at(stage.to));
        }
        span.end_with_timestamp(at(request.took));
    }

    pub(super) fn shutdown(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_WORDS) {
            warn!(%error, "the last spans could not be sent");
        }
    }
}

impl Extractor for Parent {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => self.traceparent.as_deref(),
            "tracestate" => self.tracestate.as_deref(),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}
