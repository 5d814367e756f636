"""Student encoders: a network that maps images to features, by name.

For small images: `conv4-wW`, the four-layer network of the few-shot literature, and `resnetD-wW`, CIFAR-style residual
networks (3x3 stem, no max-pooling) of D layers; both are W channels wide at first and 8W at last. Any other name is
timm's (`resnet50`, `mobilenetv3_small_100`, `vit_tiny_patch16_224`).
"""

import re
from typing import Any

import timm
import torch
from torch import Tensor, nn

from xkd_bench.catalogue import STUDENTS
from xkd_bench.errors import UsageError, nearest

_SMALL = re.compile(r"(conv|resnet)(\d+)-w(\d+)")


class Encoder(nn.Module):
    """A backbone with pooled features.

    `forward` maps uint8-scaled floats in [0, 1], [n, channels, h, w], to features [n, dim]. Inputs are centred to
    [-1, 1] here, so that callers and stored weights never differ in it.
    """

    def __init__(self, backbone: nn.Module, dim: int, name: str, channels: int) -> None:
        super().__init__()
        self.backbone, self.dim, self.name, self.channels = backbone, dim, name, channels

    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(x * 2 - 1)


class _Residual(nn.Module):
    """A basic block: two 3x3 convolutions, and a 1x1 shortcut where the shape changes (He et al. 2016)."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        same = stride == 1 and n_in == n_out
        shortcut = (nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))
        self.shortcut = nn.Identity() if same else nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


def _small_resnet(depth: int, width: int, channels: int) -> tuple[nn.Module, int]:
    """depth = 6 n + 2 with n blocks a stage; widths W, 2W, 4W, 8W from the stem on; each step halves the image."""
    blocks = (depth - 2) // 6
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    for stage in range(3):
        n_in, n_out = width << stage, width << (stage + 1)
        layers += [_Residual(n_in if i == 0 else n_out, n_out, 2 if i == 0 else 1) for i in range(blocks)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), width * 8


def _conv4(width: int, channels: int) -> tuple[nn.Module, int]:
    """Four 3x3 convolutions, W, 2W, 4W, 8W wide; the first three halve the image."""
    layers: list[nn.Module] = []
    n_in = channels
    for stage, stride in enumerate((2, 2, 2, 1)):
        n_out = width << stage
        layers += [nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
        n_in = n_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()), n_in


def check_student(name: str) -> None:
    """Raise UsageError if no student has this name; builds nothing."""
    if small := _SMALL.fullmatch(name):
        kind, depth, width = small[1], int(small[2]), int(small[3])
        if kind == "conv" and depth != 4:
            raise UsageError(f"student '{name}': a plain network has 4 layers (conv4-w{width}), not {depth}")
        if kind == "resnet" and (depth < 8 or depth % 6 != 2):
            raise UsageError(f"student '{name}': a small ResNet has 6n + 2 layers (8, 14, 20, …), not {depth}")
        if width < 1:
            raise UsageError(f"student '{name}': a network is 1 channel wide or more")
    elif not timm.is_model(name):
        raise nearest("student", name, [*STUDENTS, *timm.list_models()])


def build_encoder(name: str, channels: int, size: int) -> Encoder:
    """A freshly initialised encoder from torch's global generator.

    name: see the module's docstring. channels: of the input. size: of the input in pixels, for networks that need it.
    """
    check_student(name)
    if small := _SMALL.fullmatch(name):
        depth, width = int(small[2]), int(small[3])
        backbone, dim = _conv4(width, channels) if small[1] == "conv" else _small_resnet(depth, width, channels)
        return Encoder(backbone, dim, name, channels)
    extra: dict[str, Any] = {"img_size": size} if name.startswith(("vit", "deit", "swin")) else {}
    model = timm.create_model(name, pretrained=False, in_chans=channels, num_classes=0, **extra)
    # Some heads (MobileNetV3) widen the features after pooling: ask the network, not its declaration.
    model.eval()
    try:
        with torch.no_grad():
            dim = model(torch.zeros(1, channels, size, size)).shape[1]
    except (RuntimeError, AssertionError, ValueError) as error:
        what = f"{channels} × {size} × {size} inputs"
        raise UsageError(f"student '{name}' cannot take {what}: {str(error).splitlines()[0]}") from error
    return Encoder(model.train(), dim, name, channels)
