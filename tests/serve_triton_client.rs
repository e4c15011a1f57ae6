//! The real Triton client, unchanged, against the binary.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::semicolon_if_nothing_returned,
    reason = "a panic is how a test fails, also in its helpers; figures and logs are for who reads its output"
)]

mod support;

use std::path::Path;
use std::process::Command;

use support::Workspace;

#[tokio::test(flavor = "multi_thread")]
async fn the_triton_client_works_by_changing_the_address_alone() {
    let Some(python) = std::env::var_os("TAKT_PYTHON") else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "TAKT_PYTHON is not set: CI must run this test");
        eprintln!("SKIPPED: set TAKT_PYTHON to a Python with tritonclient[grpc,http]; bash tests/run installs it");
        return;
    };
    let workspace = Workspace::new();
    workspace.add_unwarmed("m", 1, "classifier").add_shipped();
    let explicit = ["--model-control-mode", "explicit", "--load-model", "m", "--load-model", "surface-defects"];
    let server = workspace.server().arguments(&explicit).ready().await;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let http = server.announced("HTTP").map_or_else(|| "-".to_owned(), |address| address.to_string());
    let output = Command::new(python)
        .arg(here.join("tests/triton_client.py"))
        .args([server.address().to_string(), http.clone()])
        .arg(here.join("examples/images/ok-000004.jpg"))
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    assert!(text(&output.stdout).contains("ok grpc"), "{}", text(&output.stdout));
    assert_eq!(http == "-", !text(&output.stdout).contains("ok http"));
}
