//! Compiles `proto/` without `protoc`, which an edge device's build machine may lack.

use std::{env, fs, io::Error, path::PathBuf};

use prost::Message;

const ROOT: &str = "proto";
const SERVICES: [&str; 3] = ["inference/service.proto", "takt/admin/v1/admin.proto", "takt/feedback/v1/feedback.proto"];

/// Fields whose bytes stay a view of the message they arrived in.
const BYTES: [&str; 3] = [
    ".inference.ModelInferRequest.raw_input_contents",
    ".inference.ModelInferResponse.raw_output_contents",
    ".inference.InferTensorContents.bytes_contents",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={ROOT}");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| Error::other("cargo sets OUT_DIR"))?);

    let mut files = protox::compile(SERVICES, [ROOT])?;
    let mut builder = tonic_prost_build::configure();
    for field in BYTES {
        builder = builder.bytes(field);
    }
    builder.compile_fds(files.clone())?;

    // Comments are documentation of the code, not part of what a client may ask for.
    for file in &mut files.file {
        file.source_code_info = None;
    }
    fs::write(out.join("descriptors.bin"), files.encode_to_vec())?;
    Ok(())
}
