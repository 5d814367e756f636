"""Masked feature reconstruction: a student's feature map, most positions of which are zeroed, becomes the teacher's.

The trainable part of Af-DCD (and, with a random mask and the plain generator, of MGD): a method owns it, hands its
parameters to the optimiser and gives its output to the losses.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from xkd_bench.errors import UsageError

GeneratorName = Literal["plain", "enhanced"]
MaskName = Literal["random", "central"]


def random_mask(n: int, height: int, width: int, ratio: float, device: torch.device | str = "cpu") -> Tensor:
    """[n, 1, height, width] of 0 and 1, each position 0 with probability `ratio`, by torch's global generator."""
    return (torch.rand(n, 1, height, width, device=device) >= ratio).float()


def central_mask(height: int, width: int, device: torch.device | str = "cpu") -> Tensor:
    """[1, 1, height, width]: 0 in rows [height//3, 2 height//3) and columns [width//3, 2 width//3), 1 elsewhere."""
    mask = torch.ones(1, 1, height, width, device=device)
    mask[..., height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 0
    return mask


class PlainGenerator(nn.Sequential):
    """3x3 convolution, ReLU, 3x3 convolution: each position is predicted from the 5x5 around it [CODE]."""

    def __init__(self, channels: int) -> None:
        super().__init__(_conv3(channels), nn.ReLU(inplace=True), _conv3(channels))


class EnhancedGenerator(nn.Module):
    """Two 3x3 convolutions with ReLU in a row, and the mean of a 3x3 convolution of each: 7x7 around [CODE]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(_conv3(channels), nn.ReLU(inplace=True))
        self.second = nn.Sequential(_conv3(channels), nn.ReLU(inplace=True))
        self.out = nn.ModuleList((_conv3(channels), _conv3(channels)))

    def forward(self, x: Tensor) -> Tensor:
        """x: [n, c, h, w] to the same shape."""
        one = self.first(x)
        two = self.second(one)
        return (self.out[0](one) + self.out[1](two)) / 2


class MaskedReconstruction(nn.Module):
    """g = G(m · align(f_B)): the student's map [n, student, h, w] to the teacher's [n, teacher, h, w].

    align: a 1x1 convolution with bias where the widths differ, nothing where they agree (there the released code fails,
    for it calls a layer it has not made). m: shared by channels, drawn anew at each call: `random` zeroes each position
    with probability `ratio`, `central` the middle block. generator: `plain` or `enhanced`.

    Zeroed positions get no gradient: their target is predicted from the neighbours.

    Raises UsageError for an unknown generator or mask, and for a ratio outside [0, 1).

    Source: Af-DCD [CODE OSVAI/Af-DCD losses/ocmgd.py]: random, 0.75, plain by default; MGD (Yang et al. 2022).
    """

    def __init__(
        self,
        student: int,
        teacher: int,
        generator: GeneratorName = "plain",
        mask: MaskName = "random",
        ratio: float = 0.75,
    ) -> None:
        super().__init__()
        for kind, name, known in (("generator", generator, GeneratorName), ("mask", mask, MaskName)):
            if name not in get_args(known):
                raise UsageError(f"unknown {kind} '{name}': known: {', '.join(get_args(known))}")
        if not 0 <= ratio < 1:
            raise UsageError(f"the share of masked positions is in [0, 1), got {ratio:g}")
        self.mask, self.ratio = mask, ratio
        self.align = nn.Conv2d(student, teacher, 1) if student != teacher else nn.Identity()
        self.generator = PlainGenerator(teacher) if generator == "plain" else EnhancedGenerator(teacher)

    def forward(self, f: Tensor) -> Tensor:
        aligned = self.align(f)
        n, _, height, width = aligned.shape
        if self.mask == "random":
            mask = random_mask(n, height, width, self.ratio, aligned.device)
        else:
            mask = central_mask(height, width, aligned.device)
        return self.generator(aligned * mask.to(aligned.dtype))


def _conv3(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1)
