"""Matching of spatial attention: attention transfer, and CMKD, which joins it with a match of activations."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from xkd_bench.losses.features import at_least_float32, check_levels, cmst, to_common_grid


def attention_map(f: Tensor) -> Tensor:
    """Where a feature map is active: normalize(vec(mean_c f²)).

    f: [n, c, h, w]. Returns [n, h·w], rows of length 1 (of length 0 where a map is all zero), unchanged by permuting
    channels and by a positive factor on a map.

    Source: Zagoruyko & Komodakis 2017, Paying more attention to attention, with RepDistiller's mean over channels
    [CODE RepDistiller].
    """
    if f.ndim != 4:
        raise ValueError(f"attention needs a feature map [n, c, h, w], got {tuple(f.shape)}")
    with torch.autocast(f.device.type, enabled=False):
        return F.normalize(at_least_float32(f).square().mean(1).flatten(1), dim=1)


def attention_transfer(maps_b: Sequence[Tensor], maps_a: Sequence[Tensor]) -> Tensor:
    """Attention transfer: the student is to look where the teacher looks.

        L = Σ_l mean (att(B_l) - att(A_l))²,    the mean over items and positions

    maps_b: the student's [n, c_b, h_b, w_b], maps_a: the teacher's [n, c_a, h_a, w_a] of each level (no gradient
    reaches them). Channels may differ. Grids too: maps are pooled to the smaller before they are squared, as
    RepDistiller does. Returns a scalar; level l adds at most 4/(h·w).

    Source: Zagoruyko & Komodakis 2017, in RepDistiller's form [CODE RepDistiller].
    """
    check_levels(maps_b, maps_a)
    return torch.stack([_difference(b, a) for b, a in zip(maps_b, maps_a, strict=True)]).sum()


def _difference(b: Tensor, a: Tensor) -> Tensor:
    b, a = to_common_grid(b, a.detach())
    return (attention_map(b) - attention_map(a)).square().mean()


class AttentionDistillation(NamedTuple):
    """loss = hint · activation + beta · attention; all are scalars, the latter two without their weights."""

    loss: Tensor
    activation: Tensor
    attention: Tensor


def cmkd(
    activation_b: Tensor,
    activation_a: Tensor,
    maps_b: Sequence[Tensor],
    maps_a: Sequence[Tensor],
    beta: float = 1000.0,
    hint: float = 100.0,
) -> AttentionDistillation:
    """Cross-modal knowledge distillation: final activations and attention maps are matched.

        L = hint · mean (f_B - f_A)² + beta · L_ATT

    activation_b, activation_a: [n, d], or [n, c, h, w] on any grids, of the student and the teacher; maps_b, maps_a:
    as in `attention_transfer`. No gradient reaches the teacher. The weights are RepDistiller's for the two parts used
    alone [CODE RepDistiller]; CMCD states none.

    Source: Zhao et al. 2020, Knowledge as priors, of which CMCD uses this combination [RECON med]; without the
    meta-learned prior.
    """
    if beta < 0 or hint < 0:
        raise ValueError(f"weights must not be negative, got beta={beta}, hint={hint}")
    activation = cmst([activation_b], [activation_a])
    attention = attention_transfer(maps_b, maps_a)
    return AttentionDistillation(hint * activation + beta * attention, activation, attention)
