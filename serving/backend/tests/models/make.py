"""Writes the models of the backend test suite and what ONNX Runtime makes of them.

Run by hand, with the packages onnx, onnxruntime, numpy and safetensors; the results are committed:

    python make.py

Each <name>.onnx is at most 20 KB. <name>.safetensors holds one case per batch size, its tensors named
`<case>/in/<input>` and `<case>/out/<output>`.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

HERE = Path(__file__).parent
RNG = np.random.default_rng(20240501)


def tensor(name, values):
    return numpy_helper.from_array(np.ascontiguousarray(values), name)


def normal(*shape, scale=0.3):
    return (RNG.standard_normal(shape) * scale).astype(np.float32)


def value(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def model(name, nodes, inputs, outputs, initializers=(), opset=17):
    graph = helper.make_graph(list(nodes), name, list(inputs), list(outputs), list(initializers))
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(proto)
    return proto


def classifier(batch="batch"):
    """3x16x16 image to four logits: convolution, ReLU, global average pooling, a linear layer."""
    nodes = [
        helper.make_node("Conv", ["image", "conv.weight", "conv.bias"], ["features"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["features"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "fc.weight", "fc.bias"], ["logits"], transB=1),
    ]
    weights = [
        tensor("conv.weight", normal(8, 3, 3, 3)),
        tensor("conv.bias", normal(8)),
        tensor("fc.weight", normal(4, 8, scale=1.0)),
        tensor("fc.bias", normal(4)),
    ]
    image = value("image", TensorProto.FLOAT, [batch, 3, 16, 16])
    return model("classifier", nodes, [image], [value("logits", TensorProto.FLOAT, [batch, 4])], weights)


def nameless_batch():
    """The classifier with free dimensions that have no name."""
    proto = classifier()
    proto.graph.name = "nameless_batch"
    for info in (*proto.graph.input, *proto.graph.output):
        info.type.tensor_type.shape.dim[0].Clear()
    return proto


def traced_shapes():
    """The classifier as some exporters write it: shapes of the batch it was traced at are left inside."""
    proto = classifier()
    proto.graph.name = "traced_shapes"
    proto.graph.value_info.append(value("active", TensorProto.FLOAT, [1, 8, 16, 16]))
    return proto


def two_inputs():
    """Adds a gain and an offset; the second output has no declared shape."""
    nodes = [
        helper.make_node("Mul", ["image", "gain"], ["scaled"]),
        helper.make_node("ReduceMean", ["scaled"], ["mean"], axes=[1, 2], keepdims=0),
    ]
    inputs = [value("image", TensorProto.FLOAT, ["n", 4, 4]), value("gain", TensorProto.FLOAT, ["n", 1, 1])]
    outputs = [value("scaled", TensorProto.FLOAT, ["n", 4, 4]), value("mean", TensorProto.FLOAT, ["n"])]
    proto = model("two_inputs", nodes, inputs, outputs)
    proto.graph.output[1].type.tensor_type.ClearField("shape")
    return proto


def integers():
    """INT64 in, INT64 and BOOL out, two free dimensions."""
    nodes = [
        helper.make_node("Mul", ["ids", "two"], ["doubled"]),
        helper.make_node("Greater", ["doubled", "limit"], ["large"]),
    ]
    weights = [tensor("two", np.array(2, np.int64)), tensor("limit", np.array(10, np.int64))]
    outputs = [value("doubled", TensorProto.INT64, ["n", "length"]), value("large", TensorProto.BOOL, ["n", "length"])]
    return model("integers", nodes, [value("ids", TensorProto.INT64, ["n", "length"])], outputs, weights)


def fixed_shape():
    """No batch dimension at all."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = [tensor("w", normal(6, 2))]
    return model(
        "fixed_shape", nodes, [value("x", TensorProto.FLOAT, [3, 6])], [value("y", TensorProto.FLOAT, [3, 2])], weights
    )


