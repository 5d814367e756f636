"""A student that starts from another encoder's weights: of the same network, for other channels or another size."""

import math
from collections.abc import Mapping
from typing import Any

from timm.layers import resample_abs_pos_embed
from torch import Tensor

from xkd_bench.errors import UsageError
from xkd_bench.models.conversion import recoloured
from xkd_bench.models.encoders import Encoder


def initialise(student: Encoder, source_state: Mapping[str, Tensor], source_channels: int) -> None:
    """Put an encoder's state into a student of the same network.

    source_state: as `Encoder.state_dict()` gives it. source_channels: what its inputs have. Where the student's inputs
    have one channel and the source's three, the first layer's weights are summed over them, so that a grey image
    gives what it gave as three equal channels; one becomes three by a third each ("replicate or sum conv1", spec
    section 3). Position embeddings of another grid are resampled by timm. UsageError for all else that differs.
    """
    target = student.state_dict()
    missing, extra = target.keys() - source_state.keys(), source_state.keys() - target.keys()
    if missing or extra:
        first = sorted(missing or extra)[0]
        raise UsageError(
            f"student '{student.name}' cannot start from these weights: they are of another network "
            f"({len(missing)} tensors missing, {len(extra)} unexpected, first: {first})"
        )
    fitted = {
        name: _fitted(student, name, source_state[name], value, source_channels) for name, value in target.items()
    }
    student.load_state_dict(fitted)


def _fitted(student: Encoder, name: str, source: Tensor, target: Tensor, source_channels: int) -> Tensor:
    """The source's tensor in the target's shape."""
    if source.shape == target.shape:
        return source
    if source.ndim == 4 and (source.shape[1], target.shape[1]) == (source_channels, student.channels):
        fitted = recoloured(source, target)
        if fitted.shape == target.shape:
            return fitted
    if name == "backbone.pos_embed" and source.ndim == 3 and source.shape[-1] == target.shape[-1]:
        vit: Any = student.backbone
        prefix, grid = vit.num_prefix_tokens, vit.patch_embed.grid_size
        side = math.isqrt(source.shape[1] - prefix)
        if side * side == source.shape[1] - prefix:
            return resample_abs_pos_embed(source, new_size=list(grid), num_prefix_tokens=prefix)
    shapes = " and ".join(" × ".join(map(str, tensor.shape)) for tensor in (source, target))
    raise UsageError(f"student '{student.name}' cannot start from these weights: {name} is {shapes}")
