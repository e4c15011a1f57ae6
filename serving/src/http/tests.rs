//! The router over a real model, without sockets.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::Service as _;

use super::decode::HEADER_LENGTH;
use super::listen::metrics_router;
use super::router::{HttpServer, router};
use crate::protocol::in_flight::InFlightBytes;
use crate::settings::ControlMode;
use crate::telemetry::metrics::Metrics;
use crate::testing::{MODEL, TestServer};

/// Bytes of one row of the example model's input.
const ROW: usize = 3 * 64 * 64 * 4;

struct Client {
    server: TestServer,
    in_flight: Arc<InFlightBytes>,
    router: Router,
}

struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    fn start(mode: ControlMode) -> Self {
        let server = TestServer::start(mode);
        let in_flight = Arc::new(InFlightBytes::new(64 << 20));
        let http =
            HttpServer { core: Arc::clone(&server.core), in_flight: Arc::clone(&in_flight), max_body_bytes: 16 << 20 };
        Self { server, in_flight, router: router(http) }
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response: Response = self.router.clone().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Reply { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(Request::post(path).body(Body::from(body.to_string())).unwrap()).await
    }

    /// Infers with `json` and `binary` behind it.
    async fn infer(&self, json: &Value, binary: &[u8]) -> Reply {
        let json = json.to_string();
        let length = json.len();
        let body = [json.as_bytes(), binary].concat();
        let path = format!("/v2/models/{MODEL}/infer");
        self.send(Request::post(path).header(HEADER_LENGTH, length).body(Body::from(body)).unwrap()).await
    }
}

