//! Tensors that travel beside the request.

use std::fs;

use bytes::Bytes;
use takt_proto::inference::infer_parameter::ParameterChoice;
use takt_proto::inference::*;
use tonic::Code;

use crate::models;
use crate::support::{image, infer, output, parameter, tensor_request};

/// A POSIX shared memory object, gone with the test.
struct Region(std::path::PathBuf);

impl Drop for Region {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn tensors_travel_through_system_shared_memory() {
    let workspace = models();
    let server = workspace.server().ready().await;
    let mut client = server.client();
    let values: Vec<u8> = (0..768).flat_map(|index| (index as f32).cos().to_le_bytes()).collect();
    let key = format!("/takt-e2e-{}", std::process::id());
    let region = Region(std::path::PathBuf::from("/dev/shm").join(&key[1..]));
    fs::write(&region.0, [&values[..], &[0xee; 64]].concat()).unwrap();
    let register = SystemSharedMemoryRegisterRequest { name: "frames".into(), key, offset: 0, byte_size: 3072 + 64 };
    client.system_shared_memory_register(register.clone()).await.unwrap();
    assert_eq!(client.system_shared_memory_register(register).await.unwrap_err().code(), Code::InvalidArgument);
    let status = client.system_shared_memory_status(SystemSharedMemoryStatusRequest::default()).await.unwrap();
    assert_eq!(status.into_inner().regions["frames"].byte_size, 3136);

    let place = |offset: i64, size: i64| {
        [
            ("shared_memory_region", ParameterChoice::StringParam("frames".into())),
            ("shared_memory_offset", ParameterChoice::Int64Param(offset)),
            ("shared_memory_byte_size", ParameterChoice::Int64Param(size)),
        ]
    };
    let mut request = image("m", 1);
    request.raw_input_contents.clear();
    request.inputs[0].parameters =
        place(0, 3072).into_iter().map(|(key, choice)| (key.to_owned(), parameter(choice))).collect();
    request.outputs = vec![output("logits", &place(3072, 16))];
    let answer = infer(&mut client, request).await.unwrap();
    assert!(answer.raw_output_contents.iter().all(Bytes::is_empty), "{answer:?}");
    let there = fs::read(&region.0).unwrap();
    let inline = infer(&mut client, tensor_request("m", "image", "FP32", &[1, 3, 16, 16], values)).await.unwrap();
    assert_eq!(there[3072..3088], inline.raw_output_contents[0][..]);
    assert_eq!(there[3088..], [0xee; 48], "nothing is written beyond the output");

    let mut small = image("m", 1);
    small.outputs = vec![output("logits", &place(3072, 8))];
    let status = infer(&mut client, small).await.unwrap_err();
    assert!(status.message().contains("at least 16 bytes"), "{status}");
    client
        .system_shared_memory_unregister(SystemSharedMemoryUnregisterRequest { name: "frames".into() })
        .await
        .unwrap();
    let status = client.system_shared_memory_status(SystemSharedMemoryStatusRequest::default()).await.unwrap();
    assert!(status.into_inner().regions.is_empty());
}
