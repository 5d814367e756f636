"""Matching of features themselves: CMST, and what every loss on feature maps shares.

Maps come level by level, equally many of the student (b) and the teacher (a). Whatever autocast says, differences are
computed in float32 (or float64 if the input is), and no gradient reaches the teacher.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """x in float32, or in float64 if it is."""
    return x if x.dtype == torch.float64 else x.float()


def to_common_grid(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Two feature maps on the smaller grid of the two, axis by axis, by adaptive average pooling.

    x: [n, c_x, h_x, w_x], y: [n, c_y, h_y, w_y] become [n, c, min(h_x, h_y), min(w_x, w_y)], at least in float32; a
    map on that grid already is left alone. Vectors [n, d_x], [n, d_y] have no grid and come back as they are.

    Raises ValueError unless both are maps, or both vectors, of one n ≥ 1.
    """
    if x.ndim != y.ndim or x.ndim not in (2, 4) or len(x) != len(y) or 0 in (*x.shape, *y.shape):
        raise ValueError(
            f"two feature maps [n, c, h, w] or two vectors [n, d] of one n are needed, "
            f"got {tuple(x.shape)} and {tuple(y.shape)}"
        )
    with torch.autocast(x.device.type, enabled=False):
        x, y = at_least_float32(x), at_least_float32(y)
        if x.ndim == 2:
            return x, y
        height, width = (min(p, q) for p, q in zip(x.shape[2:], y.shape[2:], strict=True))
        x, y = (z if z.shape[2:] == (height, width) else F.adaptive_avg_pool2d(z, (height, width)) for z in (x, y))
        return x, y


def enlarged(x: Tensor, size: Sequence[int]) -> Tensor:
    """Maps [n, c, h, w] at another size (height, width), bilinear, corners not aligned.

    torch's `interpolate`; on a CPU with a gradient of our own, the same in a quarter of the time.
    """
    if x.device.type != "cpu" or x.dtype not in (torch.float32, torch.float64):
        return F.interpolate(x, tuple(size), mode="bilinear", align_corners=False)
    return _Enlarged.apply(x, tuple(size))


class _Enlarged(torch.autograd.Function):
    """Bilinear interpolation, whose gradient is two products: with the weights of the rows and of the columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, size: tuple[int, ...]) -> Tensor:
        ctx.sizes = tuple(zip(x.shape[2:], size, strict=True))
        return F.interpolate(x, size, mode="bilinear", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, columns = (_bilinear_weights(old, new, gradient.dtype) for old, new in ctx.sizes)
        return rows.T @ gradient.contiguous() @ columns, None


@lru_cache(maxsize=64)
def _bilinear_weights(old: int, new: int, dtype: torch.dtype) -> Tensor:
    """[new, old]: what each old place gives to each new one."""
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.eye(old, dtype=dtype, device="cpu")[None, None]
        return F.interpolate(unit, (new, old), mode="bilinear", align_corners=False)[0, 0]


def check_levels(b: Sequence[object], a: Sequence[object]) -> None:
    """Refuse what is not the same number ≥ 1 of levels on both sides."""
    if len(b) != len(a) or not b:
        raise ValueError(f"student and teacher need equally many levels, at least 1: got {len(b)} and {len(a)}")


def cmst(maps_b: Sequence[Tensor], maps_a: Sequence[Tensor]) -> Tensor:
    """Cross-modal supervision transfer: mid-level features are matched by their squared difference.

        L = Σ_l mean (B_l - A_l)²,    the mean over all entries of level l

    maps_b: the student's features, maps_a: the teacher's; level l of both is [n, c, h, w] with one c, or [n, d]. Where
    grids differ, the finer map is pooled to the coarser (`to_common_grid`). An adapter t, where widths differ, is the
    method's: pass t(B_l). Returns a scalar, zero iff the (pooled) features are equal. The mean, rather than the sum,
    over entries is [RECON med].

    Source: Gupta et al. 2016, Cross modal distillation for supervision transfer, eq. (1), as CMCD describes it.
    """
    check_levels(maps_b, maps_a)
    return torch.stack([_squared_difference(b, a) for b, a in zip(maps_b, maps_a, strict=True)]).sum()


def _squared_difference(b: Tensor, a: Tensor) -> Tensor:
    b, a = to_common_grid(b, a.detach())
    if b.shape != a.shape:
        raise ValueError(f"features to match need one width, got {b.shape[1]} and {a.shape[1]}: an adapter is missing")
    return (b - a).square().mean()
