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
    r"(fc|classifier|last_linear|heads?|head_dist|pre_logits|projector|projection|projection_head|proj_head|predictor|"
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


_BLOCK = r"net\.(\d)\.blocks\.(\d+)\."
LAYOUTS = (
    Layout("the network's own names"),
    Layout(
        "a ResNet as torch's Sequential of its parts (lightly)",
        ((r"0\.", "conv1."), (r"1\.", "bn1."), *((rf"{4 + i}\.", f"layer{1 + i}.") for i in range(4))),
    ),
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
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UsageError(f"weights '{path}' cannot be read (tensors alone are, no other objects): {reason}") from error
    return _unnest(found, path)


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


def convert(state: Mapping[str, Tensor], target: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """The tensors of `target`'s names and shapes from `state`, whatever known layout it has.

    Heads and second encoders are left out; batch counters that conversions leave out are zero. what: names the file and
    the network in the message of the UsageError that says what does not fit, in one line.
    """
    found = max(_readings(state), key=lambda reading: len(reading.keys() & target.keys()))
    found = {name: value for name, value in found.items() if name in target or not HEADS.match(name)}
    for name in target.keys() - found.keys():
        if name.endswith("num_batches_tracked"):
            found[name] = torch.zeros_like(target[name])
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
