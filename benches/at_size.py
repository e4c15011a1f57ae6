"""Latency of a small model over that of its parent, at image sizes of your choice. Run by hand:

    pip install onnx onnxruntime
    python benches/at_size.py PARENT.onnx SMALL.onnx [--sizes 64 224]

Convolutions have no size of their own, so both models are told another height and width and run on noise: what this gives is time,
and says nothing about accuracy at that size. ONNX Runtime on one thread, batch 1, least of runs in changing order.
"""

import argparse
import random
import time

import numpy as np
import onnx
import onnxruntime as ort


def at(path, size):
    """A session of the model for square images of `size` pixels."""
    model = onnx.load(path)
    shape = model.graph.input[0].type.tensor_type.shape.dim
    for dim in shape[2:]:
        dim.dim_value = size
    del model.graph.value_info[:]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    pixels = np.random.default_rng(0).normal(size=(1, shape[1].dim_value, size, size)).astype(np.float32)
    return session, {session.get_inputs()[0].name: pixels}


def least(sessions, rounds):
    """Least milliseconds of each; they take turns in changing order."""
    best, order, draw = [float("inf")] * len(sessions), list(range(len(sessions))), random.Random(0)
    for _ in range(rounds):
        draw.shuffle(order)
        for index in order:
            session, feed = sessions[index]
            begun = time.perf_counter()
            session.run(None, feed)
            best[index] = min(best[index], (time.perf_counter() - begun) * 1e3)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parent")
    parser.add_argument("small")
    parser.add_argument("--sizes", nargs="*", type=int, default=[64, 224])
    parser.add_argument("--rounds", type=int, default=60)
    args = parser.parse_args()
    print("| pixels | parent, ms | small, ms | faster |")
    print("|---|---|---|---|")
    for size in args.sizes:
        parent, small = least([at(args.parent, size), at(args.small, size)], args.rounds)
        print(f"| {size} | {parent:.2f} | {small:.3f} | {parent / small:.1f}x |")


if __name__ == "__main__":
    main()
