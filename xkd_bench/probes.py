"""Many linear classifiers at once: L2-regularised multinomial logistic regressions, batched over label draws."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TOGETHER = 2**22
"""Logits of the training items up to which several strengths are fitted at once."""
ROUGH_STEPS = 10
"""Newton steps whose linear systems are solved in float32; nearly all heads need fewer."""
MOST_PRODUCTS = 250
"""Products with the Hessian in one Newton step."""


@dataclass(frozen=True)
class LinearHeads:
    """Fitted heads of p problems and g strengths.

    weight: [p, g, d, k], bias: [p, g, k]; converged: [p, g] whether the gradient reached the tolerance.
    """

    weight: Tensor
    bias: Tensor
    converged: Tensor

    def logits(self, x: Tensor) -> Tensor:
        """[n, d] features, the same for all heads -> [p, g, n, k]: one large product."""
        p, g, d, k = self.weight.shape
        z = x.double() @ self.weight.transpose(2, 3).reshape(-1, d).T
        return (z.view(-1, p, g, k) + self.bias).permute(1, 2, 0, 3)


def fit_logistic(
    x: Tensor, y: Tensor, strengths: Tensor, n_classes: int, *, tolerance: float = 1e-7, max_steps: int = 2000
) -> LinearHeads:
    """Multinomial logistic regressions for every problem (draw of labels) and inverse strength.

        minimise  mean_i CE(xᵢW + b, yᵢ) + ‖W‖²_F / (2 C n)

    which is scikit-learn's LogisticRegression(C=C) divided by C·n (with two classes scikit-learn fits one weight
    vector, not two: its C is then twice ours). x: [p, n, d] features of p problems, y: [p, n]
    labels in 0..k-1, strengths: [g] values of C. The problems of all draws and strengths are solved together by
    truncated Newton, from the frequencies of the classes; where they are too large for that, along the path from the
    strongest regularisation to the weakest, each part starting from the solution before.
    tolerance: on the largest entry of the gradient of the objective above, in float64; max_steps: products with the
    Hessian.
    """
    p, n, _ = x.shape
    x = x.double()
    mean = x.mean(1, keepdim=True)
    u, singular, vh = _svd(x - mean)
    design = torch.cat((u * singular[:, None, :], x.new_ones(p, n, 1)), -1)
    target = x.new_zeros(p, 1, n_classes, n).scatter_(2, y[:, None, None], 1.0)
    # An absent class has its minimum at a bias of -∞: it starts where its gradient is below the tolerance.
    start = x.new_zeros(p, 1, n_classes, design.shape[-1])
    start[..., -1] = target.mean(-1).clamp_min(tolerance / 10).log()
    order = strengths.argsort()
    found = []
    for part in order.split(max(1, TOGETHER // target.numel())):
        ridge = (1 / (strengths[part].to(x) * n))[:, None, None].repeat(1, 1, design.shape[-1])
        ridge[..., -1] = 0  # the bias is free
        found.append(_Problems(design, target, ridge, tolerance).minimised(start, max_steps))
        start = found[-1][0][:, -1:]
    solution, converged = (torch.cat(parts, 1)[:, order.argsort()] for parts in zip(*found, strict=True))
    weight = _product(solution[..., :-1], vh)
    bias = solution[..., -1] - (weight @ mean[:, None].transpose(2, 3))[..., 0]
    # A shift of all biases changes nothing: of all, the solution whose sum is 0.
    return LinearHeads(weight.transpose(2, 3), bias - bias.mean(-1, keepdim=True), converged)


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


def _product(a: Tensor, b: Tensor) -> Tensor:
    """[p, g, k, i] with one matrix a problem, [p, i, j], -> [p, g, k, j]."""
    return (a.flatten(1, 2) @ b).unflatten(1, a.shape[1:3])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of all heads: [p, g, a, b] twice -> [p, g, 1, 1]."""
    return torch.linalg.vecdot(a.flatten(2), b.flatten(2))[..., None, None]


def _settled(going: Tensor) -> int:
    """Of heads that still go on, [p, g, 1, 1], the strengths before the first that has one; g where none has."""
    alive = going[..., 0, 0].any(0).nonzero()
    return int(alive[0]) if len(alive) else going.shape[1]


