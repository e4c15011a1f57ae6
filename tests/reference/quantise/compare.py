"""Our quantiser beside ONNX Runtime's own: the same model, calibration images and format. Run by hand:

    cargo build --release -p takt-pipeline --example quantise
    python tests/reference/quantise/compare.py MODEL DATA --tool target/release/examples/quantise [--target cpu-int8]

DATA is a folder with labels.csv as `takt data generate` writes it. How images become tensors is in the model's metadata, as
`takt train` leaves it, or in --manifest, that of a packaged version.

Formats, per channel and in QDQ form for both:

    cpu-int8-avx2   U8 activations, S8 weights of 7 bits (reduce_range)
    cpu-int8        U8 activations, S8 weights; run with exact integer kernels, which this needs where there is no VNNI
    tensorrt-int8   S8 activations and weights, symmetric; run unfused, as TensorRT would compute it: its time says nothing

Prints a table: cosine of the logits with single precision, signal to error in decibels, the same predictions as single precision,
accuracy, convolutions fused, latency with one thread against single precision (least of interleaved runs), size.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime import quantization as q
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

TARGETS = {
    "cpu-int8-avx2": {"activation_type": q.QuantType.QUInt8, "reduce_range": True},
    "cpu-int8": {"activation_type": q.QuantType.QUInt8, "reduce_range": False},
    "tensorrt-int8": {
        "activation_type": q.QuantType.QInt8,
        "reduce_range": False,
        "extra_options": {"ActivationSymmetric": True, "WeightSymmetric": True},
    },
}
THEIRS = (q.CalibrationMethod.MinMax, q.CalibrationMethod.Entropy, q.CalibrationMethod.Percentile)


def card(args):
    """How images become tensors, and the names of the classes."""
    if args.manifest:
        manifest = json.loads(args.manifest.read_text())
        return manifest["preprocess"], manifest["labels"]
    entries = {entry.key: entry.value for entry in onnx.load(args.model).metadata_props}
    return json.loads(entries["takt.preprocess"]), json.loads(entries["takt.labels"])


def load(folder, split, count, preprocess, classes):
    with open(folder / "labels.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    rows = rows[:: max(1, len(rows) // count)][:count]
    size = (preprocess["width"], preprocess["height"])
    mean, std = (np.array(preprocess[key] or [neutral], np.float32)[:, None, None] for key, neutral in (("mean", 0), ("std", 1)))
    images = []
    for row in rows:
        with Image.open(folder / row["file"]) as image:
            small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        pixels = np.asarray(small, np.float32).transpose(2, 0, 1) * preprocess.get("scale", 1 / 255)
        images.append((pixels - mean) / std)
    return np.stack(images), np.array([classes.index(row["label"]) for row in rows])


class Reader(q.CalibrationDataReader):
    def __init__(self, name, images):
        self.batches = iter([{name: images[at : at + 1]} for at in range(len(images))])

    def get_next(self):
        return next(self.batches, None)


def session(path, target, optimised=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if target == "cpu-int8":
        options.add_session_config_entry("session.x64quantprecision", "1")
    if target == "tensorrt-int8":
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimised:
        options.optimized_model_filepath = str(optimised)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(run, images):
    name = run.get_inputs()[0].name
    return np.concatenate([run.run(None, {name: images[at : at + 1]})[0] for at in range(len(images))])


def ours(args, folder, calibration):
    raw = folder / "images.f32"
    calibration.astype("<f4").tofile(raw)
    shape = ",".join(map(str, calibration.shape[1:]))
    for at, variant in enumerate(args.variants):
        out = folder / f"ours{at}.onnx"
        command = [args.tool, args.model, raw, shape, args.target, out, *variant.split()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        yield f"takt {variant}".strip(), out


def theirs(args, folder, calibration, name):
    ready = folder / "ready.onnx"
    quant_pre_process(str(args.model), str(ready))
    for method in THEIRS:
        out = folder / f"{method.name}.onnx"
        q.quantize_static(
            str(ready), str(out), Reader(name, calibration), quant_format=q.QuantFormat.QDQ, per_channel=True,
            weight_type=q.QuantType.QInt8, calibrate_method=method, **TARGETS[args.target],
        )  # fmt: skip
        yield f"quantize_static {method.name}", out


def latencies(runs, name, image, rounds):
    """Least milliseconds of each; all of them take turns, in changing order: what ran before leaves its weights in the caches."""
    best, order, draw = dict.fromkeys(runs, float("inf")), list(runs.items()), random.Random(0)
    for _ in range(rounds):
        draw.shuffle(order)
        for entry, run in order:
            start = time.perf_counter()
            run.run(None, {name: image})
            best[entry] = min(best[entry], (time.perf_counter() - start) * 1e3)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--target", choices=TARGETS, default="cpu-int8-avx2")
    parser.add_argument("--manifest", type=Path)
    parser.add_argument("--calibration", default="calibration", help="split to calibrate with")
    parser.add_argument("--test", default="validation", help="split to compare on")
    parser.add_argument("--images", type=int, default=256, help="to calibrate with")
    parser.add_argument("--count", type=int, default=2000, help="to compare on")
    parser.add_argument("--rounds", type=int, default=100, help="runs of which the fastest counts")
    parser.add_argument("--variants", nargs="*", default=[""], help="ours, each with options of quantise::Options")
    args = parser.parse_args()
    preprocess, classes = card(args)
    calibration, _ = load(args.data, args.calibration, args.images, preprocess, classes)
    images, labels = load(args.data, args.test, args.count, preprocess, classes)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        name = session(args.model, "").get_inputs()[0].name
        entries = {"fp32": args.model}
        entries.update(ours(args, folder, calibration))
        entries.update(theirs(args, folder, calibration, name))
        runs, found, fused = {}, {}, {}
        for entry, path in entries.items():
            runs[entry] = session(path, "" if entry == "fp32" else args.target, folder / "optimised.onnx")
            nodes = onnx.load(folder / "optimised.onnx").graph.node
            fused[entry] = sum(node.op_type == "QLinearConv" for node in nodes)
            found[entry] = logits(runs[entry], images)
        best = latencies(runs, name, images[:1], args.rounds)
        print("| quantiser | cosine | SQNR dB | same top-1 | accuracy | QLinearConv | time | kB |")
        print("|---|---|---|---|---|---|---|---|")
        exact = found["fp32"]
        for entry, out in found.items():
            cosine = float((exact * out).sum() / np.sqrt((exact**2).sum() * (out**2).sum()))
            sqnr = 10 * np.log10((exact**2).sum() / max(((exact - out) ** 2).sum(), 1e-30))
            same, right = (np.mean(out.argmax(1) == other) * 100 for other in (exact.argmax(1), labels))
            size, share = os.path.getsize(entries[entry]) / 1e3, best[entry] / best["fp32"]
            quality = f"{cosine:.5f} | {sqnr:.1f} | {same:.2f} % | {right:.2f} %"
            print(f"| {entry} | {quality} | {fused[entry]} | {share:.3f} | {size:.0f} |")


if __name__ == "__main__":
    main()
