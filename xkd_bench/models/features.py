"""Feature maps of any network: what the blocks of its layers put out, from the pass that gives the pooled features.

A stage is a place where a network ends a block of layers. A network that knows its stages is a `Staged`; timm's tell
theirs (`forward_intermediates`); of all others (torchvision's) the last output at each resolution is taken, as in a
feature pyramid, by hooks that are gone after the pass.
"""

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import SwinTransformer, VisionTransformer

TOKEN_MAPS = 4
"""Maps that are taken of a network whose blocks all have the same resolution."""


@dataclass(frozen=True)
class Features:
    """pooled: [n, dim]. maps: outputs of the stages, [n, c_l, h_l, w_l] each, early to late; none of a network of
    vectors."""

    pooled: Tensor
    maps: tuple[Tensor, ...]


class Staged(nn.Module):
    """A network that gives the outputs of its stages itself."""

    @abstractmethod
    def features(self, x: Tensor) -> Features:
        """Pooled features, equal to `self(x)`, and the maps of the same pass."""


def features_of(network: nn.Module, x: Tensor) -> Features:
    """Pooled features, equal to `network(x)`, and maps. x: what the network takes. No parameter or name changes."""
    if isinstance(network, Staged):
        return network.features(x)
    if hasattr(network, "forward_intermediates"):
        timm_network: Any = network
        last, maps = timm_network.forward_intermediates(x, indices=_timm_stages(timm_network))
        return Features(timm_network.forward_head(last), tuple(maps))
    with ExitStack() as hooks:
        outputs = [hooks.enter_context(_output(module)) for module in _blocks(network)]
        pooled = network(x)
    images = [_as_image(output[0], network, x) for output in outputs if output]
    return Features(pooled, _last_of_each_resolution([image for image in images if image is not None]))


def stage_shapes(network: nn.Module, channels: int, size: tuple[int, ...]) -> tuple[tuple[int, int, int], ...]:
    """(channels, h, w) of the maps of a network, from one pass of zeros.

    size: (h, w) of its input, () for vectors. No batch-norm statistics, modes or random numbers change.
    """
    modes = [(module, module.training) for module in network.modules()]
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    try:
        network.eval()
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            maps = features_of(network, torch.zeros(1, channels, *size, device=device)).maps
    finally:
        for module, mode in modes:
            module.training = mode
    return tuple((m.shape[1], m.shape[2], m.shape[3]) for m in maps)


def evenly_spaced(n: int, k: int = TOKEN_MAPS) -> list[int]:
    """The last of each of k equal parts of n blocks: 2, 5, 8, 11 of 12."""
    return list(range(n)) if n <= k else [round((i + 1) * n / k) - 1 for i in range(k)]


def _timm_stages(network: Any) -> list[int]:
    """Numbers of the stages that timm lists: all of a pyramid, some of many blocks with one resolution."""
    reductions = [stage["reduction"] for stage in network.feature_info]
    return evenly_spaced(len(reductions)) if len(set(reductions)) == 1 else list(range(len(reductions)))


def _blocks(network: nn.Module) -> list[nn.Module]:
    """The modules whose outputs may be maps: the network's parts up to the pooling, and the parts of those in a row."""
    if isinstance(network, VisionTransformer):
        layers = list(network.encoder.layers)
        return [layers[i] for i in evenly_spaced(len(layers))]
    if isinstance(network, SwinTransformer):
        return list(network.features)[1::2]  # a stem or a merging of patches comes before each group of blocks
    return list(_parts(network))


def _parts(network: nn.Module) -> Iterator[nn.Module]:
    for part in network.children():
        if isinstance(part, nn.AdaptiveAvgPool2d):
            return
        if isinstance(part, nn.Sequential | nn.ModuleList):
            yield from _parts(part)
        else:
            yield part


@contextmanager
def _output(module: nn.Module) -> Iterator[list[Tensor]]:
    """A list that holds the module's output once it has run."""
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        outputs[:] = [output] if isinstance(output, Tensor) else []

    handle = module.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def _as_image(output: Tensor, network: nn.Module, x: Tensor) -> Tensor | None:
    """An output as [n, c, h, w], or None where it has no places: tokens lose the class token."""
    if isinstance(network, VisionTransformer):
        grid = x.shape[-2] // network.patch_size, x.shape[-1] // network.patch_size
        return output[:, 1:].transpose(1, 2).unflatten(2, grid)
    if output.ndim != 4:
        return None
    return output.permute(0, 3, 1, 2) if isinstance(network, SwinTransformer) else output


def _last_of_each_resolution(images: list[Tensor]) -> tuple[Tensor, ...]:
    """All maps where they have one resolution, the last of each run of one resolution otherwise."""
    if len({image.shape[-2:] for image in images}) == 1:
        return tuple(images)
    after = [*images[1:], None]
    return tuple(a for a, b in zip(images, after, strict=True) if b is None or a.shape[-2:] != b.shape[-2:])
