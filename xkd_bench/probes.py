"""Many linear classifiers at once: L2-regularised multinomial logistic regressions, batched over label draws."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

TOGETHER = 2**22
"""Logits of the training items up to which several strengths are fitted at once."""
ROUGH = 1e-3
"""Largest entry of the gradient down to which everything is in float32."""
ROUGH_STEPS = 10
"""Newton steps that are in float32, and then those whose linear systems are; nearly all heads need fewer."""
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
    strongest regularisation to the weakest, each part starting from the solution before. The first steps are in
    float32, the last in float64.
    tolerance: on the largest entry of the gradient of the objective above, in float64; max_steps: products with the
    Hessian, in each precision.
    """
    p, n, _ = x.shape
    x = x.double()
    mean = x.mean(1, keepdim=True)
    along_axes, axes = _principal_axes(x - mean)
    design = torch.cat((along_axes, x.new_ones(p, n, 1)), -1)
    target = x.new_zeros(p, 1, n_classes, n).scatter_(2, y[:, None, None], 1.0)
    # An absent class has its minimum at a bias of -∞: it starts where its gradient is below the tolerance.
    start = x.new_zeros(p, 1, n_classes, design.shape[-1])
    start[..., -1] = target.mean(-1).clamp_min(tolerance / 10).log()
    order = strengths.argsort()
    found = []
    for part in order.split(max(1, TOGETHER // target.numel())):
        ridge = (1 / (strengths[part].to(x) * n))[:, None, None].repeat(1, 1, design.shape[-1])
        ridge[..., -1] = 0  # the bias is free
        rough = _Problems(design.float(), target.float(), ridge.float(), max(ROUGH, tolerance))
        near, _ = rough.minimised(start.float().repeat(1, len(part), 1, 1), ROUGH_STEPS, max_steps)
        found.append(_Problems(design, target, ridge, tolerance).minimised(near.double(), max_steps, max_steps))
        start = found[-1][0][:, -1:]
    solution, converged = (torch.cat(parts, 1)[:, order.argsort()] for parts in zip(*found, strict=True))
    weight = _product(solution[..., :-1], axes)
    bias = solution[..., -1] - (weight @ mean[:, None].transpose(2, 3))[..., 0]
    # A shift of all biases changes nothing: of all, the solution whose sum is 0.
    return LinearHeads(weight.transpose(2, 3), bias - bias.mean(-1, keepdim=True), converged)


def _principal_axes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates [p, n, r] of the rows of x [p, n, d] along orthonormal axes [p, r, d], r = min(n, d).

    Along these axes the data's covariance is diagonal, and with few labels the problem shrinks from d to n unknowns a
    class: the solution lies in the span of the rows. A QR decomposition brings many columns down to n first. The
    eigenvectors of the covariance are orthonormal to rounding however small the eigenvalues, so that the change of
    basis is exact; where they are small, the axes are not quite the singular vectors, which no solution depends on.
    """
    span = None
    if x.shape[2] > x.shape[1]:
        span, across = torch.linalg.qr(x.transpose(1, 2))
        x = across.transpose(1, 2)
    axes = torch.linalg.eigh(x.transpose(1, 2) @ x).eigenvectors
    return x @ axes, (axes if span is None else span @ axes).transpose(1, 2)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """[p, g, k, i] with one matrix a problem, [p, i, j], -> [p, g, k, j]."""
    return (a.flatten(1, 2) @ b).unflatten(1, a.shape[1:3])


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of all heads: [p, g, a, b] twice -> [p, g, 1, 1]."""
    return torch.linalg.vecdot(a.flatten(2), b.flatten(2))[..., None, None]


def _norm(a: Tensor) -> Tensor:
    """Euclidean norms of all heads: [p, g, a, b] -> [p, g, 1, 1]."""
    return torch.linalg.vector_norm(a, dim=(2, 3), keepdim=True)


def _largest(a: Tensor) -> Tensor:
    """Largest absolute entries of all heads: [p, g, a, b] -> [p, g, 1, 1]."""
    return a.abs().amax((2, 3), keepdim=True)


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
        self.target, self.ridge, self.tolerance, self.n = target, ridge, tolerance, design.shape[1]
        self.columns = design.transpose(1, 2).contiguous()
        self.mean_rows = design / self.n  # products with them are means over items

    def loss(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Of logits: mean cross-entropies [p, g, 1, 1] and probabilities [p, g, k, n]."""
        most = z.amax(2, keepdim=True)
        q = (z - most).exp_()
        total = q.sum(2, keepdim=True)
        right = _dot(z, self.target.expand_as(z))
        return ((total.log() + most).sum((2, 3), keepdim=True) - right) / self.n, q.div_(total)

    def minimised(self, v: Tensor, steps: int, max_products: int) -> tuple[Tensor, Tensor]:
        """At most so many steps of truncated Newton from v [p, g, k, r], which becomes the minimisers, and which heads
        converged [p, g].

        The gradient, and with it the solution, is in the precision of v. The system of a step has to be right to a few
        digits only and is solved in float32, twice as fast; what is left after several steps (separable classes with
        hardly a penalty, whose Hessian float32 loses in rounding) in float64.
        """
        converged = torch.zeros(v.shape[:2], dtype=torch.bool, device=v.device)
        z = _product(v, self.columns)
        (fit, q), systems, at = self.loss(z), _Systems(self, torch.float32), 0
        for newton in range(steps):
            gradient = _product(q - self.target, self.mean_rows).addcmul_(self.ridge[at:], v[:, at:])
            active = _largest(gradient) > self.tolerance
            converged[:, at:] = ~active[..., 0, 0]
            skip = _settled(active)
            at += skip
            if at == len(self.ridge) or systems.products >= max_products:
                break
            z, fit, q, gradient, active = (t[:, skip:] for t in (z, fit, q, gradient, active))
            if newton == ROUGH_STEPS:
                systems = _Systems(self, torch.float64, systems.products)
            direction = systems.solved(q, gradient, active, max_products)
            pull = self.ridge[at:] * direction
            linear, square = _dot(pull, v[:, at:]), _dot(pull, direction) / 2

            def penalty(step: Tensor, a: Tensor = linear, b: Tensor = square) -> Tensor:
                return step * (a + step * b)  # what it adds to the penalty

            along, slope = _product(direction, self.columns), _dot(direction, gradient)
            step, z, fit, q = self._stepped(z, along, penalty, fit, slope, active)
            v[:, at:].addcmul_(step, direction)
            if newton > ROUGH_STEPS and not step.any():
                break  # no head can be decreased further
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
        # Near the solution a decrease is lost in rounding: such a step is as good as any.
        noise = 50 * torch.finfo(fit.dtype).eps * (1 + fit)
        for _ in range(30):
            there = torch.addcmul(z, step, along)
            value, q = self.loss(there)
            enough = value + penalty(step) <= fit + 1e-4 * step * slope + noise
            if enough.all():
                return step, there, value, q
            step = torch.where(enough, step, step / 2)
        step = torch.where(enough, step, torch.zeros_like(step))
        there = torch.addcmul(z, step, along)
        return step, there, *self.loss(there)


class _Systems:
    """The linear systems of Newton's method for all heads, by conjugate gradients in a chosen precision.

    They are scaled by the diagonal of the Hessian. In the basis of the singular vectors the Hessian is diagonal where
    all classes are as probable, as they nearly are under strong regularisation; its diagonal is then too small by
    (k-1)/k, which is put right.
    """

    def __init__(self, problems: _Problems, dtype: torch.dtype, products: int = 0) -> None:
        self.mean_rows, self.columns, self.ridge = (
            t.to(dtype) for t in (problems.mean_rows, problems.columns, problems.ridge)
        )  # fmt: skip
        k = problems.target.shape[2]
        self.squares = (k / (k - 1)) * problems.n * self.mean_rows.square()
        self.tolerance, self.dtype, self.products = problems.tolerance, dtype, products

    def times(self, q: Tensor, ridge: Tensor, v: Tensor) -> Tensor:
        """Hessians, at probabilities q [p, g, k, n], times v [p, g, k, r]."""
        weighted = q * _product(v, self.columns)
        weighted.addcmul_(q, weighted.sum(2, keepdim=True), value=-1)
        return _product(weighted, self.mean_rows).addcmul_(ridge, v)

    def solved(self, q: Tensor, gradient: Tensor, active: Tensor, max_products: int) -> Tensor:
        """Newton directions [p, g, k, r] in the gradient's precision, 0 for heads that are not active: solved to a
        tenth, and the more exactly the smaller the gradient, but not beyond a third of the tolerance."""
        ridge = self.ridge[-q.shape[1] :]
        scale = _largest(gradient).clamp_min(self.tolerance)
        q, residual = q.to(self.dtype), (gradient * torch.where(active, -1 / scale, 0)).to(self.dtype)
        diagonal = _product(torch.addcmul(q, q, q, value=-1), self.squares).add_(ridge)
        inverse = diagonal.clamp_min_(torch.finfo(self.dtype).eps).reciprocal_()
        exact = scale.sqrt().clamp(1e-4, 0.1) * _norm(residual)
        goal = torch.maximum(exact, self.tolerance / (3 * scale)).to(self.dtype)
        found, z, at = torch.zeros_like(residual), residual * inverse, 0
        along, rz = z, _dot(residual, z)
        for _ in range(MOST_PRODUCTS):
            going = _norm(residual) > goal
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
            along = torch.addcmul(z, torch.where(going, rz / before, 0), along)
        return found * scale
