"""Networks for small images and for vectors, by depth and width; each ends a stage where it says.

`conv4-wW`: the four-layer network of the few-shot literature. `resnetD-wW`: CIFAR-style residual networks (3x3 stem,
no max-pooling; He et al. 2016) of D layers. Both are W channels wide at first and 8W at last. `mlp-wW`: two hidden
layers of W units with batch normalisation, for vectors.
"""

import re

import torch
from torch import Tensor, nn

from xkd_bench.errors import UsageError
from xkd_bench.models.features import Features, Staged

_NAME = re.compile(r"(conv|resnet|mlp)(\d*)-w(\d+)")


def parse(name: str) -> tuple[str, int, int] | None:
    """(kind, depth, width) of a name of this file, None for any other. UsageError where no such network can be."""
    small = _NAME.fullmatch(name)
    if not small or bool(small[2]) == (small[1] == "mlp"):
        return None
    kind, depth, width = small[1], int(small[2] or 2), int(small[3])
    if kind == "conv" and depth != 4:
        raise UsageError(f"student '{name}': a plain network has 4 layers (conv4-w{width}), not {depth}")
    if kind == "resnet" and (depth < 8 or depth % 6 != 2):
        raise UsageError(f"student '{name}': a small ResNet has 6n + 2 layers (8, 14, 20, …), not {depth}")
    if width < 1:
        raise UsageError(f"student '{name}': a network is 1 channel wide or more")
    return kind, depth, width


def build(kind: str, depth: int, width: int, channels: int) -> tuple["Small", int]:
    """The network that `parse` found, and the width of its features."""
    if kind == "mlp":
        return _mlp(width, channels)
    return _conv4(width, channels) if kind == "conv" else _resnet(depth, width, channels)


class Small(nn.Sequential, Staged):
    """Layers in a row; `ends` are the numbers of the layers that end a stage."""

    def __init__(self, layers: list[nn.Module], ends: tuple[int, ...]) -> None:
        super().__init__(*layers)
        self.ends = ends

    def features(self, x: Tensor) -> Features:
        maps = []
        for number, layer in enumerate(self):
            x = layer(x)
            if number in self.ends:
                maps.append(x)
        return Features(x, tuple(maps))


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


def _resnet(depth: int, width: int, channels: int) -> tuple[Small, int]:
    """depth = 6 n + 2 with n blocks a stage; widths W, 2W, 4W, 8W from the stem on; each step halves the image."""
    blocks = (depth - 2) // 6
    layers: list[nn.Module] = [
        nn.Conv2d(channels, width, 3, 2, 1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    ]
    ends = [2]
    for stage in range(3):
        n_in, n_out = width << stage, width << (stage + 1)
        layers += [_Residual(n_in if i == 0 else n_out, n_out, 2 if i == 0 else 1) for i in range(blocks)]
        ends.append(len(layers) - 1)
    return Small([*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()], tuple(ends)), width * 8


def _conv4(width: int, channels: int) -> tuple[Small, int]:
    """Four 3x3 convolutions, W, 2W, 4W, 8W wide; the first three halve the image."""
    layers: list[nn.Module] = []
    n_in = channels
    for stage, stride in enumerate((2, 2, 2, 1)):
        n_out = width << stage
        layers += [nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
        n_in = n_out
    return Small([*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()], (2, 5, 8, 11)), n_in


def _mlp(width: int, inputs: int) -> tuple[Small, int]:
    """Two hidden layers of W units: [n, inputs] -> [n, W]."""
    layers: list[nn.Module] = []
    for n_in in (inputs, width):
        layers += [nn.Linear(n_in, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
    return Small(layers, ()), width
