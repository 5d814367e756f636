"""Weight controllers of LIX-style logit distillation: how much each pixel's two terms count.

LIX states a logit-wise dynamic weight controller whose equations were not available to this project: those here are
reconstructed, except `kd` and `constant`, which make the loss KL and DKD. A controller is any function of a `Decoupled`
and a level that returns `Weights`; the loss takes them as constants. One with parameters is
`models.weighting.LearnedWeights`.

Why no constant serves: in units of plain KL, a constant β multiplies pixel p's non-target term by β/(1-b_T,p), which is
the same for all pixels only if the teacher is equally sure of all.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from xkd_bench.losses.lix_decoupled import Decoupled

Level = Literal["pixel", "element"]


class Weights(NamedTuple):
    """alpha: of TCLD, [n, h, w], or of its two elements, [n, 2, h, w]. beta: of NCLD, [n, h, w], or of its elements,
    [n, k, h, w]. Not negative."""

    alpha: Tensor
    beta: Tensor


Controller = Callable[[Decoupled, Level], Weights]


def _check(**weights: float) -> None:
    for name, weight in weights.items():
        if weight < 0:
            raise ValueError(f"weights must not be negative, got {name}={weight}")


def constant(alpha: float, beta: float) -> Controller:
    """DKD: the same two weights everywhere [CODE mdistiller: 1, 8, at τ = 4]."""
    _check(alpha=alpha, beta=beta)

    def controller(parts: Decoupled, level: Level) -> Weights:
        ones = torch.ones_like(parts.teacher.margin)
        return Weights(alpha * ones, beta * ones)

    return controller


def relative(weight: float = 1.0) -> Controller:
    """α = 1, β = w (1-b_T): the non-target term in units of plain KL; w = 1 is KL."""
    _check(weight=weight)

    def controller(parts: Decoupled, level: Level) -> Weights:
        return Weights(torch.ones_like(parts.teacher.margin), weight * parts.sure(parts.teacher)[:, 1])

    return controller


kd: Controller = relative(1.0)
"""α = 1, β = 1-b_T: exactly KL(p_T ‖ p_S)."""


def discrepancy(parts: Decoupled, level: Level) -> Weights:
    """α = 1 + |b_T - b_S|, β = 1 + TV(p̂_T, p̂_S), both in [1, 2]: what is wrong counts more [RECONSTRUCTED, default].

    By element: 1 + |difference| of the element's own probabilities.
    """
    apart = (parts.rest(parts.teacher) - parts.rest(parts.student)).abs()
    doubt = (parts.sure(parts.teacher) - parts.sure(parts.student)).abs()
    if level == "element":
        return Weights(1 + doubt, 1 + apart)
    return Weights(1 + doubt[:, 0], 1 + apart.sum(1) / 2)


def uncertainty(parts: Decoupled, level: Level) -> Weights:
    """α = 1, β = H(p̂_T)/log(k-1) in [0, 1] [RECONSTRUCTED]: where the teacher tells the rest apart, it counts less.

    By element: -p̂ log p̂ in units of the uniform law's, so that the mean over the other classes is the pixel's weight.
    With two classes NCLD is 0, and so is β.
    """
    surprise = -parts.rest(parts.teacher) * parts.teacher.log_rest
    others = parts.others.shape[1] - 1
    most = math.log(others) if others > 1 else 1.0
    beta = surprise * others / most if level == "element" else surprise.sum(1) / most
    return Weights(torch.ones_like(parts.teacher.margin), beta)


CONTROLLERS: dict[str, Controller] = {"kd": kd, "discrepancy": discrepancy, "uncertainty": uncertainty}
"""Those without numbers of their own, by name; `constant` and `relative` are made with theirs."""
