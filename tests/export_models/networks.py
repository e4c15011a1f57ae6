"""Torchvision's and timm's architectures, narrowed until an export is small enough to commit."""

from functools import partial

import timm
import timm.models.efficientnet
import timm.models.resnet
import torch
from torch import nn
from torchvision import models
from torchvision.models.efficientnet import EfficientNet, _efficientnet_conf
from torchvision.models.mobilenetv3 import MobileNetV3, _mobilenet_v3_conf
from torchvision.models.regnet import BlockParams, RegNet
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops.misc import Conv2dNormActivation

CLASSES = 10


class NarrowResNet(ResNet):
    """A sixteenth of the widths: stages of 4, 8, 16, 32."""

    def _make_layer(self, block, planes, *args, **kwargs):
        if planes == 64:
            self.inplanes = 4
        return super()._make_layer(block, planes // 16, *args, **kwargs)


def resnet(block, layers):
    net = NarrowResNet(block, layers, num_classes=CLASSES)
    net.conv1 = nn.Conv2d(3, 4, kernel_size=7, stride=2, padding=3, bias=False)
    net.bn1 = nn.BatchNorm2d(4)
    net.fc = nn.Linear(32 * block.expansion, CLASSES)
    return net


def mobilenet_v2():
    settings = [[1, 16, 1, 1], [6, 24, 2, 2], [6, 32, 2, 2], [6, 64, 1, 2], [6, 96, 2, 1]]
    net = models.MobileNetV2(num_classes=CLASSES, width_mult=0.25, inverted_residual_setting=settings)
    before = net.features[-1][0].in_channels
    net.features[-1] = Conv2dNormActivation(before, 48, kernel_size=1, activation_layer=nn.ReLU6)
    net.classifier[1] = nn.Linear(48, CLASSES)
    return net


def mobilenet_v3():
    settings, _ = _mobilenet_v3_conf("mobilenet_v3_small", width_mult=0.25)
    return MobileNetV3(settings[:7], last_channel=64, num_classes=CLASSES)


def efficientnet():
    settings, _ = _efficientnet_conf("efficientnet_b0", width_mult=0.25, depth_mult=0.5)
    return EfficientNet(settings[:4], dropout=0.2, num_classes=CLASSES, last_channel=64)


def regnet(se_ratio):
    params = BlockParams.from_init_params(depth=4, w_0=16, w_a=8.0, w_m=2.0, group_width=8, se_ratio=se_ratio)
    norm = partial(nn.BatchNorm2d, eps=1e-5)
    return RegNet(params, num_classes=CLASSES, stem_width=16, norm_layer=norm)


def shufflenet():
    return models.ShuffleNetV2([2, 3, 2], [8, 16, 24, 48, 64], num_classes=CLASSES)


def timm_resnet():
    return timm.models.resnet.ResNet(
        timm.models.resnet.BasicBlock, (1, 1, 1, 1), num_classes=CLASSES, stem_width=8, stem_type="deep",
        avg_down=True, channels=(8, 8, 16, 32))


def timm_efficientnet():
    return timm.models.efficientnet._gen_efficientnet("efficientnet_b0", 0.1, 0.3, num_classes=CLASSES)


SMALL = {
    "resnet18": lambda: resnet(BasicBlock, [1, 2, 1, 1]),
    "resnet50": lambda: resnet(Bottleneck, [1, 2, 1, 1]),
    "mobilenet_v2": mobilenet_v2,
    "mobilenet_v3": mobilenet_v3,
    "efficientnet": efficientnet,
    "regnet_x": lambda: regnet(None),
    "regnet_y": lambda: regnet(0.25),
    "shufflenet_v2": shufflenet,
    "timm_resnet": timm_resnet,
    "timm_efficientnet": timm_efficientnet,
}

FULL = {
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "mobilenet_v2": models.mobilenet_v2,
    "mobilenet_v3": models.mobilenet_v3_large,
    "efficientnet": models.efficientnet_b0,
    "regnet_x": models.regnet_x_400mf,
    "regnet_y": models.regnet_y_400mf,
    "shufflenet_v2": models.shufflenet_v2_x1_0,
    **{f"timm_{name}": partial(timm.create_model, name) for name in (
        "resnet18", "resnet50", "mobilenetv2_100", "mobilenetv3_large_100", "efficientnet_b0", "regnetx_004", "regnety_004")},
}


def build(make, size):
    """The network with statistics that its BatchNorms have seen, and none of gamma, beta, mean, variance trivial."""
    torch.manual_seed(1)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            module.momentum = None
    net.train()
    with torch.no_grad():
        for _ in range(4):
            net(torch.randn(16, 3, size, size))
    return net.eval()