impl Reply {
    fn json(&self) -> Value {
        assert_eq!(self.headers["content-type"], "application/json", "{:?}", self.body);
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    fn fails(&self, status: u16, says: &str) {
        let json = self.json();
        let error = json["error"].as_str().unwrap();
        assert_eq!(self.status, status, "{error}");
        assert!(error.contains(says), "{error}");
    }
}

fn binary_input(rows: usize) -> Value {
    json!({"name": "image", "datatype": "FP32", "shape": [rows, 3, 64, 64], "parameters": {"binary_data_size": rows * ROW}})
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// A 24-bit BMP of one colour, 8 by 8.
fn bmp() -> Vec<u8> {
    let mut file = b"BM".to_vec();
    let data = 8 * 8 * 3_u32;
    for value in [54 + data, 0, 54, 40, 8, 8] {
        file.extend(value.to_le_bytes());
    }
    file.extend([1, 0, 24, 0]);
    for value in [0, data, 0, 0, 0, 0_u32] {
        file.extend(value.to_le_bytes());
    }
    file.extend(vec![128; data as usize]);
    file
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_binary_tensors_give_the_same_answer() {
    let client = Client::start(ControlMode::None);
    let row: Vec<u8> = std::iter::repeat_n(0.5_f32.to_le_bytes(), ROW / 4).flatten().collect();
    let binary = client
        .infer(
            &json!({"id": "seven", "inputs": [binary_input(1)], "parameters": {"binary_data_output": true, "takt_decision": true}}),
            &row,
        )
        .await;
    assert_eq!(binary.status, StatusCode::OK, "{:?}", binary.body);
    let length: usize = binary.headers[HEADER_LENGTH].to_str().unwrap().parse().unwrap();
    let header: Value = serde_json::from_slice(&binary.body[..length]).unwrap();
    assert_eq!(
        (&header["id"], &header["model_name"], &header["model_version"]),
        (&json!("seven"), &json!(MODEL), &json!("1"))
    );
    assert_eq!(
        header["outputs"],
        json!([{"name": "logits", "datatype": "FP32", "shape": [1, 6], "parameters": {"binary_data_size": 24}}])
    );
    let verdicts: Value = serde_json::from_str(header["parameters"]["takt_decision"].as_str().unwrap()).unwrap();
    assert!(verdicts[0]["verdict"].is_string(), "{verdicts}");
    for name in ["x-takt-prediction-id", "x-takt-version-digest", "x-takt-route", "x-takt-provider"] {
        assert!(binary.headers.contains_key(name), "{name}");
    }

    let nested = json!([vec![vec![vec![0.5; 64]; 64]; 3]]);
    let input = json!({"name": "image", "datatype": "FP32", "shape": [1, 3, 64, 64], "data": nested});
    let path = format!("/v2/models/{MODEL}/versions/1/infer");
    let text = client.post(&path, &json!({"inputs": [input]})).await.json();
    let data: Vec<f32> = serde_json::from_value(text["outputs"][0]["data"].clone()).unwrap();
    assert_eq!(data, floats(&binary.body[length..]));
    assert!(text.get("id").is_none() && text.get("parameters").is_none());
    assert_eq!(client.in_flight.used(), 0, "everything was answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn images_need_no_json_and_classes_come_with_their_names() {
    let client = Client::start(ControlMode::None);
    let path = format!("/v2/models/{MODEL}/infer");
    let raw = |accept: &str| {
        Request::post(&path).header(HEADER_LENGTH, 0).header("accept", accept).body(Body::from(bmp())).unwrap()
    };
    let json = client.send(raw("application/json")).await.json();
    assert_eq!(json["outputs"][0]["shape"], json!([1, 6]));
    let binary = client.send(raw("*/*")).await;
    let length: usize = binary.headers[HEADER_LENGTH].to_str().unwrap().parse().unwrap();
    let logits: Vec<f32> = serde_json::from_value(json["outputs"][0]["data"].clone()).unwrap();
    assert_eq!(floats(&binary.body[length..]), logits);

    let image = bmp();
    let mut element = (image.len() as u32).to_le_bytes().to_vec();
    element.extend(image);
    let request = json!({
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": element.len()}}],
        "outputs": [{"name": "logits", "parameters": {"classification": 2}}]
    });
    let classes = client.infer(&request, &element).await.json();
    let best = classes["outputs"][0]["data"][0].as_str().unwrap().to_owned();
    let highest = (0..6).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap();
    assert_eq!(best.split(':').nth(1), Some(highest.to_string().as_str()), "{best}");
    assert_eq!(best.split(':').count(), 3, "{best}");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_told_what_is_wrong() {
    let client = Client::start(ControlMode::None);
    let one = json!({"inputs": [binary_input(1)], "id": "r1"});
    client.infer(&one, &[0; 10]).await.fails(400, "[request id: r1]");
    client.infer(&one, &vec![0; ROW + 1]).await.fails(400, "1 bytes behind");
    client.infer(&json!({"inputs": [binary_input(5)]}), &vec![0; 5 * ROW]).await.fails(400, "4");
    client.infer(&json!({"inputs": []}), &[]).await.fails(400, "'image' is missing");
    client.infer(&json!([]), &[]).await.fails(400, "failed to parse the request JSON");
    let infer = format!("/v2/models/{MODEL}/infer");
    client.post("/v2/models/nobody/infer", &json!({"inputs": []})).await.fails(404, "nobody");
    client.post(&format!("/v2/models/{MODEL}/versions/2/infer"), &json!({"inputs": []})).await.fails(404, "version 2");
    client.post(&format!("/v2/models/{MODEL}/versions/x/infer"), &json!({})).await.fails(400, "'x'");
    client.get(&infer).await.fails(405, "does not take GET");
    client.get("/v3").await.fails(404, "/v3");
    let gzip = Request::post(&infer).header("content-encoding", "gzip").body(Body::from("x")).unwrap();
    client.send(gzip).await.fails(415, "gzip");
    let large = Request::post(&infer).body(Body::from(vec![0; (16 << 20) + 1])).unwrap();
    client.send(large).await.fails(413, "max_message_bytes");
    client.in_flight.acquire(64 << 20).unwrap();
    client.infer(&one, &[]).await.fails(429, "max_in_flight_bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_described_as_triton_does() {
    let client = Client::start(ControlMode::None);
    let model = format!("/v2/models/{MODEL}");
    assert_eq!(client.get("/").await.json()["name"], "takt");
    let server = client.get("/v2").await.json();
    assert!(server["extensions"].as_array().unwrap().contains(&json!("binary_tensor_data")));
    assert_eq!(client.get("/v2/health/live").await.status, StatusCode::OK);
    assert_eq!(client.get("/v2/health/ready").await.status, StatusCode::OK);
    assert_eq!(client.get(&format!("{model}/ready")).await.json()["ready"], true);
    assert_eq!(client.get("/v2/models/nobody/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        client.get(&model).await.json(),
        json!({
            "name": MODEL, "versions": ["1"], "platform": "onnxruntime_onnx",
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 64, 64]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 6]}]
        })
    );
    let config = client.get(&format!("{model}/versions/1/config")).await.json();
    assert_eq!((&config["max_batch_size"], &config["name"]), (&json!(4), &json!(MODEL)));
    assert_eq!(config["input"][0]["dims"], json!([3, 64, 64]));
    assert_eq!(config["input"][0]["data_type"], "TYPE_FP32");
    assert_eq!(config["version_policy"], json!({"latest": {"num_versions": 1}}));
    for path in ["/v2/models/stats", &format!("{model}/stats"), &format!("{model}/versions/1/stats")] {
        let stats = client.get(path).await.json();
        let stats = &stats["model_stats"][0];
        assert_eq!((&stats["name"], &stats["inference_count"]), (&json!(MODEL), &json!(0)), "{path}");
        assert_eq!(stats["inference_stats"]["queue"], json!({"count": 0, "ns": 0}), "{path}");
        assert_eq!(stats["batch_stats"], json!([]), "{path}");
    }
    client.get("/v2/models/nobody/config").await.fails(404, "nobody");
    client.server.core.begin_drain();
    assert_eq!(client.get("/v2/health/ready").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(client.get(&format!("{model}/ready")).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_repository_is_controlled_only_in_explicit_mode() {
    let client = Client::start(ControlMode::Explicit);
    let index = client.post("/v2/repository/index", &json!({"ready": true})).await.json();
    assert_eq!(index, json!([{"name": MODEL, "version": "1", "state": "READY", "reason": ""}]));
    let command = |what: &str| format!("/v2/repository/models/{MODEL}/{what}");
    let unload = json!({"parameters": {"unload_dependents": false}});
    assert_eq!(client.post(&command("unload"), &unload).await.status, StatusCode::OK);
    client.post(&format!("/v2/models/{MODEL}/infer"), &json!({"inputs": []})).await.fails(503, "not ready");
    client.post(&command("load"), &json!({"parameters": {"config": "{}"}})).await.fails(501, "'config'");
    let load = Request::post(command("load")).body(Body::empty()).unwrap();
    assert_eq!(client.send(load).await.status, StatusCode::OK);
    assert_eq!(client.get(&format!("/v2/models/{MODEL}/ready")).await.status, StatusCode::OK);
    client.post("/v2/repository/models/nobody/load", &json!({})).await.fails(404, "nobody");

    let polling = Client::start(ControlMode::None);
    polling.post(&command("load"), &json!({})).await.fails(503, "--model-control-mode explicit");
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_travel_through_shared_memory() {
    let client = Client::start(ControlMode::None);
    let key = format!("/takt-http-test-{}", std::process::id());
    let path = format!("/dev/shm{key}");
    std::fs::write(&path, vec![0_u8; ROW + 24]).unwrap();
    let memory = "/v2/systemsharedmemory";
    let region = json!({"key": key, "offset": 0, "byte_size": ROW + 24});
    assert_eq!(client.post(&format!("{memory}/region/frames/register"), &region).await.status, StatusCode::OK);
    let listed = client.get(&format!("{memory}/status")).await.json();
    assert_eq!(listed, json!([{"name": "frames", "key": key, "offset": 0, "byte_size": ROW + 24}]));
    let shared = |offset: usize, size: usize| json!({"shared_memory_region": "frames", "shared_memory_offset": offset, "shared_memory_byte_size": size});
    let request = json!({
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 3, 64, 64], "parameters": shared(0, ROW)}],
        "outputs": [{"name": "logits", "parameters": shared(ROW, 24)}]
    });
    let answer = client.infer(&request, &[]).await.json();
    assert_eq!(answer["outputs"][0]["parameters"], shared(ROW, 24));
    assert!(answer["outputs"][0].get("data").is_none());
    assert!(floats(&std::fs::read(&path).unwrap()[ROW..]).iter().any(|&logit| logit != 0.0));
    std::fs::remove_file(&path).unwrap();
    client.post(&format!("{memory}/unregister"), &json!({})).await;
    client.get(&format!("{memory}/region/frames/status")).await.fails(404, "frames");
    assert_eq!(client.get("/v2/cudasharedmemory/status").await.json(), json!([]));
    client.post("/v2/cudasharedmemory/region/x/register", &json!({})).await.fails(501, "CUDA");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_listener_has_metrics_and_nothing_else() {
    let client = Client::start(ControlMode::None);
    let metrics = Metrics::new(Arc::clone(&client.server.core), Arc::clone(&client.in_flight));
    let client = Client { router: metrics_router(metrics), ..client };
    let scraped = client.get("/metrics").await;
    assert_eq!(scraped.headers["content-type"], "text/plain; version=0.0.4");
    assert!(std::str::from_utf8(&scraped.body).unwrap().contains("nv_inference_request_success{"));
    client.get("/v2").await.fails(404, "/metrics");
}
