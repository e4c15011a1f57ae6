"""Writes the trained network as a packaged version: model.onnx, golden.safetensors, manifest.json."""

import datetime
import hashlib
import json
import shutil

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import save_file

from evaluate import THRESHOLD, choose_band, evaluate
from images import LABELS, MEAN, SIZE, STD, normalise
from network import OPSET, to_onnx

SEMVER = "1.0.0"
# Of the golden logits, for the golden tensors: runtimes differ only in the order of summation. That the images give
# those tensors is checked by the server, with a tolerance of its own.
GOLDEN_TOLERANCE = {"absolute": 1e-3, "relative": 1e-3}
# Of shipped images per class.
EXAMPLES = 2


def package(network, data, logits, arguments):
    """Writes the version, and the example images where asked for."""
    out = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    network.eval()
    name = out.resolve().parent.name
    description = "Demonstration classifier of surface defects, trained by tests/train_demo on generated images."
    onnx.save(to_onnx(network, SIZE, len(LABELS), description), out / "model.onnx")
    check_against_onnxruntime(out, data["test"][0], logits["test"])

    record = (arguments.data / "dataset.json").read_bytes()
    plan = json.loads(record)
    band = choose_band(logits["validation"].numpy(), data["validation"][1].numpy())
    figures = {split: evaluate(logits[split].numpy(), data[split][1].numpy(), band) for split in logits}
    # Band and epochs were chosen on validation; test was read once.
    figures["data"] = plan
    write_golden(out, data["test"], arguments.data)

    shape = ["batch", 3, SIZE, SIZE]
    files = ["golden.safetensors", "model.onnx"]
    manifest = {
        "schema": 1,
        "name": name,
        "semver": SEMVER,
        "created": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lineage": {"data": hashlib.sha256(record).hexdigest()},
        "signature": {
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1] + shape[1:]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, len(LABELS)]}],
        },
        "preprocess": {
            "input": "image", "width": SIZE, "height": SIZE, "layout": "nchw", "color": "rgb",
            "resize": {"mode": "stretch"}, "filter": "bilinear", "scale": 1 / 255, "mean": MEAN, "std": STD,
            # Training saw images decoded at full size.
            "scaled_decode": False,
        },
        "labels": LABELS,
        "decision": {
            "output": "logits", "activation": "softmax", "good_classes": ["ok"],
            "thresholds": {label: THRESHOLD for label in sorted(LABELS) if label != "ok"},
        } | ({"uncertain": band} if band else {}),
        "variants": [{"name": "default", "file": "model.onnx", "precision": "fp32"}],
        "evaluation": figures,
        "files": {file: digest(out / file) for file in files},
    }
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    if arguments.images:
        copy_examples(data["test"][2], arguments)
    report = {split: {key: value for key, value in figures[split].items() if key != "confusion"} for split in logits}
    print(json.dumps(report, indent=2))
    print(f"opset {OPSET}, {(out / 'model.onnx').stat().st_size:,} bytes, uncertain {band}")


def digest(path):
    content = path.read_bytes()
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def session(out):
    return onnxruntime.InferenceSession(out / "model.onnx", providers=["CPUExecutionProvider"])


def check_against_onnxruntime(out, images, logits):
    """The written graph must compute what PyTorch computed, at any batch size."""
    run = session(out)
    for count in (1, 3, 64):
        actual = run.run(["logits"], {"image": normalise(images[:count]).numpy()})[0]
        # Single precision, other order of summation; logits are up to about 20.
        np.testing.assert_allclose(actual, logits[:count].numpy(), rtol=1e-4, atol=1e-3)


def write_golden(out, split, folder):
    """A good part and a defect: the files' bytes, the tensors they become, and what the graph makes of these."""
    images, labels, rows = split
    chosen = [next(i for i, label in enumerate(labels) if (label == 0) == good) for good in (True, False)]
    # safetensors writes memory as it lies, so it must lie in the order of the shape.
    inputs = np.ascontiguousarray(normalise(images[chosen]).numpy())
    tensors = {
        "input.image": inputs,
        "output.logits": session(out).run(["logits"], {"image": inputs})[0],
    }
    for row, index in enumerate(chosen):
        content = (folder / rows[index]["file"]).read_bytes()
        tensors[f"image.image#{row}"] = np.frombuffer(content, np.uint8).copy()
    save_file(tensors, out / "golden.safetensors", metadata={"takt": json.dumps({"schema": 1, "tolerances": {"fp32": GOLDEN_TOLERANCE}})})


def copy_examples(rows, arguments):
    """The first images of each class, whatever the network makes of them."""
    arguments.images.mkdir(parents=True, exist_ok=True)
    for label in LABELS:
        for row in [row for row in rows if row["label"] == label][:EXAMPLES]:
            shutil.copy(arguments.data / row["file"], arguments.images)
