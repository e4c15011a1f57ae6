//! Alerts on their way to people: a receiver that is down, a server that is killed, and what arrives all the same.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic is how a test fails, also in its helpers; logs are for who reads its output"
)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use support::{Server, Workspace, encoded, eventually, get, shipped_image};

/// Somebody who takes alerts.
struct Receiver {
    bodies: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    fn listen(address: SocketAddr) -> Self {
        let (listener, bodies) = (TcpListener::bind(address).unwrap(), Arc::new(Mutex::new(Vec::new())));
        let taken = Arc::clone(&bodies);
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                // A connection may be kept for the next message.
                while let Some(body) = request(&mut stream) {
                    taken.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
                    stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                }
            }
        });
        Self { bodies }
    }

    fn alerts(&self) -> Vec<Value> {
        let bodies = self.bodies.lock().unwrap();
        bodies.iter().flat_map(|body| body["alerts"].as_array().cloned().unwrap_or_default()).collect()
    }
}

fn request(stream: &mut BufReader<std::net::TcpStream>) -> Option<Vec<u8>> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse::<usize>().ok();
        }
        if line == "\r\n" {
            let mut body = vec![0; length?];
            stream.read_exact(&mut body).ok()?;
            return Some(body);
        }
    }
}

/// Three parts of one station and one of another, which is more than the skew that is allowed.
async fn show_unevenly(server: &Server) {
    let image = shipped_image("ok-000004.jpg");
    for station in ["a", "a", "a", "b"] {
        let mut request = tonic::Request::new(encoded(&image));
        request.metadata_mut().insert("x-station-id", station.parse().unwrap());
        server.client().model_infer(request).await.unwrap();
    }
}

fn monitor(server: &Server) -> Value {
    serde_json::from_str(&get(server.announced("HTTP").unwrap(), "/monitor")).unwrap()
}

async fn launch(workspace: &Workspace, url: &str) -> Server {
    let settings = format!(
        "[monitor]\npane_ms = 200\nwindow_panes = 1000\nskew_limit = 2.0\n[monitor.webhook]\nurl = \"{url}\"\ninstance = \"press-4\""
    );
    workspace.server().setting(&settings).ready().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_waits_for_its_receiver_through_a_kill() {
    let workspace = Workspace::new();
    workspace.add_shipped();
    // A port on which nobody listens yet.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{address}/alerts");
    let mut server = launch(&workspace, &url).await;
    show_unevenly(&server).await;
    let waiting = || {
        let report = monitor(&server);
        let webhook = &report["webhook"];
        (webhook["waiting"] == 1 && webhook["failures"].as_u64() > Some(0)).then(|| report.clone())
    };
    let report = eventually("the alert waits", waiting).await;
    assert_eq!(report["alerts"][0]["alert"], "TaktThroughputSkew", "{report:#}");
    assert!(report["webhook"]["last_error"].is_string());
    show_unevenly(&server).await;
    server.kill_all();

    let receiver = Receiver::listen(address);
    let server = launch(&workspace, &url).await;
    let alerts = eventually("the alert arrived", || Some(receiver.alerts()).filter(|alerts| !alerts.is_empty())).await;
    assert_eq!(
        (&alerts[0]["status"], &alerts[0]["labels"]["alertname"]),
        (&"firing".into(), &"TaktThroughputSkew".into())
    );
    assert_eq!(
        (&alerts[0]["labels"]["instance"], &alerts[0]["labels"]["severity"]),
        (&"press-4".into(), &"warning".into())
    );
    let body = receiver.bodies.lock().unwrap()[0].clone();
    assert_eq!((&body["version"], &body["status"]), (&"4".into(), &"firing".into()));
    let delivered = || {
        let webhook = monitor(&server)["webhook"].clone();
        (webhook["waiting"] == 0 && webhook["delivered"] == 1).then_some(webhook)
    };
    assert_eq!(eventually("nothing waits", delivered).await["last_error"], Value::Null);
    let metrics = get(server.announced("metrics").unwrap(), "/metrics");
    assert!(metrics.contains("takt_webhook_messages_total{result=\"delivered\"} 1"), "{metrics}");
    server.stop().await;
    assert_eq!(receiver.alerts().len(), 1, "once");
}
