"""Frozen teachers of the source modality, by name: see `xkd_bench.catalogue`.

Ready ones (`load_teacher`) bring their weights in a package, come from a library's hub, or take a file's. Two are made
in each run from its images: `random`, random weights, the control for what pair identity alone gives; `simclr`,
pretrained on the source images that distillation sees, Step 1 of CMCD.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from xkd_bench.catalogue import DEFAULT_TEACHER, STUDENTS, TEACHERS
from xkd_bench.errors import UsageError, nearest
from xkd_bench.models import small
from xkd_bench.models.brought import SimCLR, Student
from xkd_bench.models.conversion import file_digest
from xkd_bench.models.encoders import Encoder
from xkd_bench.models.frozen import IMAGENET_MEAN, IMAGENET_STD, Ready, TeacherEncoder
from xkd_bench.models.frozen import encode as encode
from xkd_bench.models.frozen import to_float as to_float
from xkd_bench.models.keras_resnet import Keras
from xkd_bench.models.libraries import Lite, Timm, Torchvision

MADE_IN_A_RUN = ("random", "simclr")
RANDOM = "random:"
"""Before a teacher's name: its network with random weights. `random` alone is the default teacher's."""


def check_teacher(name: str, weights: Path | None = None) -> None:
    """Raise UsageError if no teacher has this name or its weights cannot be had. Reads and builds little."""
    if name.startswith(RANDOM):
        check_teacher(name.removeprefix(RANDOM), weights)
    elif name not in MADE_IN_A_RUN:
        _ready(name, weights).check()
    elif weights is not None:
        raise UsageError(f"teacher '{name}' takes no weights: it is made in the run")


def load_teacher(name: str, weights: Path | None = None) -> TeacherEncoder:
    """A ready teacher, its weights those of a file if one is given. torch's random generator stays as it is.

    UsageError where there is no such teacher or its weights do not fit, in one line.
    """
    ready = _ready(name, weights)
    ready.check()
    with torch.random.fork_rng([]):
        return ready.load()


def weights_digest(name: str, weights: Path | None = None) -> str:
    """sha256 of what a ready teacher's weights are in, fetched if need be: a file's, or a folder's files in a row."""
    ready = _ready(name.removeprefix(RANDOM), weights)
    ready.check()
    return file_digest(*ready.files())


def _ready(name: str, weights: Path | None) -> Ready:
    """What a ready teacher's name stands for."""
    if found := re.fullmatch(r"efficientnet-lite([0-2])", name):
        return Lite(name, weights, int(found[1]))
    if found := re.fullmatch(r"simclr-resnet50-([124])x", name):
        return SimCLR(name, weights, int(found[1]))
    if name == "keras-resnet50":
        return Keras(name, weights)
    for family, kind in (("timm:", Timm), ("torchvision:", Torchvision)):
        if name.startswith(family):
            return kind(name, weights)
    if name in MADE_IN_A_RUN:
        raise UsageError(f"teacher '{name}' is made in a run, from its images")
    if small.parse(name) or timm.is_model(name):
        return Student(name, weights)
    raise nearest("teacher", name, [*TEACHERS, *STUDENTS])


def imagenet_teacher() -> TeacherEncoder:
    """The default teacher: EfficientNet-Lite0 with ImageNet weights."""
    return load_teacher(DEFAULT_TEACHER)


def imagenet_digest() -> str:
    """sha256 of the default teacher's weights."""
    return weights_digest(DEFAULT_TEACHER)


def takes_vectors(name: str) -> bool | None:
    """Whether a teacher of this name takes vectors, not images; None for one that is made in a run: it takes either."""
    network = name.removeprefix(RANDOM)
    if network in MADE_IN_A_RUN:
        return None
    ours = small.parse(network)
    return ours is not None and ours[0] == "mlp"


def random_teacher(images: Iterable[Tensor], seed: int, like: TeacherEncoder | None = None) -> TeacherEncoder:
    """A network with random weights, and with batch-normalisation statistics of `images` (float batches in [0, 1]).

    like: the teacher whose network it is, which is made random; the default teacher's network if there is none.
    Without the statistics a deep random network in evaluation mode maps every image to nearly the same features.
    """
    torch.manual_seed(seed)
    if like is None:
        backbone: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0)
        teacher = TeacherEncoder(backbone, backbone.num_features, IMAGENET_MEAN, IMAGENET_STD)
    else:
        teacher = _randomised(like)
    with _cumulative_statistics(teacher.backbone):
        for batch in images:
            teacher(batch)
    return teacher


@torch.no_grad()
def _randomised(teacher: TeacherEncoder) -> TeacherEncoder:
    """The teacher with every parameter drawn anew: by its layer's own rule or, outside of such layers (positions, class
    tokens), from a normal distribution as vision transformers do."""
    for module in teacher.backbone.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()  # type: ignore[operator]
        else:
            for parameter in module.parameters(recurse=False):
                nn.init.trunc_normal_(parameter, std=0.02)
    return teacher


@contextmanager
def _cumulative_statistics(network: nn.Module) -> Iterator[None]:
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
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
