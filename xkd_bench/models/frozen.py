"""Networks that teach and never change, and how images go through them."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xkd_bench.models.features import Features, Staged, features_of

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class TeacherEncoder(Staged):
    """A network with pooled features that is never trained: [n, 3, h, w] in [0, 1] -> [n, dim].

    It stays in evaluation mode (`train()` does nothing) and its parameters need no gradient. mean, std: of the inputs,
    one number a channel; vectors, [n, d], are taken as they are. size: (h, w) that images are resized to, for a network
    that takes no other; else they are taken as large as they come.
    """

    def __init__(
        self,
        backbone: nn.Module,
        dim: int,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.backbone, self.dim, self.size = backbone, dim, size
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "TeacherEncoder":
        return super().train(False)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(self._input(x))

    @torch.no_grad()
    def features(self, x: Tensor) -> Features:
        """The features of `forward` and the stages' maps, from one pass."""
        return features_of(self.backbone, self._input(x))

    def _input(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return x
        if x.shape[1] == 1 and self.get_buffer("mean").shape[1] == 3:
            x = x.expand(-1, 3, -1, -1)
        if self.size and tuple(x.shape[-2:]) != self.size:
            x = nn.functional.interpolate(x, self.size, mode="bilinear", antialias=True)
        return (x - self.get_buffer("mean")) / self.get_buffer("std")


@dataclass(frozen=True)
class Ready(ABC):
    """A teacher that is there before a run, by its name, with a file of weights if one is given."""

    name: str
    weights: Path | None

    @abstractmethod
    def check(self) -> None:
        """Raise UsageError if there is no such network or its weights cannot be had; read and build little."""

    @abstractmethod
    def files(self) -> list[Path]:
        """What its weights are in, fetched if need be."""

    @abstractmethod
    def load(self) -> TeacherEncoder:
        """The teacher. UsageError if the weights do not fit."""


def to_float(x: Tensor) -> Tensor:
    """uint8 images to [0, 1]; floats as they are."""
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


@torch.no_grad()
def encode(network: nn.Module, images: NDArray[np.generic], device: torch.device, batch: int = 256) -> Iterator[Tensor]:
    """Features of all items in order, a batch at a time, on the CPU: [b, dim] float32, in evaluation mode.

    images: [n, c, h, w], or vectors [n, d].
    """
    layout = torch.channels_last if images.ndim == 4 else torch.contiguous_format
    network.to(device).to(memory_format=layout).eval()
    for start in range(0, len(images), batch):
        copy = np.array(images[start : start + batch])  # the array is read-only
        x = to_float(torch.from_numpy(copy).to(device))
        yield network(x.contiguous(memory_format=layout)).float().cpu()
