//! Writes the demonstration's data set without the command line program: `generate OUT [PLAN.json]`.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use takt_pipeline::data::surface::{LabelFile, Plan, Silent, generate};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().ok_or("usage: generate OUT [PLAN.json]")?);
    let plan = match arguments.next() {
        Some(path) => serde_json::from_slice(&std::fs::read(path)?)?,
        None => Plan::default(),
    };
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    generate(&plan, &out, LabelFile::Csv, threads, &Silent, &AtomicBool::new(false))?;
    Ok(())
}
