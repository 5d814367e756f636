"""Teachers whose weights the user brings: SimCLR's wide ResNets, and any student's network."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from xkd_bench.errors import UsageError
from xkd_bench.models import small
from xkd_bench.models.conversion import check_file, convert, prefixes, read_weights
from xkd_bench.models.encoders import Encoder, build_encoder, check_student
from xkd_bench.models.frozen import Ready, TeacherEncoder
from xkd_bench.models.wide_resnet import WideResNet50


@dataclass(frozen=True)
class _Brought(Ready):
    def check(self) -> None:
        if self.weights is None:
            raise UsageError(f"teacher '{self.name}' needs a file of weights (--teacher-weights)")
        check_file(self.weights)

    def files(self) -> list[Path]:
        self.check()
        assert self.weights is not None
        return [self.weights]


@dataclass(frozen=True)
class SimCLR(_Brought):
    """ResNet-50 k times as wide with SimCLR's weights (Chen et al. 2020), the paper's teachers [PAPER app. C].

    Images are in [0, 1] without normalisation, as these networks were trained [CODE tonylins/simclr-converter].
    """

    k: int = 1

    def load(self) -> TeacherEncoder:
        state = read_weights(self.files()[0])
        with torch.device("meta"):  # 4x holds 1.5 GB: once, not twice
            network = WideResNet50(self.k)
        found = convert(state, network.state_dict(), f"weights '{self.weights}' and {self.name}")
        network.load_state_dict({name: value.float() for name, value in found.items()}, assign=True)
        return TeacherEncoder(network, network.dim, (0.0,) * 3, (1.0,) * 3)


@dataclass(frozen=True)
class Student(_Brought):
    """A student's network with weights that are given: of a student of this project, or of timm's network elsewhere.

    The backbone is an Encoder, whose weights a student of the same name can start from (`initialise`). Students of
    this project see inputs in [-1, 1]; for weights from elsewhere, inputs are normalised as timm's configuration says.
    """

    def check(self) -> None:
        check_student(self.name)
        if self.weights is None and small.parse(self.name) is None:
            hint = f"; with those that timm offers it is 'timm:{self.name}'"
            raise UsageError(f"teacher '{self.name}' needs a file of weights (--teacher-weights){hint}")
        super().check()

    def load(self) -> TeacherEncoder:
        state = read_weights(self.files()[0])
        encoder = self._built_for(state)
        found = convert(state, encoder.backbone.state_dict(), f"weights '{self.weights}' and {self.name}")
        encoder.backbone.load_state_dict(found)
        mean, std = self._normalisation(state, encoder.channels)
        config = timm.models.get_pretrained_cfg(self.name)
        size = (encoder.size[0], encoder.size[1]) if config and config.fixed_input_size else None
        return TeacherEncoder(encoder, encoder.dim, mean, std, size)

    def _built_for(self, state: Mapping[str, Tensor]) -> Encoder:
        """The network, for as many channels as its first layer's weights have."""
        if ours := small.parse(self.name):
            stem, size = "0", () if ours[0] == "mlp" else (32, 32)  # the size changes no weights of ours
        else:
            config: Any = timm.models.get_pretrained_cfg(self.name)
            stem, size = config.first_conv, config.input_size[1:]
            stem = stem if isinstance(stem, str) else next(iter(stem or ()), "")
        first = next((state[n] for p in prefixes(state) if (n := f"{p}{stem}.weight") in state), None)
        channels = 3 if first is None or first.ndim < 2 else first.shape[1]
        return build_encoder(self.name, channels, size)

    def _normalisation(self, state: Mapping[str, Tensor], channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and deviation that bring images to what the encoder is to be given."""
        config = timm.models.get_pretrained_cfg(self.name)
        written_here = self.files()[0].suffix == ".safetensors" and all(name.startswith("backbone.") for name in state)
        if config is None or written_here or channels != len(config.mean):
            return (0.0,) * channels, (1.0,) * channels
        # The encoder centres what it is given, u, to 2u - 1: this is (x - mean) / std of u = (x - mean + std) / 2 std.
        mean = tuple(m - s for m, s in zip(config.mean, config.std, strict=True))
        return mean, tuple(2 * s for s in config.std)
