"""Many linear classifiers at once: L2-regularised multinomial logistic regressions, batched over label draws."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Objective = Callable[[Tensor], tuple[Tensor, Tensor]]
"""w [p, a, b] -> values [p] and gradients [p, a, b] of p independent problems."""
CurvaturePair = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class LinearHeads:
    """Fitted heads of p problems and g strengths.

    weight: [p, g, d, k], bias: [p, g, k]; converged: [p, g] whether the gradient reached the tolerance.
    """

    weight: Tensor
    bias: Tensor
    converged: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """[n, d] features, the same for all heads -> [p, g, n, k]."""
        return x.double() @ self.weight + self.bias[:, :, None, :]


def fit_logistic(
    x: Tensor, y: Tensor, strengths: Tensor, n_classes: int, *, tolerance: float = 1e-7, max_steps: int = 2000
) -> LinearHeads:
    """Multinomial logistic regressions for every problem (draw of labels) and inverse strength.

        minimise  mean_i CE(xᵢW + b, yᵢ) + ‖W‖²_F / (2 C n)

    which is scikit-learn's LogisticRegression(C=C) divided by C·n (with two classes scikit-learn fits one weight
    vector, not two: its C is then twice ours). x: [p, n, d] features of p problems, y: [p, n]
    labels in 0..k-1, strengths: [g] values of C. The problems are solved together by L-BFGS, in float64, along the path
    from the strongest regularisation to the weakest, each starting from the solution before.
    tolerance: on the largest entry of the gradient of the objective above.
    """
    p, n, _ = x.shape
    x = x.double()
    mean = x.mean(1, keepdim=True)
    # In the basis of the singular vectors the data's covariance is diagonal, and with few labels the problem shrinks
    # from d to n unknowns a class: the solution lies in the span of the rows.
    u, singular, vh = torch.linalg.svd(x - mean, full_matrices=False)  # [p, n, r], [p, r], [p, r, d]
    design = torch.cat((u * singular[:, None, :], x.new_ones(p, n, 1)), -1)
    curvature = torch.cat((singular**2 / (2 * n), x.new_full((p, 1), 0.5)), 1)[..., None]  # [p, r + 1, 1]
    w = torch.zeros(p, design.shape[-1], n_classes, dtype=torch.float64, device=x.device)
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for index in strengths.argsort().tolist():
        ridge = torch.full_like(curvature, 1 / (strengths[index].item() * n))
        ridge[:, -1] = 0  # the bias is free
        objective = _logistic_objective(design, y, ridge)
        w, converged = _batched_lbfgs(objective, w, curvature + ridge, tolerance, max_steps)
        found[index] = w, converged
    solution = torch.stack([found[i][0] for i in range(len(strengths))], 1)  # [p, g, r + 1, k]
    weight = vh.transpose(1, 2)[:, None] @ solution[:, :, :-1]
    bias = solution[:, :, -1] - (mean[:, None] @ weight)[:, :, 0]
    return LinearHeads(weight, bias, torch.stack([found[i][1] for i in range(len(strengths))], 1))


def _logistic_objective(design: Tensor, y: Tensor, ridge: Tensor) -> Objective:
    """Mean cross-entropy plus half the ridge-weighted squares of w. design: [p, n, r], ridge: [p, r, 1]."""
    p, n, _ = design.shape
    transposed = design.transpose(1, 2).contiguous()
    index = y[..., None]

    def objective(w: Tensor) -> tuple[Tensor, Tensor]:
        log_q = (design @ w).log_softmax(-1)
        value = -log_q.gather(2, index).sum((1, 2)) / n + (ridge * w * w).sum((1, 2)) / 2
        residual = log_q.exp_().scatter_add_(2, index, design.new_full((p, n, 1), -1.0))
        return value, transposed @ residual / n + ridge * w

    return objective


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of p problems: [p, a, b] twice -> [p, 1, 1]."""
    return (a * b).sum((1, 2), keepdim=True)


def _batched_lbfgs(
    objective: Objective, w: Tensor, curvature: Tensor, tolerance: float, max_steps: int, memory: int = 20
) -> tuple[Tensor, Tensor]:
    """Minimise p independent smooth convex problems together: minimisers [p, a, b], and which converged [p].

    curvature: [p, a, 1], an upper bound of the Hessian in its diagonal form (Böhning 1992: half the covariance of the
    features, plus the ridge), with which the inverse Hessian starts. Each problem has its own curvature pairs and step
    length; one that has converged no longer moves.
    """
    value, gradient = objective(w)
    pairs: list[CurvaturePair] = []
    for _ in range(max_steps):
        active = gradient.abs().amax((1, 2)) > tolerance
        if not active.any():
            break
        direction = -_inverse_hessian_times(gradient, pairs, curvature)
        slope = _dot(direction, gradient)
        direction = torch.where(slope < 0, direction, -gradient)
        slope = torch.where(slope < 0, slope, -_dot(gradient, gradient))
        step = _line_search(objective, w, value, direction, slope, active)
        new_w = w + step * direction
        new_value, new_gradient = objective(new_w)
        s, y = new_w - w, new_gradient - gradient
        sy = _dot(s, y)
        useful = sy > 1e-14 * _dot(y, y)
        pairs.append((s, y, torch.where(useful, 1 / sy.where(useful, torch.ones_like(sy)), torch.zeros_like(sy))))
        del pairs[:-memory]
        w, value, gradient = new_w, new_value, new_gradient
        if not step.any():
            break  # no problem can be decreased further in float64
    return w, gradient.abs().amax((1, 2)) <= tolerance


def _inverse_hessian_times(gradient: Tensor, pairs: list[CurvaturePair], curvature: Tensor) -> Tensor:
    """The two-loop recursion for all problems: Nocedal & Wright 2006, algorithm 7.4. A useless pair has rho = 0."""
    q = gradient
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * _dot(s, q)
        q = q - alpha * y
        alphas.append(alpha)
    q = q / curvature
    if pairs:
        _, y, rho = pairs[-1]
        q = q * torch.where(rho > 0, 1 / (rho * _dot(y, y / curvature)).clamp_min(1e-300), torch.ones_like(rho))
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        q = q + s * (alpha - rho * _dot(y, q))
    return q


def _line_search(
    objective: Objective, w: Tensor, value: Tensor, direction: Tensor, slope: Tensor, active: Tensor
) -> Tensor:
    """Step lengths [p, 1, 1]: halved from 1 until the decrease is enough (Armijo, 1e-4); 0 where none is."""
    step = active.to(w.dtype)[:, None, None]
    value = value[:, None, None]
    noise = 1e-14 * value.abs()  # near the solution a decrease is lost in rounding: such a step is as good as any
    for _ in range(30):
        enough = objective(w + step * direction)[0][:, None, None] <= value + 1e-4 * step * slope + noise
        if enough.all():
            return step
        step = torch.where(enough, step, step / 2)
    return torch.where(enough, step, torch.zeros_like(step))
