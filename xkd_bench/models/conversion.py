"""Weights from elsewhere: reads the files in circulation and gives their tensors the names that a network has.

A file may nest its tensors, prefix their names, hold projection heads and second encoders beside the encoder, and name
the layers in another way. The tables below say which such layouts are known.
"""

import argparse
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from xkd_bench.errors import UsageError

SUFFIXES = (".safetensors", ".pt", ".pth", ".pth.tar", ".ckpt", ".bin")

NESTS = (
    ("state_dict",),  # MoCo, Lightning, OpenMMLab, tonylins/simclr-converter
    ("model",),  # DeiT, MAE
    ("resnet",),  # Separius/SimCLRv2-Pytorch
    ("encoder",),
    ("model_state_dict",),
    ("teacher",),  # DINO
    ("classy_state_dict", "base_model", "model", "trunk"),  # VISSL
)

# encoder_q: MoCo; base_encoder: MoCo v3; backbone: lightly, solo-learn, DINO, OpenMMLab, this project;
# _feature_blocks: VISSL. A prefix is any run of these.
PREFIXES = (
    "module",
    "model",
    "backbone",
    "encoder",
    "base_encoder",
    "encoder_q",
    "trunk",
    "_feature_blocks",
    "network",
)

HEADS = re.compile(
    r"(fc|classifier|aux_classifier|last_linear|heads?|head_dist|conv_head|bn2|pre_logits|projector|projection|projection_head|proj_head|predictor|"
    r"prediction_head|contrastive_head|momentum_\w+|queue|queue_ptr)(\.|$)"
)


@dataclass(frozen=True)
class Layout:
    """A way to name layers: patterns and what they become, tried in order, the first that fits."""

    name: str
    rules: tuple[tuple[str, str], ...] = ()

    def rename(self, name: str) -> str:
        for pattern, replacement in self.rules:
            renamed, found = re.subn("^" + pattern, replacement, name, count=1)
            if found:
                return renamed
        return name


def _mobilenet_v2() -> Iterator[tuple[str, str]]:
    """timm's names of MobileNetV2 to torchvision's, which counts blocks through all stages."""
    parts = {"conv_pw": "0.0", "bn1": "0.1", "conv_dw": "1.0", "bn2": "1.1", "conv_pwl": "2", "bn3": "3"}
    first = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}  # it does not widen
    count = 0
    for stage, blocks in enumerate((1, 2, 3, 4, 3, 3, 1)):
        for block in range(blocks):
            count += 1
            for name, place in (parts if stage else first).items():
                yield rf"blocks\.{stage}\.{block}\.{name}\.", f"features.{count}.conv.{place}."
    yield from ((r"conv_stem\.", "features.0.0."), (r"bn1\.", "features.0.1."))
    yield from ((r"conv_head\.", "features.18.0."), (r"bn2\.", "features.18.1."))


_BLOCK = r"net\.(\d)\.blocks\.(\d+)\."
LAYOUTS = (
    Layout("the network's own names"),
    Layout(
        "a ResNet as torch's Sequential of its parts (lightly)",
        ((r"0\.", "conv1."), (r"1\.", "bn1."), *((rf"{4 + i}\.", f"layer{1 + i}.") for i in range(4))),
    ),
    Layout("timm's MobileNetV2, as torchvision's", tuple(_mobilenet_v2())),
    Layout("parts of timm's that are given one by one", ((r"(stem|stages|layers|features)\.(\d+)\.", r"\1_\2."),)),
    Layout(
        "SimCLR v2 without selective kernels (Separius/SimCLRv2-Pytorch)",
        (
            (r"net\.0\.0\.", "conv1."),
            (r"net\.0\.1\.0\.", "bn1."),
            *((rf"{_BLOCK}net\.{2 * i}\.", rf"layer\1.\2.conv{1 + i}.") for i in range(3)),
            *((rf"{_BLOCK}net\.{2 * i + 1}\.0\.", rf"layer\1.\2.bn{1 + i}.") for i in range(3)),
            (rf"{_BLOCK}projection\.shortcut\.", r"layer\1.\2.downsample.0."),
            (rf"{_BLOCK}projection\.bn\.0\.", r"layer\1.\2.downsample.1."),
        ),
    ),
)


def check_file(path: Path) -> None:
    """Raise UsageError if the file is not there or not of a kind that is read."""
    if not path.is_file():
        raise UsageError(f"weights '{path}': no such file")
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"weights '{path}': a file's name ends with one of {', '.join(SUFFIXES)}")


def file_digest(*paths: Path) -> str:
    """sha256 of a file of weights, or of several in a row; read once in a process, however many runs ask."""
    return _digest(*((path, path.stat().st_mtime_ns) for path in paths))