def half_precision():
    """FP16 through and through, with UINT8 pixels as input."""
    nodes = [
        helper.make_node("Cast", ["pixels"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Mul", ["half", "scale"], ["y"]),
    ]
    weights = [tensor("scale", np.array(1 / 256, np.float16))]
    return model(
        "half_precision",
        nodes,
        [value("pixels", TensorProto.UINT8, ["n", 2, 3])],
        [value("y", TensorProto.FLOAT16, ["n", 2, 3])],
        weights,
    )


def quantised():
    """A convolution in QDQ form, per-channel weights."""
    weight = RNG.integers(-127, 128, (4, 3, 3, 3)).astype(np.int8)
    weights = [
        tensor("x.scale", np.array(0.02, np.float32)),
        tensor("x.zero", np.array(0, np.int8)),
        tensor("w", weight),
        tensor("w.scale", np.array([0.004, 0.005, 0.006, 0.007], np.float32)),
        tensor("w.zero", np.zeros(4, np.int8)),
        tensor("y.scale", np.array(0.05, np.float32)),
        tensor("y.zero", np.array(0, np.int8)),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "x.scale", "x.zero"], ["x.q"]),
        helper.make_node("DequantizeLinear", ["x.q", "x.scale", "x.zero"], ["x.dq"]),
        helper.make_node("DequantizeLinear", ["w", "w.scale", "w.zero"], ["w.dq"], axis=0),
        helper.make_node("Conv", ["x.dq", "w.dq"], ["c"], kernel_shape=[3, 3]),
        helper.make_node("QuantizeLinear", ["c", "y.scale", "y.zero"], ["c.q"]),
        helper.make_node("DequantizeLinear", ["c.q", "y.scale", "y.zero"], ["y"]),
    ]
    return model(
        "quantised",
        nodes,
        [value("image", TensorProto.FLOAT, ["n", 3, 8, 8])],
        [value("y", TensorProto.FLOAT, ["n", 4, 6, 6])],
        weights,
    )


def strings():
    """STRING in and out: refused by name."""
    kind = TensorProto.STRING
    return model("strings", [helper.make_node("Identity", ["names"], ["same"])], [value("names", kind, ["n"])], [value("same", kind, ["n"])])


def unknown_operator():
    node = helper.make_node("Levitate", ["x"], ["y"], domain="example.invalid")
    graph = helper.make_graph([node], "unknown_operator", [value("x", TensorProto.FLOAT, ["n"])], [value("y", TensorProto.FLOAT, ["n"])])
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("example.invalid", 1)], ir_version=8
    )


def missing_output():
    """Declares an output that no node makes."""
    node = helper.make_node("Relu", ["x"], ["y"])
    graph = helper.make_graph([node], "missing_output", [value("x", TensorProto.FLOAT, ["n"])], [value("z", TensorProto.FLOAT, ["n"])])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tiny():
    """What `takt doctor` tries providers on."""
    node = helper.make_node("Relu", ["x"], ["y"])
    kind = TensorProto.FLOAT
    return model("tiny", [node], [value("x", kind, [1, 4])], [value("y", kind, [1, 4])])


def fill(kind, shape):
    if kind == "tensor(int64)":
        return RNG.integers(-20, 20, shape)
    if kind == "tensor(uint8)":
        return RNG.integers(0, 256, shape).astype(np.uint8)
    return normal(*shape, scale=1.0)


def write(proto, batches=(1, 2, 5)):
    path = HERE / f"{proto.graph.name}.onnx"
    onnx.save(proto, path)
    assert path.stat().st_size < 20_000, path
    options = onnxruntime.SessionOptions()
    # Without it, INT8 weights of full range overflow on x86 processors that lack VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    cases = {}
    for batch in batches:
        feeds = {}
        for given in session.get_inputs():
            shape = [dim if isinstance(dim, int) else batch if at == 0 else 3 for at, dim in enumerate(given.shape)]
            feeds[given.name] = fill(given.type, shape)
        for name, array in feeds.items():
            cases[f"{batch}/in/{name}"] = array
        for output, array in zip(session.get_outputs(), session.run(None, feeds)):
            cases[f"{batch}/out/{output.name}"] = np.ascontiguousarray(array)
    save_file(cases, path.with_suffix(".safetensors"))


def main():
    for proto in (classifier(), nameless_batch(), traced_shapes(), two_inputs(), integers(), half_precision(), quantised()):
        write(proto)
    write(fixed_shape(), batches=(3,))
    onnx.save(tiny(), HERE.parent.parent / "src/report/tiny.onnx")
    for proto in (strings(), unknown_operator(), missing_output()):
        onnx.save(proto, HERE / f"{proto.graph.name}.onnx")


if __name__ == "__main__":
    main()
