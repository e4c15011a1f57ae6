"""Writes the networks that the benchmarks run: ResNet-18 at 64x64 and ResNet-50 at 224x224, random weights, dynamic batch.

Speed does not depend on the weights. Run by hand with a Python that has torch and onnx:
    python benches/models.py OUT
It makes OUT/<name>/1/model.onnx and OUT/<name>/model.toml, a repository that `takt serve` can serve.
The architecture follows He et al. 2016, table 1.
"""
import pathlib
import sys

import torch
from torch import nn


def convolution(inputs, outputs, size, stride=1):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), nn.BatchNorm2d(outputs))


class Block(nn.Module):
    """A residual block: two 3x3 convolutions, or 1x1, 3x3, 1x1 where `expansion` is 4."""

    def __init__(self, inputs, width, stride, expansion):
        super().__init__()
        outputs = width * expansion
        if expansion == 1:
            layers = [convolution(inputs, width, 3, stride), nn.ReLU(), convolution(width, outputs, 3)]
        else:
            layers = [convolution(inputs, width, 1), nn.ReLU(), convolution(width, width, 3, stride), nn.ReLU(),
                      convolution(width, outputs, 1)]
        self.body = nn.Sequential(*layers)
        same = stride == 1 and inputs == outputs
        self.shortcut = nn.Identity() if same else convolution(inputs, outputs, 1, stride)

    def forward(self, x):
        return torch.relu(self.body(x) + self.shortcut(x))


def resnet(depths, expansion, classes=1000):
    layers = [convolution(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    inputs = 64
    for stage, depth in enumerate(depths):
        width = 64 * 2 ** stage
        for index in range(depth):
            layers.append(Block(inputs, width, 2 if stage and not index else 1, expansion))
            inputs = width * expansion
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


PREPROCESS = """
max_batch_size = 16

[batching]
max_delay_ms = 0
max_queue = 4096

[preprocess]
input = "input"
width = {size}
height = {size}
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
"""


def write(out, name, network, size):
    torch.manual_seed(1)
    folder = pathlib.Path(out, name, "1")
    folder.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(
        network.eval(), torch.zeros(2, 3, size, size), str(folder / "model.onnx"), input_names=["input"],
        output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}}, opset_version=17,
        dynamo=False)
    (folder.parent / "model.toml").write_text(PREPROCESS.format(size=size).lstrip())


if __name__ == "__main__":
    write(sys.argv[1], "resnet18-64", resnet([2, 2, 2, 2], 1), 64)
    write(sys.argv[1], "resnet50-224", resnet([3, 4, 6, 3], 4), 224)
