"""Empirical Rademacher complexity of multiclass linear heads under cross-entropy: a sandwich."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..concentration import student_interval
from ..estimate import Estimate
from ..inputs import Array, FloatArray, Seed, as_generator, as_matrix, check_confidence
from .linear import _check_radius


def rademacher_multiclass(
    features: Array,
    labels: ArrayLike | torch.Tensor,
    *,
    classes: int,
    radius: float,
    draws: int = 200,
    ascent_draws: int = 20,
    restarts: int = 3,
    steps: int = 100,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Rademacher complexity of ``{(z, y) -> CE(W z, y) : |W|_F <= radius}`` between two honest sides.

    Above: cross-entropy is sqrt(2)-Lipschitz in the logits, so vector contraction [1] gives
    ``2 (radius / n) E sqrt(sum_k |sum_i eps_ik z_i|^2)``, the factor being sqrt(2) sqrt(2) [DERIVED]. Below: projected
    gradient ascent on ``(1/n) sum_i sigma_i CE(W z_i, y_i)``; whatever W it finds, the supremum is at least that, so
    it can only under-estimate. W = 0 is always a candidate.

    Args:
        features: [n, d]. labels: [n] integers in [0, classes).
        radius: bound on the Frobenius norm of W: for a trained head, that of W.
        draws: sign matrices for the upper side; ascent_draws: sign vectors for the lower side, both at least 2.
        restarts, steps: of the ascent, at least 1 each.
        seed: integer or numpy Generator.

    Returns:
        An ``interval`` in nats: from the lower side's to the upper side's Student limit at (1 - confidence) / 2 each.
        `value` is the middle; the distance between sides is mostly the contraction's looseness, not noise.

    Degenerate input: all-zero features give 0 up to Monte-Carlo error, as the loss is then the constant log K; one
    class: exactly 0. d > n and duplicates are fine. NaN, labels out of range, mismatched lengths: ValueError.

    [1] Maurer (2016). A vector-contraction inequality for Rademacher complexities.

    >>> import numpy as np
    >>> from estimators import rademacher_multiclass
    >>> rng = np.random.default_rng(0)
    >>> z, y = rng.normal(size=(300, 16)), rng.integers(0, 5, 300)
    >>> z /= np.linalg.norm(z, axis=1, keepdims=True)
    >>> e = rademacher_multiclass(z, y, classes=5, radius=3.0)
    >>> 0.1 < e.low < e.high < 0.9
    True
    """
    check_confidence(confidence)
    _check_radius(radius)
    z, rng = as_matrix(features, "features").double(), as_generator(seed)
    y = _labels(labels, z.shape[0], classes).to(z.device)
    if min(draws, ascent_draws) < 2 or min(restarts, steps) < 1:
        raise ValueError("draws and ascent_draws must be at least 2, restarts and steps at least 1")
    top = 2.0 * vector_complexity(z, classes, radius, draws, rng)
    upper = student_interval(top, confidence)
    bottom = ascent(z, y, classes, radius, ascent_draws, restarts, steps, rng)
    lower = student_interval(bottom, confidence)
    low, high = max(0.0, lower[1]), max(upper[2], 0.0)
    if classes == 1:
        low = high = 0.0
    high = max(low, high)
    name = f"rademacher_multiclass[{classes} classes, {radius:g}]"
    return Estimate(0.5 * (low + high), low, high, confidence, z.shape[0], "interval", name)


def _labels(labels: ArrayLike | torch.Tensor, n: int, classes: int) -> torch.Tensor:
    y = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if y.shape != (n,) or y.dtype.kind not in "iu":
        raise ValueError(f"labels must be {n} integers, got shape {list(y.shape)} of {y.dtype}")
    if classes < 1 or y.min() < 0 or y.max() >= classes:
        raise ValueError(f"labels must lie in [0, {classes}), got {y.min()} to {y.max()}")
    return torch.from_numpy(y.astype(np.int64))


def vector_complexity(z: torch.Tensor, classes: int, radius: float, draws: int, rng: np.random.Generator) -> FloatArray:
    """``(radius / n) sqrt(sum_k |sum_i eps_ik z_i|^2)`` for each draw of eps [n, K]: the vector class, [draws]."""
    n = z.shape[0]
    values = []
    for _ in range(draws):
        signs = torch.from_numpy(rng.integers(0, 2, size=(classes, n), dtype=np.int8) * 2.0 - 1.0).to(z.device)
        values.append(radius / n * float(torch.linalg.matrix_norm(signs @ z)))
    return np.array(values)


def ascent(
    z: torch.Tensor,
    y: torch.Tensor,
    classes: int,
    radius: float,
    draws: int,
    restarts: int,
    steps: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Best correlation of the loss with each sign vector found by projected gradient ascent, [draws].

    All draws and restarts climb at once; steps are a fixed share of the radius along the gradient, shrinking. The
    part of the loss that all W share, log K, correlates with signs by chance and has expectation 0: it is subtracted.
    """
    n, d = z.shape
    signs = torch.from_numpy(rng.integers(0, 2, size=(draws, n), dtype=np.int8) * 2.0 - 1.0).to(z.device)
    onehot = torch.nn.functional.one_hot(y, classes).double()
    chance = signs.mean(1) * math.log(classes)
    best = chance  # W = 0
    if radius == 0.0 or not bool(z.any()):
        return (best - chance).cpu().numpy()
    start = torch.from_numpy(rng.standard_normal((restarts, draws, d, classes))).to(z.device)
    for w in start:
        w = _project(w, radius)
        for step in range(steps + 1):
            logits = z @ w  # [draws, n, classes]
            losses = torch.logsumexp(logits, -1) - (logits * onehot).sum(-1)
            best = torch.maximum(best, (signs * losses).mean(1))
            gradient = z.T @ ((torch.softmax(logits, -1) - onehot) * signs[:, :, None])
            size = torch.linalg.matrix_norm(gradient, keepdim=True).clamp_min(1e-300)
            w = _project(w + radius * 0.5 / math.sqrt(1.0 + step) * gradient / size, radius)
    return (best - chance).cpu().numpy()


def _project(w: torch.Tensor, radius: float) -> torch.Tensor:
    norm = torch.linalg.matrix_norm(w, keepdim=True)
    return w * torch.clamp(radius / norm.clamp_min(1e-300), max=1.0)