@cache
def _digest(*files: tuple[Path, int]) -> str:
    digest = hashlib.sha256()
    for file, _ in files:
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their names there, taken out of any nest. Nothing is unpickled but tensors."""
    check_file(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        # Training scripts keep their arguments beside the weights: names and values, and no code.
        with torch.serialization.safe_globals([argparse.Namespace]):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers' errors have no common kind: zip, pickle, header, end of file
        raise UsageError(f"weights '{path}' cannot be read: {_reason(error, path)}") from error
    return _unnest(found, path)


def _reason(error: Exception, path: Path) -> str:
    """What is wrong with a file, as far as its reader's error tells."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if forbidden := re.search(r"GLOBAL (\S+)", str(error)):  # unpickling could run code of the file
        return f"it holds objects ({forbidden[1]}) besides tensors, and tensors alone are read: save its state_dict"
    if path.stat().st_size == 0:
        return "it is empty"
    kind = "a safetensors file" if path.suffix == ".safetensors" else "a file of torch.save"
    return f"it is not {kind}, or a damaged one"  # what the unpickler says of it is a byte's number, or bad advice


def _unnest(found: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(found, Mapping):
        inner = next((inside for nest in NESTS if (inside := _within(found, nest)) is not None), None)
        tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
        if inner is None and tensors:
            return tensors
        found = inner
    raise UsageError(
        f"weights '{path}' hold no tensors where they are looked for: {', '.join('.'.join(n) for n in NESTS)}"
    )


def _within(found: Any, nest: tuple[str, ...]) -> Any:
    for name in nest:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else None


def load_into(network: nn.Module, path: Path, name: str) -> None:
    """Put a file's tensors into a network. UsageError says what does not fit."""
    network.load_state_dict(convert(read_weights(path), network.state_dict(), f"weights '{path}' and {name}"))


def convert(
    state: Mapping[str, Tensor], target: Mapping[str, Tensor], what: str, *, other_channels: bool = False
) -> dict[str, Tensor]:
    """The tensors of `target`'s names and shapes from `state`, whatever known layout it has.

    Heads and second encoders are left out; batch counters that conversions leave out are zero. what: names the file and
    the network in the message of the UsageError that says what does not fit, in one line. other_channels: the first
    layer may have other channels: see `recoloured`.
    """
    found = max(_readings(state), key=lambda reading: len(reading.keys() & target.keys()))
    found = {name: value for name, value in found.items() if name in target or not HEADS.match(name)}
    for name in target.keys() - found.keys():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.zeros_like(target[name])
    if other_channels:
        found = {name: recoloured(value, target[name]) if name in target else value for name, value in found.items()}
    missing = [name for name in target if name not in found]
    unexpected = [name for name in found if name not in target]
    other = [name for name in target if name in found and found[name].shape != target[name].shape]
    faults = []
    if missing:
        faults.append(f"{len(missing)} of {len(target)} tensors are missing (first: {missing[0]})")
    if unexpected:
        faults.append(f"{len(unexpected)} are unexpected (first: {unexpected[0]})")
    if other:
        shapes = f"expected {_shape(target[other[0]])}, found {_shape(found[other[0]])}"
        faults.append(f"{len(other)} have another shape (first: {other[0]}: {shapes})")
    if faults:
        raise UsageError(f"{what} do not fit: {'; '.join(faults)}")
    return found


def recoloured(weight: Tensor, like: Tensor) -> Tensor:
    """A first layer's weights [c, channels, h, w] for as many channels as `like` has ("replicate or sum conv1", spec
    section 3). Three for one: their sum, so that a grey image gives what it gave as three equal channels; one for
    three: a third for each; three for two: the first two, half as large again. Any other tensor comes back as it is.
    """
    if weight.ndim == like.ndim == 4 and weight.shape[:1] + weight.shape[2:] == like.shape[:1] + like.shape[2:]:
        if (weight.shape[1], like.shape[1]) == (3, 1):
            return weight.sum(1, keepdim=True)
        if (weight.shape[1], like.shape[1]) == (3, 2):
            return weight[:, :2] * 1.5
        if (weight.shape[1], like.shape[1]) == (1, 3):
            return weight.repeat(1, 3, 1, 1) / 3
    return weight


def _readings(state: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """The tensors under each prefix, named by each layout."""
    for prefix in prefixes(state):
        inner = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        for layout in LAYOUTS:
            yield {layout.rename(name): value for name, value in inner.items()}


def prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """The empty one first, then every run of known prefixes that some name begins with."""
    found = {"": None}
    for name in state:
        prefix = ""
        for part in name.split("."):
            if part not in PREFIXES:
                break
            prefix += part + "."
            found[prefix] = None
    return list(found)


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a number"
