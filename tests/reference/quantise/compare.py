"""Our quantiser beside ONNX Runtime's own: same model, calibration images and format (QDQ, U8 activations, per-channel S8
weights of 7 bits). Run by hand:

    cargo build --release -p takt-pipeline --example quantise
    python tests/reference/quantise/compare.py MODEL DATA --tool target/release/examples/quantise

DATA is a folder with labels.csv as `takt data generate` writes it; images are preprocessed as the shipped example's are.
Prints a table: cosine of the logits with single precision, the same predictions as single precision, accuracy, convolutions
fused, latency with one thread (least of interleaved runs), size.
"""

import argparse
import csv
import os
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

LABELS = ["ok", "scratch", "dent", "stain", "hole", "crack"]


def load(folder, split, count, size):
    with open(folder / "labels.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split][:count]
    images = []
    for row in rows:
        with Image.open(folder / row["file"]) as image:
            small = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
        images.append((np.asarray(small, np.float32).transpose(2, 0, 1) / 255 - 0.5) / 0.1)
    return np.stack(images), np.array([LABELS.index(row["label"]) for row in rows])


class Reader(q.CalibrationDataReader):
    def __init__(self, name, images):
        self.batches = iter([{name: images[at : at + 1]} for at in range(len(images))])

    def get_next(self):
        return next(self.batches, None)


def session(path, optimised=None):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    if optimised:
        options.optimized_model_filepath = str(optimised)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def logits(run, images):
    name = run.get_inputs()[0].name
    return np.concatenate([run.run(None, {name: images[at : at + 1]})[0] for at in range(len(images))])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--tool", required=True)
    parser.add_argument("--calibration", default="train")
    parser.add_argument("--test", default="validation")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--variants", nargs="*", default=["", "rounding=nearest", "rounding=nearest correct_bias=false", "calibration=min-max", "calibration=entropy"])
    args = parser.parse_args()
    calibration, _ = load(args.data, args.calibration, args.images, args.size)
    images, labels = load(args.data, args.test, args.count, args.size)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        raw, ready = folder / "images.f32", folder / "ready.onnx"
        calibration.astype("<f4").tofile(raw)
        quant_pre_process(str(args.model), str(ready))
        entries = {"fp32": args.model}
        shape = f"3,{args.size},{args.size}"
        for at, variant in enumerate(args.variants):
            out = folder / f"ours{at}.onnx"
            subprocess.run([args.tool, args.model, raw, shape, "cpu-int8-avx2", out, *variant.split()], check=True, stdout=subprocess.DEVNULL)
            entries[f"takt {variant}".strip()] = out
        name = session(args.model).get_inputs()[0].name
        for method in (q.CalibrationMethod.MinMax, q.CalibrationMethod.Entropy, q.CalibrationMethod.Percentile):
            out = folder / f"{method.name}.onnx"
            q.quantize_static(
                str(ready), str(out), Reader(name, calibration), quant_format=q.QuantFormat.QDQ, per_channel=True,
                reduce_range=True, activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8, calibrate_method=method,
            )
            entries[f"quantize_static {method.name}"] = out
        runs, best, found, fused = {}, {}, {}, {}
        for entry, path in entries.items():
            runs[entry] = session(path, folder / "optimised.onnx")
            fused[entry] = sum(node.op_type == "QLinearConv" for node in onnx.load(folder / "optimised.onnx").graph.node)
            found[entry] = logits(runs[entry], images)
            best[entry] = float("inf")
        for _ in range(100):
            for entry, run in runs.items():
                start = time.perf_counter()
                run.run(None, {name: images[:1]})
                best[entry] = min(best[entry], time.perf_counter() - start)
        exact = found["fp32"]
        print("| quantiser | cosine | same top-1 | accuracy | QLinearConv | ms | kB |\n|---|---|---|---|---|---|---|")
        for entry, out in found.items():
            cosine = float((exact * out).sum() / np.sqrt((exact**2).sum() * (out**2).sum()))
            same, right = (np.mean(out.argmax(1) == other) * 100 for other in (exact.argmax(1), labels))
            size = os.path.getsize(entries[entry]) / 1e3
            print(f"| {entry} | {cosine:.5f} | {same:.2f} % | {right:.2f} % | {fused[entry]} | {best[entry] * 1e3:.3f} | {size:.0f} |")


if __name__ == "__main__":
    main()
