"""Exports small versions of well-known networks with both of PyTorch's exporters, with BatchNorm kept and folded, and
records what ONNX Runtime makes of them. Run by hand:

    pip install torch torchvision timm onnx onnxscript onnxruntime
    python tests/export_models/export.py                       # the committed files
    python tests/export_models/export.py --full --out FOLDER   # full networks and all variants, for TAKT_EXPORTS=FOLDER

The committed files were made with torch 2.15, torchvision 0.29, timm 1.0, onnx 1.23 and onnxruntime 1.31.
"""

import argparse
import json
import warnings
from pathlib import Path

import numpy
import onnx
import onnxruntime
import torch
from torch.onnx import TrainingMode

import networks

HERE = Path(__file__).resolve().parent
COMMITTED = HERE.parent.parent / "pipeline/graph/tests/models"
BATCH = 2

# Each network with BatchNorm kept by the old exporter, for pruning and training, and each with one other variant.
VARIANTS = {
    "resnet18": ["old_bn", "new_folded", "new_bn", "old_folded"],
    "resnet50": ["old_bn", "new_folded"],
    "mobilenet_v2": ["old_bn", "new_folded"],
    "mobilenet_v3": ["old_bn", "new_folded"],
    "efficientnet": ["old_bn", "new_folded"],
    "regnet_x": ["old_bn", "old_folded"],
    "regnet_y": ["old_bn", "new_bn"],
    "shufflenet_v2": ["old_bn", "new_folded"],
    "timm_resnet": ["old_bn"],
    "timm_efficientnet": ["new_bn"],
}


def pattern(shape):
    """The input that the tests compute for themselves: a multiplicative hash of the index, in [-1, 1)."""
    index = numpy.arange(numpy.prod(shape), dtype=numpy.uint64)
    hashed = (index * numpy.uint64(2654435761)) % numpy.uint64(2**32)
    return (hashed / 2.0**31 - 1.0).astype(numpy.float32).reshape(shape)


def export(net, size, variant, path):
    exporter, norm = variant.split("_")
    example = torch.randn(BATCH, 3, size, size)
    common = {"input_names": ["input"], "output_names": ["logits"]}
    if exporter == "old":
        torch.onnx.export(
            net, (example,), path, dynamo=False, opset_version=17, do_constant_folding=norm == "folded",
            training=TrainingMode.EVAL if norm == "folded" else TrainingMode.PRESERVE,
            dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}}, **common,
        )
    else:
        torch.onnx.export(
            net, (example,), path, dynamo=True, opset_version=20, optimize=norm == "folded", external_data=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},), verbose=False, **common,
        )
    model = onnx.load(path)
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]  # the new exporter's are stack traces with folders of this machine
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output]:
        del value.metadata_props[:]
    onnx.save(model, path)
    return model


def record(model, size):
    """Outputs for `pattern`, and the shape that every value really has at this batch size."""
    everything = onnx.ModelProto()
    everything.CopyFrom(model)
    known = {output.name for output in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name and name not in known:
                everything.graph.output.add(name=name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(everything.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shape = [BATCH, 3, size, size]
    names = [output.name for output in session.get_outputs()]
    values = dict(zip(names, session.run(names, {"input": pattern(shape)})))
    return {
        "input": shape,
        "outputs": {name: [float(x) for x in values[name].ravel()] for name in sorted(known)},
        "shapes": {name: list(value.shape) for name, value in sorted(values.items()) if hasattr(value, "shape")},
    }


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--full", action="store_true")
    arguments.add_argument("--out", type=Path, default=COMMITTED)
    arguments.add_argument("--only", default="", help="networks whose names begin so")
    arguments = arguments.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    size = 64 if arguments.full else 32
    every = ["old_bn", "old_folded", "new_bn", "new_folded"]
    for name, make in (networks.FULL if arguments.full else networks.SMALL).items():
        if not name.startswith(arguments.only):
            continue
        net = networks.build(make, size)
        for variant in every if arguments.full else VARIANTS[name]:
            path = arguments.out / f"{name}_{variant}.onnx"
            model = export(net, size, variant, path)
            path.with_suffix(".json").write_text(json.dumps(record(model, size), separators=(",", ":")) + "\n")
            operators = sorted({node.op_type for node in model.graph.node})
            print(path.name, path.stat().st_size, "bytes", *operators)


if __name__ == "__main__":
    main()
