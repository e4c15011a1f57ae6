//! Quantises one model on images that lie in a file as raw numbers; what `tests/reference/quantise/compare.py` runs.
//!
//! `quantise MODEL IMAGES.f32 CHANNELS,HEIGHT,WIDTH TARGET OUT [OPTION=VALUE...]`, where IMAGES.f32 holds preprocessed images
//! in little-endian single precision, one after the other, and options are fields of `takt_pipeline::quantise::Options` in
//! JSON.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::error::Error;
use std::process::ExitCode;
use std::time::Instant;

use takt_graph::Model;
use takt_pipeline::quantise::{Batch, Options, quantise, unwatched};

/// Images in one run through the net.
const BATCH: usize = 8;

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [model, images, shape, target, out, rest @ ..] = arguments else {
        return Err("usage: quantise MODEL IMAGES.f32 CHANNELS,HEIGHT,WIDTH TARGET OUT [OPTION=VALUE...]".into());
    };
    let shape = shape.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    let &[channels, height, width] = shape.as_slice() else { return Err("expected CHANNELS,HEIGHT,WIDTH".into()) };
    let mut options = serde_json::to_value(Options::default())?;
    for option in rest {
        let (name, value) = option.split_once('=').ok_or_else(|| format!("found '{option}', expected OPTION=VALUE"))?;
        options[name] = serde_json::from_str(value).or_else(|_| serde_json::to_value(value))?;
    }
    let options: Options = serde_json::from_value(options)?;
    let bytes = std::fs::read(images).map_err(|error| format!("cannot read '{images}': {error}"))?;
    let numbers: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect();
    let each = channels * height * width;
    let batches = numbers
        .chunks(each * BATCH)
        .map(|part| Ok(Batch { shape: [part.len() / each, channels, height, width], data: part.to_vec() }));
    let start = Instant::now();
    let quantised =
        quantise(&Model::load(model)?, target.parse()?, &mut batches.into_iter(), &options, &mut unwatched)?;
    println!("{}\n{:.1} s", quantised.report, start.elapsed().as_secs_f64());
    quantised.model.save(out)?;
    Ok(())
}
