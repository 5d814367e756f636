"""LIX-style feature distillation: the teacher's features are recalibrated by kernel regression over positions, and the
student's are to agree with them by centred kernel alignment (CKA).

LIX names both techniques; the equations were not available to this project and are reconstructed [RECONSTRUCTED]. CKA
itself is `estimators.cka_value`. All is computed at least in float32 (`dense_pixels`).
"""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from estimators import cka_value
from estimators.kernels.kernel import KernelLike, distances, median
from xkd_bench.losses.dense_pixels import exact
from xkd_bench.losses.features import at_least_float32, check_levels, to_common_grid

Recalibration = Literal["self_teacher", "self_both", "cross", "none"]


def kernel_regression(
    values: Tensor,
    queries: Tensor | None = None,
    keys: Tensor | None = None,
    *,
    bandwidth: float | Tensor | None = None,
    scale: float | Tensor = 1.0,
) -> Tensor:
    """Nadaraya-Watson regression with a Laplace kernel, R_i = Σ_j K_ij v_j / Σ_j K_ij, K_ij = exp(-‖q_i - k_j‖₁/h).

    values: [..., n, d]. queries: [..., m, e] and keys: [..., n, e], both the values where not given. Returns
    [..., m, d], each row a mean of the values: as h → 0 that of the nearest key, as h → ∞ that of all.

    bandwidth: h, positive. None: `scale` times the median distance of queries to keys, for each leading index, which is
    a constant for gradients (where more than half of the distances are 0, the mean; where all are, any h gives the
    same). Either may be a learned tensor (`models.weighting.LearnedBandwidth`). At the median itself a row is nearly
    the mean of all: of n values at like distances its own has the share 1/(1 + (n-1)/e). At a scale of 1/log n its own
    weighs about as much as all others together.
    """
    with exact(values):
        v = at_least_float32(values)
        k = v if keys is None else at_least_float32(keys)
        q = k if queries is None else at_least_float32(queries)
        apart = distances(q, k, "laplace_l1")  # [..., m, n]
        h = _median_bandwidth(apart, scale) if bandwidth is None else bandwidth
        if not isinstance(h, Tensor) and not h > 0:
            raise ValueError(f"the bandwidth must be positive, got {h}")
        return (-apart / h).softmax(-1) @ v


def arfd(
    student: Sequence[Tensor],
    teacher: Sequence[Tensor],
    *,
    recalibration: Recalibration = "self_teacher",
    projected: Sequence[Tensor] | None = None,
    bandwidth: float | Tensor | None = None,
    scale: float | Tensor = 1.0,
    kernel: KernelLike = "linear",
    debiased: bool = False,
    most: int = 1024,
) -> Tensor:
    """Adaptively recalibrated feature distillation, LIX-style [RECONSTRUCTED].

        L_F = 1/levels Σ_l ( 1 - mean over items of CKA(X_S, R(X_T)) ),    X: [positions, channels] of one item

    student: [n, c_s, h_s, w_s], teacher: [n, c_t, h_t, w_t] of each level (no gradient reaches the teacher). Channels
    may differ. Grids too: maps are pooled to the smaller, and on to at most `most` positions. Returns a scalar in
    [0, 1]; `debiased` CKA may be a little negative.

    recalibration: `self_teacher` regresses the teacher's features on themselves, so that equal features do not give 0;
    `self_both` does so to both, and they do; `cross` regresses the teacher's features on the student's, which come in
    `projected` with the teacher's channels (gradients flow through it); `none` is CKA alone.
    bandwidth, scale: of the regression (`kernel_regression`). kernel: of CKA, `linear`, `rbf`, `laplace_l1`,
    `laplace_l2` or an `estimators.Kernel`. A side without spread has CKA 0 and gradient 0.

    Biased CKA is near 1 where there are few positions for the channels, whatever the features: take `debiased` there.
    """
    check_levels(student, teacher)
    _check(recalibration, projected, teacher)
    losses = []
    for level, (f_s, f_t) in enumerate(zip(student, teacher, strict=True)):
        queries = None if projected is None else projected[level]
        with exact(f_s):
            x_s, x_t, x_q = _positions(f_s, f_t.detach(), queries, most)
            if recalibration != "none":
                x_t = kernel_regression(x_t, x_q, bandwidth=bandwidth, scale=scale)
            if recalibration == "self_both":
                x_s = kernel_regression(x_s, bandwidth=bandwidth, scale=scale)
            losses.append(1 - cka_value(x_s, x_t, kernel, debiased=debiased).mean())
    return torch.stack(losses).mean()


def _median_bandwidth(apart: Tensor, scale: float | Tensor) -> Tensor:
    """[..., 1, 1]: scale x the median of distances [..., m, n], never 0."""
    if not isinstance(scale, Tensor) and not scale > 0:
        raise ValueError(f"the scale of the bandwidth must be positive, got {scale}")
    apart = apart.detach()
    h = median(apart.flatten(-2))
    h = torch.where(h > 0, h, apart.mean((-2, -1)))
    return scale * torch.where(h > 0, h, torch.ones_like(h))[..., None, None]


def _check(recalibration: Recalibration, projected: Sequence[Tensor] | None, teacher: Sequence[Tensor]) -> None:
    if recalibration not in get_args(Recalibration):
        raise ValueError(f"recalibration must be one of {', '.join(get_args(Recalibration))}, got {recalibration!r}")
    if (recalibration == "cross") != (projected is not None):
        raise ValueError("recalibration 'cross', and no other, needs the student's projected maps")
    if projected is not None:
        check_levels(projected, teacher)
        for q, f_t in zip(projected, teacher, strict=True):
            if q.shape[1] != f_t.shape[1]:
                raise ValueError(f"projected maps need the teacher's {f_t.shape[1]} channels, got {q.shape[1]}")


def _positions(
    student: Tensor, teacher: Tensor, queries: Tensor | None, most: int
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Maps as [n, positions, channels] on one grid of at most `most` positions."""
    if student.ndim != 4 or teacher.ndim != 4:
        raise ValueError(f"feature maps [n, c, h, w] are needed, got {tuple(student.shape)} and {tuple(teacher.shape)}")
    f_s, f_t = to_common_grid(student, teacher)
    size = _at_most(f_s.shape[2], f_s.shape[3], most)

    def rows(f: Tensor) -> Tensor:
        return (f if f.shape[2:] == size else F.adaptive_avg_pool2d(f, size)).flatten(2).mT

    return rows(f_s), rows(f_t), None if queries is None else rows(at_least_float32(queries))


def _at_most(height: int, width: int, most: int) -> tuple[int, int]:
    """A grid of at most `most` positions whose sides have about the ratio of the map's."""
    if most < 2:
        raise ValueError(f"CKA compares 2 positions or more, got most={most}")
    if height * width <= most:
        return height, width
    rows = min(height, most, max(1, math.isqrt(most * height // width)))
    return rows, min(width, most // rows)
