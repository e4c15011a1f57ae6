//! Injected faults reach sessions through the trait.
#![cfg(all(feature = "fault-injection", feature = "tract"))]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use takt_artifact::DataType;
use takt_backend::fault::{FaultyBackend, parse};
use takt_backend::tract::TractBackend;
use takt_backend::{Backend, InputView, LoadRequest, RunError};

fn request() -> LoadRequest {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/fixed_shape.onnx");
    LoadRequest { model, ..LoadRequest::default() }
}

fn faulty(text: &str) -> FaultyBackend {
    FaultyBackend::new(Box::new(TractBackend::new()), parse(text).unwrap())
}

#[test]
fn the_chosen_runs_fail_and_the_others_do_not() {
    let mut session = faulty("fixed_shape=error@run:2-3").load(&request()).unwrap();
    let data = [0_u64; 9];
    let input = InputView { datatype: DataType::Fp32, shape: &[3, 6], data: bytemuck::cast_slice(&data) };
    let outcomes = (0..4).map(|_| session.run(&[input]).map(|_| ()).map_err(|error| error.kind())).collect::<Vec<_>>();
    assert_eq!(outcomes, [Ok(()), Err("injected"), Err("injected"), Ok(())]);
    assert!(RunError::Injected(String::new()).breaks_session());
}

#[test]
fn loads_fail_or_take_long_where_asked_and_only_there() {
    let load = |text: &str| faulty(text).load(&request()).map(|_| ()).map_err(|error| error.kind());
    assert_eq!(load("fixed_shape=error@load"), Err("injected"));
    assert_eq!(load("another=error@load"), Ok(()));
    let start = Instant::now();
    assert_eq!(load("fixed_shape=slow@load:100ms"), Ok(()));
    assert!(start.elapsed() >= Duration::from_millis(100));
}
