//! Compiles `proto/onnx.proto` without `protoc`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=proto");
    let files = protox::compile(["onnx.proto"], ["proto"])?;
    prost_build::Config::new()
        // Weights stay a view of what was read, and a copy of a model shares them.
        .bytes([".onnx.TensorProto.raw_data"])
        // They speak protobuf and would be taken for documentation tests.
        .disable_comments(["."])
        .compile_fds(files)?;
    Ok(())
}
