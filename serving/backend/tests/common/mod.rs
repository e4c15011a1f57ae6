//! What the tests of ONNX Runtime share.

use takt_backend::discover::Surroundings;
use takt_backend::ort::{OrtBackend, RuntimeOptions};

/// ONNX Runtime where it is installed. A test run that set out to have it (`TAKT_REQUIRE_ORT=1`) fails without it.
pub fn onnxruntime() -> Option<OrtBackend> {
    let found = OrtBackend::find(&Surroundings::of_process(), RuntimeOptions::default());
    let found = found.unwrap_or_else(|error| panic!("{error}"));
    if found.is_none() {
        let how = "no ONNX Runtime found; `pip install onnxruntime` or point TAKT_ORT at its library";
        assert!(std::env::var_os("TAKT_REQUIRE_ORT").is_none_or(|value| value == "0"), "{how}");
        skipped(how);
    }
    found
}

/// Says on stderr that a test did not run, and why.
#[expect(clippy::print_stderr, reason = "a skipped test must not look like a passed one")]
pub fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
