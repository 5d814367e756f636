"""LIX-style distillation: logits with weights of their own, and the joint loss.

The LIX paper's equations were not available to this project; the names and the joint loss come from its abstract and
secondary summaries, and every inner equation is reconstructed. The parts are `losses.lix_decoupled` (DKD's two terms in
log space), `losses.lix_weights` (controllers) and `losses.lix_features` (kernel regression and CKA).
"""

from typing import NamedTuple, get_args

import torch
from torch import Tensor

from xkd_bench.losses.dense_pixels import IGNORE, exact
from xkd_bench.losses.lix_decoupled import Decoupled, decouple
from xkd_bench.losses.lix_weights import Controller, Level, Weights, discrepancy


class LogitDistillation(NamedTuple):
    """loss: the weighted mean times τ². tcld, ncld: means over the counted pixels of the two terms, neither weighted
    nor times τ². Scalars, in nats; `loss` alone carries a gradient."""

    loss: Tensor
    tcld: Tensor
    ncld: Tensor


def dwld(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    controller: Controller = discrepancy,
    tau: float = 1.0,
    *,
    level: Level = "pixel",
    ignore: int = IGNORE,
) -> LogitDistillation:
    """Dynamically weighted logit distillation, LIX-style [RECONSTRUCTED].

        L_L = τ²/|Ω| Σ_{p ∈ Ω} [ α_p TCLD_p + β_p NCLD_p ],    (α_p, β_p) = controller(p_T, p_S, y)

    student, teacher: logits [n, k, h, w] (no gradient reaches the teacher). labels: [n, H, W] integers < k; Ω are the
    pixels whose label is not `ignore`; without any the loss is 0, with a graph (`decouple`).

    The weights are constants for the gradient, whatever the controller: else lowering them would lower the loss.
    level: `pixel` as above, or `element`, "logit-wise" read to the letter, where each class has a weight of its own:

        Σ_c β_{p,c} e_c,    e_c = p̂_T,c log(p̂_T,c / p̂_S,c) - p̂_T,c + p̂_S,c ≥ 0

    and alike for the two elements of TCLD; weights of 1 give back the terms. (p̂ log(p̂/q̂) alone can be negative, and a
    weight on it would not be safe.)

    With the controller `kd` this is τ² KL(p_T ‖ p_S), with `constant(a, b)` it is DKD.
    """
    _check_level(level)
    parts = decouple(student, teacher, labels, tau, ignore=ignore)
    with exact(student):
        with torch.no_grad():
            weights = controller(parts, level)
            tcld, ncld = parts.mean(parts.tcld()), parts.mean(parts.ncld())
        return LogitDistillation(tau**2 * parts.mean(weighted(parts, weights)), tcld, ncld)


def weighted(parts: Decoupled, weights: Weights) -> Tensor:
    """[n, h, w]: α TCLD + β NCLD, by element where the weights are. Gradients reach the weights too."""
    alpha, beta = weights
    target = (alpha * parts.tcld_elements()).sum(1) if alpha.ndim == 4 else alpha * parts.tcld()
    others = (beta * parts.ncld_elements()).sum(1) if beta.ndim == 4 else beta * parts.ncld()
    return target + others


def controller_objective(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    controller: Controller,
    tau: float = 1.0,
    *,
    level: Level = "pixel",
    ignore: int = IGNORE,
) -> Tensor:
    """What a learned controller lowers: minus the weighted mean of the terms, whose weights it moves [RECONSTRUCTED].

    Arguments as of `dwld`, whose loss it is added to; neither network gets a gradient of it. A controller that lowered
    the student's own loss would move the weight to the easiest pixels, and the loss would fall without the student
    learning; this one moves it to the hardest. Its weights must have a fixed mean, or they grow without end.
    """
    _check_level(level)
    parts = decouple(student.detach(), teacher, labels, tau, ignore=ignore)
    with exact(student):
        return -parts.mean(weighted(parts, controller(parts, level)))


def _check_level(level: Level) -> None:
    if level not in get_args(Level):
        raise ValueError(f"level must be one of {', '.join(get_args(Level))}, got {level!r}")


class Objective(NamedTuple):
    """loss, and the terms it is the weighted sum of, without their weights; all scalars."""

    loss: Tensor
    task: Tensor
    logit: Tensor
    feature: Tensor


def lix(
    task: Tensor, logit: Tensor, feature: Tensor, *, weight_logit: float, weight_feature: float, ramp: float = 1.0
) -> Objective:
    """The joint loss: L = L_H + ramp · (λ_L L_L + λ_F L_F) [SEED].

    task: L_H, the cross-entropy with the labels; logit: L_L (`dwld`); feature: L_F (`lix_features.arfd`). LIX's λ_L and
    λ_F are not known, so they have no default: start where each weighted term is 0.1 to 1 times the task's. ramp:
    `ramp_up` of the step, as DKD's warm-up.
    """
    if min(weight_logit, weight_feature) < 0 or not 0 <= ramp <= 1:
        raise ValueError(
            f"weights must not be negative and the ramp in [0, 1], got {weight_logit}, {weight_feature} and {ramp}"
        )
    loss = task + ramp * (weight_logit * logit + weight_feature * feature)
    return Objective(loss, task, logit, feature)


def ramp_up(step: int, warm_up: int) -> float:
    """From 0 to 1 in a line over the first `warm_up` steps, counted from 0; DKD's takes 20 epochs [CODE mdistiller]."""
    return 1.0 if step >= warm_up else step / warm_up
