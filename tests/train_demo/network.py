"""The demonstration's network: once as a PyTorch module to train, once as an ONNX graph to ship.

The graph is written node by node, so that what is shipped keeps its BatchNormalization nodes, its names and opset 17
whatever the exporter of the installed PyTorch likes to do.
"""

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

# Kernel, stride and output channels of each convolution, with BatchNorm and ReLU after it.
LAYERS = [(5, 2, 16), (3, 2, 32), (3, 1, 32), (3, 2, 48), (3, 1, 64), (3, 2, 64), (3, 1, 64)]
OPSET = 17
# ONNX IR version of the ONNX release that brought opset 17.
IR_VERSION = 8


class Network(torch.nn.Module):
    """Convolutions, then the strongest response in each quarter of the picture, then their mean, then one layer."""

    def __init__(self, classes):
        super().__init__()
        self.convs = torch.nn.ModuleList()
        self.norms = torch.nn.ModuleList()
        channels = 3
        for kernel, stride, out in LAYERS:
            self.convs.append(torch.nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False))
            self.norms.append(torch.nn.BatchNorm2d(out))
            channels = out
        self.head = torch.nn.Linear(channels, classes)

    def forward(self, x):
        for conv, norm in zip(self.convs, self.norms):
            x = torch.relu(norm(conv(x)))
        return self.head(torch.nn.functional.max_pool2d(x, 4).mean((2, 3)))


def to_onnx(network, size, classes, description):
    """The trained network as an ONNX model: input `image` [batch, 3, size, size], output `logits` [batch, classes]."""
    nodes, weights = [], []

    def weight(name, tensor):
        weights.append(numpy_helper.from_array(tensor.detach().numpy().astype(np.float32), name))
        return name

    x = "image"
    for index, (conv, norm) in enumerate(zip(network.convs, network.norms)):
        kernel, stride, pad = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        nodes.append(helper.make_node(
            "Conv", [x, weight(f"conv{index}.weight", conv.weight)], [f"conv{index}"], name=f"conv{index}",
            kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4))
        statistics = [("scale", norm.weight), ("bias", norm.bias), ("mean", norm.running_mean), ("var", norm.running_var)]
        nodes.append(helper.make_node(
            "BatchNormalization", [f"conv{index}"] + [weight(f"norm{index}.{name}", value) for name, value in statistics],
            [f"norm{index}"], name=f"norm{index}", epsilon=norm.eps))
        x = f"relu{index}"
        nodes.append(helper.make_node("Relu", [f"norm{index}"], [x], name=x))
    nodes.append(helper.make_node("MaxPool", [x], ["quarters"], name="quarters", kernel_shape=[4, 4], strides=[4, 4]))
    nodes.append(helper.make_node("GlobalAveragePool", ["quarters"], ["pooled"], name="pooled"))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["features"], name="features"))
    head = [weight("head.weight", network.head.weight), weight("head.bias", network.head.bias)]
    nodes.append(helper.make_node("Gemm", ["features"] + head, ["logits"], name="head", transB=1))

    graph = helper.make_graph(
        nodes, "surface-defects",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, size, size])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])],
        weights, doc_string=description)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="takt tests/train_demo")
    onnx.checker.check_model(model, full_check=True)
    return model
