"""Matching of channel statistics, which needs no pairs, and SOCKET's term on pairs."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from xkd_bench.losses.features import at_least_float32, check_levels


class ChannelStatistics(NamedTuple):
    """mean: [c], var: [c] (biased) of each channel."""

    mean: Tensor
    var: Tensor


def channel_statistics(features: Tensor) -> ChannelStatistics:
    """Mean and biased variance of each channel, over items and positions.

    features: [n, c, h, w], or [n, c]. At least in float32. Neither the order of items nor that of positions matters.
    """
    if features.ndim not in (2, 4) or 0 in features.shape:
        raise ValueError(f"features must be [n, c, h, w] or [n, c], got {tuple(features.shape)}")
    with torch.autocast(features.device.type, enabled=False):
        over = [0, *range(2, features.ndim)]
        var, mean = torch.var_mean(at_least_float32(features), over, correction=0)
        return ChannelStatistics(mean, var)


def socket_stats(
    stats_b: Sequence[tuple[Tensor, Tensor]], stats_a: Sequence[tuple[Tensor, Tensor]], first_weight: float = 10.0
) -> Tensor:
    """SOCKET's match of channel statistics, all that CMCD uses of SOCKET.

        L = Σ_l w_l ( ‖μ_B - μ_A‖₂ + ‖v_B - v_A‖₂ ),    w_1 = first_weight, w_l = 1 for l > 1

    stats_b: (mean [c], variance [c]) of the student's maps at each level, from the batch (`channel_statistics`);
    stats_a: of the teacher's, or a batch norm's running ones (no gradient reaches them). Norms are not squared; where
    a difference is zero its gradient is zero. Returns a scalar.

    Source: Ahmed et al. 2022, Cross-modal knowledge transfer without task-relevant source data (SOCKET)
    [CODE SOCKET], where levels are the inputs of batch norms.
    """
    check_levels(stats_b, stats_a)
    total = [
        (first_weight if level == 0 else 1.0) * (_distance(b[0], a[0]) + _distance(b[1], a[1]))
        for level, (b, a) in enumerate(zip(stats_b, stats_a, strict=True))
    ]
    return torch.stack(total).sum()


def task_irrelevant(f_a: Tensor, f_b: Tensor) -> Tensor:
    """SOCKET's term on paired, task-irrelevant data: ‖f_A - f_B‖_F.

    f_a: [n, d] the teacher's features (no gradient reaches them), f_b: [n, d] the student's. One Frobenius norm over
    the batch, not averaged: it grows as √n. Where the difference is zero its gradient is zero.

    Source: Ahmed et al. 2022 [CODE SOCKET]; its weight there is 0.5.
    """
    if f_a.ndim != 2:
        raise ValueError(f"paired features must be [n, d], got {tuple(f_a.shape)} and {tuple(f_b.shape)}")
    return _distance(f_b, f_a)


def _distance(b: Tensor, a: Tensor) -> Tensor:
    """The Euclidean norm of b - a over all entries; its gradient at zero is zero, which torch's own norm promises."""
    if b.shape != a.shape or b.numel() == 0:
        raise ValueError(f"student and teacher differ in shape: {tuple(b.shape)} and {tuple(a.shape)}")
    with torch.autocast(b.device.type, enabled=False):
        return torch.linalg.vector_norm(at_least_float32(b) - at_least_float32(a.detach()))
