"""Segmentation networks whose encoder starts from weights of elsewhere: torchvision's, timm's or this project's."""

from pathlib import Path
from typing import Any

from torch import nn

from xkd_bench.models.conversion import convert, read_weights
from xkd_bench.models.csknet_norms import modal_state, plain_state
from xkd_bench.models.duplex import DuplexSegmenter

_TIMM = "model."
"""Where the library keeps a network of timm."""


def start_from(network: nn.Module, path: Path) -> None:
    """Put a file's backbone into a segmentation network's encoder, in place; its decoder and heads stay as they are.

    network: a `Segmenter`; a `CSKNet`, of which each modality's batch norms become copies [CODE CEN]; or a
    `DuplexSegmenter`, of which both encoders start so. The file holds a classifier (torchvision, timm), a whole
    segmentation network (torchvision's, this project's) or an encoder: what is no backbone is left out. The first
    layer of three channels is summed for one, and of one divided among three (see `convert`). Inputs stay in [-1, 1]:
    batch norms take up what networks from elsewhere were shown instead.

    UsageError says what does not fit.
    """
    state = read_weights(path)
    parts: list[Any] = [network.source, network.target] if isinstance(network, DuplexSegmenter) else [network]
    for part in parts:
        encoder = part.encoder
        names = plain_state(encoder, "source")
        start = _TIMM if all(name.startswith(_TIMM) for name in names) else ""
        target = {name.removeprefix(start): tensor for name, tensor in names.items()}
        found = convert(state, target, f"weights '{path}' and the encoder of {part.name}", other_channels=True)
        encoder.load_state_dict(modal_state(encoder, {start + name: tensor for name, tensor in found.items()}))
