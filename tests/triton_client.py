"""What a station does that talks to Triton today, with the client it has today: only the address differs.

    python tests/triton_client.py <host:port of gRPC> <host:port of HTTP, or -> <image.jpg>

Needs tritonclient[grpc,http] and numpy. The server serves `m` (backend test model `classifier`) and the shipped
`surface-defects`, in control mode `explicit`. Exits with 0 and prints `ok` lines; an AssertionError otherwise.
"""

import queue
import sys

import numpy as np
import tritonclient.grpc as grpc_client
from tritonclient.utils import InferenceServerException

IMAGE = np.sin(np.arange(768, dtype=np.float32)).reshape(1, 3, 16, 16)


def fails(call, *texts):
    try:
        call()
    except InferenceServerException as error:
        for text in texts:
            assert text in str(error), f"'{text}' is not in: {error}"
        return
    raise AssertionError(f"expected an error with {texts}")


def tensor(library, values, name="image", datatype="FP32"):
    given = library.InferInput(name, values.shape, datatype)
    given.set_data_from_numpy(values)
    return given


def common(library, client, jpeg):
    """What both protocols do alike."""
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("m") and not client.is_model_ready("ghost")

    answer = client.infer("m", [tensor(library, IMAGE)], request_id="part-7", outputs=[library.InferRequestedOutput("logits")])
    logits = answer.as_numpy("logits")
    assert logits.shape == (1, 4) and logits.dtype == np.float32, logits
    again = client.infer("m", [tensor(library, IMAGE)], priority=1, timeout=30_000_000).as_numpy("logits")
    assert np.array_equal(logits, again)

    encoded = np.array([jpeg], dtype=np.object_)
    wanted = library.InferRequestedOutput("logits", class_count=3)
    answer = client.infer("surface-defects", [tensor(library, encoded, datatype="BYTES")], outputs=[wanted])
    ranked = [text.decode() for text in answer.as_numpy("logits").flatten()]
    assert len(ranked) == 3 and ranked[0].split(":")[2] == "ok", ranked

    fails(lambda: client.infer("ghost", [tensor(library, IMAGE)]), "ghost")
    fails(lambda: client.infer("m", [tensor(library, IMAGE[:, :2])]), "[-1, 3, 16, 16]")
    fails(lambda: client.infer("m", [tensor(library, IMAGE, name="picture")]), "picture")
    fails(lambda: client.infer("m", [tensor(library, IMAGE)], request_id="part-8", model_version="9"), "9")
    return logits


def over_grpc(address, jpeg):
    client = grpc_client.InferenceServerClient(address)
    logits = common(grpc_client, client, jpeg)

    metadata = client.get_server_metadata()
    assert metadata.name == "takt" and "statistics" in metadata.extensions
    metadata = client.get_model_metadata("m")
    assert list(metadata.inputs[0].shape) == [-1, 3, 16, 16] and list(metadata.versions) == ["1"]
    config = client.get_model_config("m", as_json=True)["config"]
    assert config["max_batch_size"] == 4, config
    stats = client.get_inference_statistics("m").model_stats[0]
    assert stats.inference_count == 2 and stats.inference_stats.success.count == 2, stats

    index = {line.name: line.state for line in client.get_model_repository_index().models}
    assert index == {"m": "READY", "surface-defects": "READY"}, index
    client.unload_model("m")
    assert not client.is_model_ready("m")
    client.load_model("m")
    assert client.is_model_ready("m")

    answers = queue.Queue()
    client.start_stream(lambda result, error: answers.put((result, error)))
    for part in range(5):
        image = IMAGE if part != 2 else IMAGE[:, :2]
        client.async_stream_infer("m", [tensor(grpc_client, image)], request_id=str(part), enable_empty_final_response=True)
    for part in range(5):
        result, error = answers.get(timeout=30)
        if part == 2:
            assert "[-1, 3, 16, 16]" in str(error), error
            continue
        assert error is None, error
        response = result.get_response()
        assert response.id == str(part), response.id
        assert response.parameters["triton_final_response"].bool_param
        assert np.array_equal(result.as_numpy("logits"), logits)
    client.stop_stream()

    done = queue.Queue()
    client.async_infer("m", [tensor(grpc_client, IMAGE)], callback=lambda result, error: done.put((result, error)))
    result, error = done.get(timeout=30)
    assert error is None and np.array_equal(result.as_numpy("logits"), logits)

    shared_memory(client, logits)
    client.unregister_cuda_shared_memory()
    fails(lambda: client.infer("m", [tensor(grpc_client, IMAGE)], parameters={"triton_magic": True}), "triton_")
    print("ok grpc")


def shared_memory(client, logits):
    import tritonclient.utils.shared_memory as shm

    client.unregister_system_shared_memory()
    region = shm.create_shared_memory_region("takt_test", "/takt_triton_client", IMAGE.nbytes + 16)
    try:
        shm.set_shared_memory_region(region, [IMAGE])
        client.register_system_shared_memory("takt_test", "/takt_triton_client", IMAGE.nbytes + 16)
        given = grpc_client.InferInput("image", IMAGE.shape, "FP32")
        given.set_shared_memory("takt_test", IMAGE.nbytes)
        wanted = grpc_client.InferRequestedOutput("logits")
        wanted.set_shared_memory("takt_test", 16, offset=IMAGE.nbytes)
        client.infer("m", [given], outputs=[wanted])
        found = shm.get_contents_as_numpy(region, np.float32, [1, 4], offset=IMAGE.nbytes)
        assert np.array_equal(found, logits), (found, logits)
        client.unregister_system_shared_memory("takt_test")
    finally:
        shm.destroy_shared_memory_region(region)
    print("ok shared memory")


def over_http(address, jpeg):
    import tritonclient.http as http_client

    client = http_client.InferenceServerClient(address)
    logits = common(http_client, client, jpeg)
    assert client.get_server_metadata()["name"] == "takt"
    assert client.get_model_metadata("m")["inputs"][0]["shape"] == [-1, 3, 16, 16]
    assert client.get_model_config("m")["max_batch_size"] == 4
    assert client.get_inference_statistics("m")["model_stats"][0]["inference_count"] > 0
    assert {line["name"] for line in client.get_model_repository_index()} == {"m", "surface-defects"}
    client.unload_model("m")
    assert not client.is_model_ready("m")
    client.load_model("m")
    for binary in (False, True):
        given = http_client.InferInput("image", IMAGE.shape, "FP32")
        given.set_data_from_numpy(IMAGE, binary_data=binary)
        wanted = http_client.InferRequestedOutput("logits", binary_data=not binary)
        found = client.infer("m", [given], outputs=[wanted]).as_numpy("logits")
        assert np.array_equal(found, logits), (found, logits)
    # Compression is refused clearly: an encoded image is compressed already.
    try:
        client.infer("m", [tensor(http_client, IMAGE)], request_compression_algorithm="gzip")
        raise AssertionError("a compressed body was not refused")
    except InferenceServerException as error:
        assert "uncompressed" in error.message(), error
    print("ok http")


def main():
    grpc_address, http_address, image = sys.argv[1:]
    with open(image, "rb") as file:
        jpeg = file.read()
    over_grpc(grpc_address, jpeg)
    if http_address != "-":
        over_http(http_address, jpeg)


if __name__ == "__main__":
    main()
