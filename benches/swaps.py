"""Version swaps under load, and what serving holds in memory. Run by hand:

    python benches/swaps.py TAKT REPOSITORY [--swaps 200] [--clients 4]

TAKT is the program, REPOSITORY one that has the model `surface-defects` (examples/repository). Needs tritonclient[grpc].
Prints failed requests, p50 and p99 while nothing changes and while versions are swapped, and resident memory of the worker
after 20 swaps and at the end.
"""
import argparse
import pathlib
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time

import numpy as np
import tritonclient.grpc as triton

MODEL = "surface-defects"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024


class Load:
    """Clients that ask without pause and keep every latency."""

    def __init__(self, address, image, clients):
        self.times, self.failures, self.stop = [], [], threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(address, image)) for _ in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self, address, image):
        client = triton.InferenceServerClient(address)
        tensor = triton.InferInput("image", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([image], dtype=np.object_))
        while not self.stop.is_set():
            begun = time.perf_counter()
            try:
                client.infer(MODEL, [tensor])
                self.times.append((begun, time.perf_counter() - begun))
            except triton.InferenceServerException as error:
                self.failures.append(str(error))

    def percentile(self, since, until, share):
        times = sorted(took for at, took in self.times if since <= at < until)
        return times[int(len(times) * share)] * 1e3 if times else float("nan")


def serving_version(client):
    return max(int(version) for version in client.get_model_metadata(MODEL).versions)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("takt")
    arguments.add_argument("repository", type=pathlib.Path)
    arguments.add_argument("--swaps", type=int, default=200)
    arguments.add_argument("--clients", type=int, default=4)
    arguments = arguments.parse_args()
    image = next((arguments.repository.parent / "images").glob("*.jpg")).read_bytes()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model = folder / "models" / MODEL
        shutil.copytree(arguments.repository / MODEL, model)
        ports = [free_port() for _ in range(3)]
        flags = [f"--{name}-port={port}" for name, port in zip(("grpc", "http", "metrics"), ports)]
        server = subprocess.Popen([arguments.takt, "serve", "--no-supervisor", "--host=127.0.0.1", *flags,
                                   f"--model-repository={folder / 'models'}", f"--state-dir={folder / 'state'}"],
                                  stderr=subprocess.DEVNULL)
        try:
            run(server, f"127.0.0.1:{ports[0]}", model, image, arguments)
        finally:
            server.terminate()
            server.wait()


def run(server, address, model, image, arguments):
    client = triton.InferenceServerClient(address)
    while True:
        try:
            if client.is_server_ready():
                break
        except triton.InferenceServerException:
            pass
        time.sleep(0.1)
    print(f"idle after loading: {resident_mib(server.pid):.1f} MiB resident")
    load = Load(address, image, arguments.clients)
    time.sleep(10)
    steady_from, steady_to = time.perf_counter() - 8, time.perf_counter()
    after_20 = None
    for number in range(2, arguments.swaps + 2):
        shutil.copytree(model / str(number - 1), model / f".{number}.writing")
        (model / f".{number}.writing").rename(model / str(number))
        while serving_version(client) != number:
            time.sleep(0.02)
        shutil.rmtree(model / str(number - 1))
        if number == 21:
            after_20 = resident_mib(server.pid)
    swapped_to = time.perf_counter()
    load.stop.set()
    for thread in load.threads:
        thread.join()
    steady = [load.percentile(steady_from, steady_to, share) for share in (0.5, 0.99)]
    swapping = [load.percentile(steady_to, swapped_to, share) for share in (0.5, 0.99)]
    print(f"requests: {len(load.times)}, failed: {len(load.failures)} {load.failures[:1]}")
    print(f"steady: p50 {steady[0]:.1f} ms, p99 {steady[1]:.1f} ms")
    print(f"swapping: p50 {swapping[0]:.1f} ms, p99 {swapping[1]:.1f} ms, p99 ratio {swapping[1] / steady[1]:.2f} (goal 1.5)")
    if after_20:
        print(f"resident: {after_20:.1f} MiB after 20 swaps, {resident_mib(server.pid):.1f} MiB after {arguments.swaps} (goal within 5 %)")
    print(f"a swap every {statistics.fmean([(swapped_to - steady_to) / arguments.swaps]):.2f} s")


if __name__ == "__main__":
    main()
