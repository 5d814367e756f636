"""Many linear classifiers at once: L2-regularised multinomial logistic regressions, batched over label draws."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MEMORY = 8
"""Curvature pairs that the quasi-Newton method keeps."""


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
    u, singular, vh = _svd(x - mean)
    design = torch.cat((u * singular[:, None, :], x.new_ones(p, n, 1)), -1)
    curvature = torch.cat((singular**2 / (2 * n), x.new_full((p, 1), 0.5)), 1)[:, None]  # [p, 1, r + 1]
    w = torch.zeros(p, n_classes, design.shape[-1], dtype=torch.float64, device=x.device)
    found: dict[int, tuple[Tensor, Tensor]] = {}
    for index in strengths.argsort().tolist():
        ridge = torch.full_like(curvature, 1 / (strengths[index].item() * n))
        ridge[..., -1] = 0  # the bias is free
        # Böhning (1992): half the covariance of the features, plus the ridge, bounds the Hessian in its diagonal form.
        # In unknowns stretched by its root, that bound is the identity, with which the inverse Hessian starts.
        stretch = (curvature + ridge).sqrt()
        v, converged = _Problems(design / stretch, y, ridge / stretch**2).minimised(
            w * stretch, tolerance / stretch, max_steps
        )
        w = v / stretch
        found[index] = w, converged
    solution = torch.stack([found[i][0] for i in range(len(strengths))], 1)  # [p, g, k, r + 1]
    weight = vh.transpose(1, 2)[:, None] @ solution[..., :-1].transpose(2, 3)
    bias = solution[..., -1] - (mean[:, None] @ weight)[:, :, 0]
    return LinearHeads(weight, bias, torch.stack([found[i][1] for i in range(len(strengths))], 1))


def _svd(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U [p, n, r], singular values [p, r] and Vᵀ [p, r, d] of x: [p, n, d].

    In this basis the data's covariance is diagonal, and with few labels the problem shrinks from d to n unknowns a
    class: the solution lies in the span of the rows. Many columns are first brought to n by QR, which is as exact and
    several times faster.
    """
    if x.shape[2] <= 2 * x.shape[1]:
        return torch.linalg.svd(x, full_matrices=False)
    q, r = torch.linalg.qr(x.transpose(1, 2))
    u, singular, vh = torch.linalg.svd(r.transpose(1, 2))
    return u, singular, vh @ q.transpose(1, 2)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of p problems: [p, a, b] twice -> [p, 1, 1]."""
    return (a * b).sum((1, 2), keepdim=True)


class _Problems:
    """p independent problems: mean cross-entropy plus half the ridge-weighted squares of v.

    design: [p, n, r], y: [p, n], ridge: [p, 1, r]; unknowns v: [p, k, r], logits [p, k, n]. Classes come before items:
    a softmax over the last of two axes is eight times slower where there are few classes.
    """

    def __init__(self, design: Tensor, y: Tensor, ridge: Tensor) -> None:
        self.rows, self.columns = design.contiguous(), design.transpose(1, 2).contiguous()
        self.y, self.ridge = y[:, None], ridge

    def loss(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Of logits: mean cross-entropies [p, 1, 1] and their gradients, [p, k, n]."""
        n = z.shape[2]
        log_q = z.log_softmax(1)
        value = -log_q.gather(1, self.y).sum((1, 2), keepdim=True) / n
        return value, log_q.exp_().scatter_add_(1, self.y, z.new_full(self.y.shape, -1.0)) / n

    def minimised(self, v: Tensor, tolerance: Tensor, max_steps: int) -> tuple[Tensor, Tensor]:
        """L-BFGS from v: minimisers, and which problems converged [p]. tolerance: [p, 1, r] on the gradient.

        Each problem has its own curvature pairs and step length; one that has converged no longer moves. Along a line
        the logits are linear and the penalty is a parabola: a step costs two products with the design, however often it
        is shortened.
        """
        z = v @ self.columns
        (loss, slope_z), penalty = self.loss(z), _dot(self.ridge * v, v) / 2
        gradient = slope_z @ self.rows + self.ridge * v
        inverse = _InverseHessian(gradient)
        for _ in range(max_steps):
            active = (gradient.abs() > tolerance).any(2).any(1)[:, None, None]
            if not active.any():
                break
            direction = -inverse.times(gradient)
            downhill = _dot(direction, gradient) < 0
            direction = torch.where(downhill, direction, -gradient) * active
            z_along, pull = direction @ self.columns, self.ridge * direction
            value, slope = loss + penalty, _dot(direction, gradient)
            linear, square = _dot(pull, v), _dot(pull, direction) / 2

            def penalty_at(step: Tensor, start: Tensor = penalty, a: Tensor = linear, b: Tensor = square) -> Tensor:
                return start + step * (a + step * b)

            step, z, loss, slope_z = self._stepped(z, z_along, penalty_at, value, slope, active)
            if not step.any():
                break  # no problem can be decreased further in float64
            moved, penalty = step * direction, penalty_at(step)
            v = v + moved
            new_gradient = slope_z @ self.rows + self.ridge * v
            inverse.learn(moved, new_gradient - gradient, new_gradient)
            gradient = new_gradient
        return v, (gradient.abs() <= tolerance).all(2).all(1)

    def _stepped(
        self,
        z: Tensor,
        along: Tensor,
        penalty_at: Callable[[Tensor], Tensor],
        value: Tensor,
        slope: Tensor,
        active: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Step lengths [p, 1, 1], halved from 1 until the decrease is enough (Armijo, 1e-4), 0 where none is; the
        logits there, and what `loss` says of them."""
        step = active.to(z.dtype)
        noise = 1e-14 * value.abs()  # near the solution a decrease is lost in rounding: such a step is as good as any
        for _ in range(30):
            there = z + step * along
            loss, slope_z = self.loss(there)
            enough = loss + penalty_at(step) <= value + 1e-4 * step * slope + noise
            if enough.all():
                return step, there, loss, slope_z
            step = torch.where(enough, step, step / 2)
        step = torch.where(enough, step, torch.zeros_like(step))
        there = z + step * along
        return step, there, *self.loss(there)


class _InverseHessian:
    """What L-BFGS knows of p inverse Hessians, from the last steps s and changes y of the gradient.

        H g = γ g + S R⁻ᵀ[(E + γ YᵀY) R⁻¹ Sᵀg - γ Yᵀg] - γ Y R⁻¹ Sᵀg,    R the upper triangle of SᵀY, E its diagonal

    Source: Byrd, Nocedal & Schnabel 1994, Representations of quasi-Newton matrices, eq. (3.13). A batch of matrices
    takes a few large products where the two-loop recursion takes many small ones.
    """

    def __init__(self, like: Tensor) -> None:
        p, size = len(like), like[0].numel()
        self.pairs = like.new_zeros(p, 2 * MEMORY, size)  # s in the first half of the slots, y in the second
        self.along = like.new_zeros(p, 2 * MEMORY)  # products of all of these with the last gradient
        self.sy, self.yy = (like.new_zeros(p, MEMORY, MEMORY) for _ in range(2))
        self.gamma = like.new_ones(p, 1)
        self.learned = 0

    def times(self, gradient: Tensor) -> Tensor:
        """H g; H is the identity at first."""
        g = gradient.flatten(1)
        if not self.learned:
            return gradient
        a, b = self.along.split(MEMORY, 1)
        order = self._order(g.device)
        r = self.sy.index_select(1, order).index_select(2, order).triu()
        e = r.diagonal(dim1=1, dim2=2)
        a, b = a.index_select(1, order)[..., None], b.index_select(1, order)[..., None]
        u = torch.linalg.solve_triangular(r, a, upper=True)
        yy = self.yy.index_select(1, order).index_select(2, order)
        inner = e[..., None] * u + self.gamma[..., None] * (yy @ u - b)
        t = torch.linalg.solve_triangular(r.transpose(1, 2), inner, upper=False)
        weights = torch.zeros_like(self.along)
        weights.index_copy_(1, order, t[..., 0])
        weights.index_copy_(1, order + MEMORY, -self.gamma * u[..., 0])
        return (self.gamma * g + (weights[:, None] @ self.pairs)[:, 0]).view_as(gradient)

    def _order(self, device: torch.device) -> Tensor:
        """Slots from the oldest pair to the newest."""
        return torch.arange(max(0, self.learned - MEMORY), self.learned, device=device) % MEMORY

    def learn(self, s: Tensor, y: Tensor, gradient: Tensor) -> None:
        """A step, the change of the gradient along it, and the gradient after it, all [p, k, r]."""
        s, y = s.flatten(1), y.flatten(1)
        sy, yy = (s * y).sum(1), (y * y).sum(1)
        useful = sy > 1e-14 * yy
        slot = self.learned % MEMORY
        self.pairs[:, slot] = s * useful[:, None]
        self.pairs[:, MEMORY + slot] = y * useful[:, None]
        along = (self.pairs @ gradient.flatten(1)[..., None])[..., 0]
        change = (along - self.along) * useful[:, None]  # of the older pairs: their products with y
        self.sy[:, :, slot], self.yy[:, :, slot] = change.split(MEMORY, 1)
        self.yy[:, slot] = self.yy[:, :, slot]
        # A pair that says nothing is one of zeros; its one on the diagonal leaves R invertible.
        self.sy[:, slot, slot] = torch.where(useful, sy, torch.ones_like(sy))
        self.yy[:, slot, slot] = torch.where(useful, yy, torch.zeros_like(yy))
        self.gamma = torch.where(useful, sy / yy.clamp_min(1e-300), self.gamma[:, 0])[:, None]
        self.along = along
        self.learned += 1
