"""Many linear classifiers at once: L2-regularised multinomial logistic regressions as one batched problem."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LinearHeads:
    """P fitted heads. weight: [P, d, k], bias: [P, k]; converged: [P] whether the gradient reached the tolerance."""

    weight: Tensor
    bias: Tensor
    converged: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """[n, d] features, the same for all heads -> [P, n, k]."""
        return x @ self.weight + self.bias[:, None, :]


def fit_logistic(
    x: Tensor,
    y: Tensor,
    strengths: Tensor,
    n_classes: int,
    *,
    tolerance: float = 1e-7,
    max_steps: int = 2000,
) -> LinearHeads:
    """Multinomial logistic regressions for every problem and inverse strength, solved together by L-BFGS.

        minimise  mean_i CE(xᵢW + b, yᵢ) + ‖W‖²_F / (2 C n)

    which is scikit-learn's LogisticRegression(C=C) divided by C·n. x: [p, n, d] features of p problems (draws), y: [p,
    n] labels in 0..k-1, strengths: [g] values of C. Returns p·g heads, those of problem 0 first. Computed in float64.
    tolerance: on the largest entry of the gradient of the objective above.
    """
    p, n, d = x.shape
    x = x.double()
    # The solution lies in the span of the rows of x: with few labels the problem shrinks from d to n unknowns a class.
    basis = torch.linalg.svd(x, full_matrices=False).Vh.transpose(1, 2) if n < d else None  # [p, d, n]
    reduced = x @ basis if basis is not None else x
    width = reduced.shape[-1]
    g = len(strengths)
    design = torch.cat((reduced, reduced.new_ones(p, n, 1)), -1)[:, None]  # [p, 1, n, width + 1]
    target = torch.nn.functional.one_hot(y, n_classes).double()[:, None]  # [p, 1, n, k]
    ridge = (1 / (strengths.double() * n)).view(1, g, 1, 1).expand(p, g, width + 1, 1).clone()
    ridge[:, :, -1] = 0  # the bias is free

    def objective(w: Tensor) -> tuple[Tensor, Tensor]:
        log_q = (design @ w).log_softmax(-1)
        value = -(target * log_q).sum((-1, -2)) / n + (ridge * w * w).sum((-1, -2)) / 2
        gradient = design.transpose(-1, -2) @ (log_q.exp() - target) / n + ridge * w
        return value, gradient

    start = torch.zeros(p, g, width + 1, n_classes, dtype=torch.float64, device=x.device)
    w, converged = _batched_lbfgs(objective, start, tolerance, max_steps)
    weight, bias = w[:, :, :-1], w[:, :, -1]
    if basis is not None:
        weight = basis[:, None] @ weight
    return LinearHeads(weight.flatten(0, 1), bias.flatten(0, 1), converged.flatten())


def _batched_lbfgs(objective, w: Tensor, tolerance: float, max_steps: int, memory: int = 10) -> tuple[Tensor, Tensor]:
    # type: ignore[no-untyped-def]
    """Minimise independent smooth convex problems together: w [p, g, a, b], objective(w) -> values [p, g], gradients
    like w.

    Each problem has its own curvature pairs and step length (Armijo backtracking); a finished one no longer moves.
    """
    dot = lambda a, b: (a * b).sum((-1, -2))  # noqa: E731
    value, gradient = objective(w)
    pairs: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(max_steps):
        active = gradient.abs().amax((-1, -2)) > tolerance
        if not active.any():
            break
        direction = -_two_loop(gradient, pairs, dot)
        slope = dot(direction, gradient)
        downhill = slope < 0
        direction = torch.where(downhill[..., None, None], direction, -gradient)
        slope = torch.where(downhill, slope, -dot(gradient, gradient))
        new_w, new_value, new_gradient, moved = _line_search(objective, w, value, gradient, direction, slope, active)
        s, y = new_w - w, new_gradient - gradient
        sy = dot(s, y)
        good = moved & (sy > 1e-12 * dot(y, y))
        pairs.append((s, y, torch.where(good, 1 / sy.where(good, torch.ones_like(sy)), torch.zeros_like(sy))))
        del pairs[:-memory]
        w, value, gradient = new_w, new_value, new_gradient
        if not moved.any():
            break
    return w, gradient.abs().amax((-1, -2)) <= tolerance


def _two_loop(gradient: Tensor, pairs: list[tuple[Tensor, Tensor, Tensor]], dot) -> Tensor:
    """Inverse Hessian times gradient, for all problems: Nocedal & Wright 2006, algorithm 7.4."""
    q = gradient
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * dot(s, q)
        q = q - alpha[..., None, None] * y
        alphas.append(alpha)
    if pairs:
        _, y, rho = pairs[-1]
        scale = torch.where(rho > 0, 1 / (rho * dot(y, y)).clamp_min(1e-300), torch.ones_like(rho))
        q = q * scale[..., None, None]
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + s * (alpha - rho * dot(y, q))[..., None, None]
    return q


def _line_search(objective, w, value, gradient, direction, slope, active):  # type: ignore[no-untyped-def]
    """Halve each problem's step until it decreases enough (Armijo, 1e-4), 30 times at most; others keep their place."""
    step = torch.where(active, torch.ones_like(value), torch.zeros_like(value))
    accepted = ~active
    for _ in range(30):
        trial = w + step[..., None, None] * direction
        new_value, new_gradient = objective(trial)
        accepted = accepted | (new_value <= value + 1e-4 * step * slope)
        if accepted.all():
            break
        step = torch.where(accepted, step, step / 2)
    step = torch.where(accepted, step, torch.zeros_like(step))
    stuck = ~accepted
    if stuck.any():
        trial = w + step[..., None, None] * direction
        new_value, new_gradient = objective(trial)
    return trial, new_value, new_gradient, active & accepted
