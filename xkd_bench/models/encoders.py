"""Student encoders: a network that maps images to features, by name.

`conv4-wW`, `resnetD-wW` for small images and `mlp-wW` for vectors are this project's (`small.py`). Any other name is
timm's (`resnet50`, `mobilenetv3_small_100`, `vit_tiny_patch16_224`).
"""

from functools import cached_property
from typing import Any

import timm
import torch
from torch import Tensor, nn

from xkd_bench.catalogue import STUDENTS
from xkd_bench.distributed import divided
from xkd_bench.errors import UsageError, nearest
from xkd_bench.models import small
from xkd_bench.models.features import Features as Features
from xkd_bench.models.features import Staged, features_of, stage_shapes


class Encoder(Staged):
    """A backbone with pooled features.

    `forward` maps uint8-scaled floats in [0, 1], [n, channels, h, w], to features [n, dim]. Inputs are centred to
    [-1, 1] here, so that callers and stored weights never differ in it. Vectors, [n, channels], are taken as they are.
    size: (h, w) of the inputs that it was built for, () for vectors.
    """

    def __init__(self, backbone: nn.Module, dim: int, name: str, channels: int, size: tuple[int, ...]) -> None:
        super().__init__()
        self.backbone, self.dim, self.name, self.channels, self.size = backbone, dim, name, channels, size

    @divided
    def forward(self, x: Tensor) -> Tensor:
        return self.backbone(self._input(x))

    @divided
    def features(self, x: Tensor) -> Features:
        """The features of `forward` and the stages' maps, from one pass."""
        return features_of(self.backbone, self._input(x))

    @cached_property
    def stages(self) -> tuple[tuple[int, int, int], ...]:
        """(channels, h, w) of each map for inputs of `size`, early to late."""
        return stage_shapes(self, self.channels, self.size)

    def _input(self, x: Tensor) -> Tensor:
        return x * 2 - 1 if x.ndim == 4 else x


def check_student(name: str) -> None:
    """Raise UsageError if no student has this name; builds nothing."""
    if small.parse(name) is None and not timm.is_model(name):
        raise nearest("student", name, [*STUDENTS, *timm.list_models()])


def build_encoder(name: str, channels: int, size: int | tuple[int, ...]) -> Encoder:
    """A freshly initialised encoder from torch's global generator.

    name: see the module's docstring. channels: of the input, or the length of vectors. size: of the input in pixels,
    one number for squares or (h, w); () for vectors. UsageError where the network cannot take such inputs.
    """
    check_student(name)
    size = (size, size) if isinstance(size, int) else tuple(size)
    ours = small.parse(name)
    takes_vectors = ours is not None and ours[0] == "mlp"
    if takes_vectors != (size == ()):
        kind = ("vectors", "images") if takes_vectors else ("images", "vectors")
        raise UsageError(f"student '{name}' takes {kind[0]}, and these are {kind[1]}")
    if ours:
        return Encoder(*small.build(*ours, channels), name, channels, size)
    return _timm_encoder(name, channels, size)


def _timm_encoder(name: str, channels: int, size: tuple[int, ...]) -> Encoder:
    what = f"{channels} × {size[0]} × {size[1]} inputs"
    try:
        model = _timm_model(name, channels, size).eval()
        # Some heads (MobileNetV3) widen the features after pooling: ask the network, not its declaration.
        with torch.no_grad():
            dim = model(torch.zeros(1, channels, *size)).shape[1]
    except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"student '{name}' cannot take {what}: {reason}") from error
    return Encoder(model.train(), dim, name, channels, size)


def _timm_model(name: str, channels: int, size: tuple[int, ...]) -> Any:
    """timm's network, built for inputs of this size where it is one for a single size."""
    config: Any = timm.models.get_pretrained_cfg(name)
    wanted: dict[str, Any] = {"in_chans": channels, "num_classes": 0}
    if name.startswith(("vit", "deit", "swin")) or (config and config.fixed_input_size):
        try:
            return timm.create_model(name, pretrained=False, img_size=size, **wanted)
        except TypeError as error:
            if "img_size" not in str(error):
                raise
    return timm.create_model(name, pretrained=False, **wanted)