class _Problems:
    """Heads of p problems and g ascending strengths: mean cross-entropy plus half the ridge-weighted squares of v.

    design: [p, n, r], target: [p, 1, k, n] 1 where the item is of the class, ridge: [g, 1, r]; unknowns
    v: [p, g, k, r], logits [p, g, k, n]. Classes come before items: a softmax over the last of two axes is eight times
    slower where there are few classes. The strongly regularised converge first, so that those left are a last part of
    the strengths: a view, not a copy.
    """

    def __init__(self, design: Tensor, target: Tensor, ridge: Tensor, tolerance: float) -> None:
        self.rows, self.columns = design.contiguous(), design.transpose(1, 2).contiguous()
        self.target, self.ridge, self.tolerance, self.n = target, ridge, tolerance, design.shape[1]

    def loss(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Of logits: mean cross-entropies [p, g, 1, 1] and probabilities [p, g, k, n]."""
        most = z.amax(2, keepdim=True)
        q = (z - most).exp_()
        total = q.sum(2, keepdim=True)
        right = _dot(z, self.target.expand_as(z))
        return ((total.log() + most).sum((2, 3), keepdim=True) - right) / self.n, q.div_(total)

    def minimised(self, start: Tensor, max_steps: int) -> tuple[Tensor, Tensor]:
        """Truncated Newton from start [p, 1, k, r]: minimisers [p, g, k, r], and which heads converged [p, g].

        The gradient, and with it the solution, is in float64. The system of a step has to be right to a few digits only
        and is solved in float32, twice as fast; what is left after several steps (separable classes with hardly a
        penalty, whose Hessian float32 loses in rounding) in float64.
        """
        v = start.repeat(1, len(self.ridge), 1, 1)
        converged = torch.zeros(v.shape[:2], dtype=torch.bool, device=v.device)
        z = _product(v, self.columns)
        (fit, q), systems, at = self.loss(z), _Systems(self, torch.float32), 0
        for newton in range(max_steps):
            gradient = _product((q - self.target) / self.n, self.rows) + self.ridge[at:] * v[:, at:]
            active = (gradient.abs() > self.tolerance).any(3, keepdim=True).any(2, keepdim=True)
            converged[:, at:] = ~active[..., 0, 0]
            skip = _settled(active)
            at += skip
            if at == len(self.ridge) or systems.products >= max_steps:
                break
            z, fit, q, gradient, active = (t[:, skip:] for t in (z, fit, q, gradient, active))
            if newton == ROUGH_STEPS:
                systems = _Systems(self, torch.float64, systems.products)
            direction = systems.solved(q, gradient, active, max_steps)
            pull = self.ridge[at:] * direction
            linear, square = _dot(pull, v[:, at:]), _dot(pull, direction) / 2

            def penalty(step: Tensor, a: Tensor = linear, b: Tensor = square) -> Tensor:
                return step * (a + step * b)  # what it adds to the penalty

            along, slope = _product(direction, self.columns), _dot(direction, gradient)
            step, z, fit, q = self._stepped(z, along, penalty, fit, slope, active)
            v[:, at:] += step * direction
            if newton > ROUGH_STEPS and not step.any():
                break  # no head can be decreased further in float64
        return v, converged

    def _stepped(
        self,
        z: Tensor,
        along: Tensor,
        penalty: Callable[[Tensor], Tensor],
        fit: Tensor,
        slope: Tensor,
        active: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Step lengths [p, g, 1, 1], halved from 1 until the decrease is enough (Armijo, 1e-4), 0 where none is; the
        logits there, and what `loss` says of them. Along a line the logits are linear: a step costs no product."""
        step = active.to(z.dtype)
        noise = 1e-14 * (1 + fit)  # near the solution a decrease is lost in rounding: such a step is as good as any
        for _ in range(30):
            there = z + step * along
            value, q = self.loss(there)
            enough = value + penalty(step) <= fit + 1e-4 * step * slope + noise
            if enough.all():
                return step, there, value, q
            step = torch.where(enough, step, step / 2)
        step = torch.where(enough, step, torch.zeros_like(step))
        there = z + step * along
        return step, there, *self.loss(there)


class _Systems:
    """The linear systems of Newton's method for all heads, by conjugate gradients in a chosen precision.

    They are scaled by the diagonal of the Hessian. In the basis of the singular vectors the Hessian is diagonal where
    all classes are as probable, as they nearly are under strong regularisation; its diagonal is then too small by
    (k-1)/k, which is put right.
    """

    def __init__(self, problems: _Problems, dtype: torch.dtype, products: int = 0) -> None:
        self.rows, self.columns, self.ridge = (
            t.to(dtype) for t in (problems.rows, problems.columns, problems.ridge)
        )  # fmt: skip
        self.squares = self.rows.square() / problems.n
        self.tolerance, self.n, self.dtype, self.products = problems.tolerance, problems.n, dtype, products

    def times(self, q: Tensor, ridge: Tensor, v: Tensor) -> Tensor:
        """Hessians, at probabilities q [p, g, k, n], times v [p, g, k, r]."""
        weighted = q * _product(v, self.columns)
        weighted.addcmul_(q, weighted.sum(2, keepdim=True), value=-1)
        return _product(weighted, self.rows).div_(self.n).addcmul_(ridge, v)

    def solved(self, q: Tensor, gradient: Tensor, active: Tensor, max_products: int) -> Tensor:
        """Newton directions [p, g, k, r] in float64, 0 for heads that are not active: solved to a tenth, and the more
        exactly the smaller the gradient, but not beyond a third of the tolerance."""
        k, ridge = q.shape[2], self.ridge[-q.shape[1] :]
        scale = gradient.abs().amax((2, 3), keepdim=True).clamp_min(self.tolerance)
        q, residual = q.to(self.dtype), (-gradient / scale * active).to(self.dtype)
        diagonal = _product(q * (1 - q) * (k / (k - 1)), self.squares) + ridge
        inverse = 1 / diagonal.clamp_min(torch.finfo(self.dtype).eps)
        exact = scale.sqrt().clamp(1e-4, 0.1) * _dot(residual, residual).sqrt()
        goal = torch.maximum(exact, self.tolerance / (3 * scale)).to(self.dtype)
        found, z, at = torch.zeros_like(residual), residual * inverse, 0
        along, rz = z, _dot(residual, z)
        for _ in range(MOST_PRODUCTS):
            going = _dot(residual, residual).sqrt() > goal
            skip = _settled(going)
            at += skip
            if at == len(ridge) or self.products >= max_products:
                break
            q, residual, inverse, goal, along, rz, going = (
                t[:, skip:] for t in (q, residual, inverse, goal, along, rz, going)
            )  # fmt: skip
            image = self.times(q, ridge[at:], along)
            self.products += 1
            curvature = _dot(along, image)
            step = torch.where(going & (curvature > 0), rz / curvature, 0)
            found[:, at:].addcmul_(step, along)
            residual = residual.addcmul(step, image, value=-1)
            z = residual * inverse
            before, rz = rz, _dot(residual, z)
            along = torch.where(going, z + rz / before * along, 0)
        return found.double() * scale
