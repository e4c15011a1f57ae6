//! Traces as a collector receives them.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, also in its helpers; logs are for who reads its output"
)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tonic::{Request, Response, Status};

use support::{Workspace, eventually, image, infer};

#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let spans = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(spans.flat_map(|scope| scope.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let service = TraceServiceServer::new(self.clone());
        tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
        address
    }

    /// The request spans received once there are so many, each with its stages by name.
    async fn requests(&self, count: usize) -> Vec<(Span, BTreeMap<String, Span>)> {
        let complete = || {
            let spans = self.spans.lock().unwrap();
            let roots: Vec<Span> =
                spans.iter().filter(|span| span.name == "infer" && span.kind == 2).cloned().collect();
            let under = |root: &Span| {
                let stages = spans.iter().filter(|span| span.parent_span_id == root.span_id);
                stages.map(|span| (span.name.clone(), span.clone())).collect()
            };
            (roots.len() == count).then(|| roots.iter().map(|root| (root.clone(), under(root))).collect())
        };
        eventually("the spans arrive", complete).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_a_span_of_the_callers_trace_with_a_span_per_stage() {
    let collector = Collector::default();
    let workspace = Workspace::new();
    workspace.add("m", 1, "classifier");
    let endpoint = format!("http://{}", collector.listen().await);
    let server = workspace.server().setting(&format!("otlp_endpoint = \"{endpoint}\"")).ready().await;
    let mut request = Request::new(image("m", 1));
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    request.metadata_mut().insert("traceparent", parent.parse().unwrap());
    server.client().model_infer(request).await.unwrap();
    // What is still waiting when a server drains is sent.
    server.stop().await;

    let requests = collector.requests(1).await;
    let (root, stages) = &requests[0];
    assert_eq!(root.trace_id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes());
    assert_eq!(root.parent_span_id, 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    let names: Vec<&str> = stages.keys().map(String::as_str).collect();
    assert_eq!(names, ["decode", "infer", "input", "output", "parse", "queue", "respond"]);
    let spent: u64 = stages.values().map(|span| span.end_time_unix_nano - span.start_time_unix_nano).sum();
    assert_eq!(
        spent,
        root.end_time_unix_nano - root.start_time_unix_nano,
        "stages fill the request without gap or overlap"
    );
    assert!(stages["infer"].end_time_unix_nano > stages["infer"].start_time_unix_nano);
    assert!(root.attributes.iter().any(|attribute| attribute.key == "takt.model"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_a_span_with_the_error() {
    let collector = Collector::default();
    let workspace = Workspace::new();
    workspace.add("m", 1, "classifier");
    let endpoint = format!("http://{}", collector.listen().await);
    let server = workspace.server().setting(&format!("otlp_endpoint = \"{endpoint}\"")).ready().await;
    infer(&mut server.client(), image("absent", 1)).await.unwrap_err();
    server.stop().await;

    let requests = collector.requests(1).await;
    let (root, stages) = &requests[0];
    let status = root.status.as_ref().unwrap();
    assert_eq!(status.code, StatusCode::Error as i32);
    assert!(status.message.contains("absent"), "{status:?}");
    assert!(stages.is_empty());
}

#[tokio::test]
async fn an_absent_collector_costs_no_request() {
    let workspace = Workspace::new();
    workspace.add("m", 1, "classifier");
    let server = workspace.server().setting("otlp_endpoint = \"http://127.0.0.1:9\"").ready().await;
    for _ in 0..20 {
        infer(&mut server.client(), image("m", 1)).await.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_spoken_to_is_refused_at_the_start() {
    let workspace = Workspace::new();
    let mut server = workspace.server().setting("otlp_endpoint = \"https://collector:4317\"").spawn();
    assert_eq!(server.ended(support::SOON).await.code(), Some(1));
    assert!(server.log().contains("only http:// is spoken"), "{}", server.log());
}
