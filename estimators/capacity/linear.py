"""Empirical Rademacher complexity of norm-bounded linear classes, in closed form up to signs."""

from __future__ import annotations

import math

import numpy as np
import torch

from ..concentration import student_interval
from ..estimate import Estimate, clipped
from ..inputs import Array, FloatArray, Seed, as_generator, as_matrix, check_confidence

_BLOCK_BYTES = 2**26


def rademacher_linear(
    features: Array, *, radius: float, draws: int = 400, confidence: float = 0.95, seed: Seed = 0
) -> Estimate:
    """Empirical Rademacher complexity of ``{z -> w . z : |w|_2 <= radius}``, by Monte Carlo over signs.

    ``E_sigma sup_w (1/n) sum_i sigma_i w . z_i = (radius / n) E |sum_i sigma_i z_i|_2`` exactly [1]: no optimisation is
    involved, only the expectation over signs is sampled.

    Args:
        features: rows z_i, [n, d]; numpy or torch, CPU or GPU; sums are float64. Not centred.
        radius: bound on the norm of w, >= 0, in one over the units of the features.
        draws: sign vectors, at least 2.
        seed: integer or numpy Generator; signs are drawn by numpy, so that devices agree.

    Returns:
        An ``interval`` in the units of the predictions: Student over draws, cut to the analytic range of
        `rademacher_linear_range`. `n` counts rows.

    Degenerate input: constant features are a class like any other; all-zero features, or radius 0, give 0. d > n and
    duplicates are fine. NaN, radius < 0: ValueError. n = 1 gives ``radius |z|`` exactly.

    [1] Bartlett, Mendelson (2002). Rademacher and Gaussian complexities, Lemma 22.

    >>> import numpy as np
    >>> from estimators import rademacher_linear
    >>> z = np.random.default_rng(0).normal(size=(500, 64))
    >>> abs(rademacher_linear(z, radius=1.0).value / (64 / 500) ** 0.5 - 1) < 0.03
    True
    """
    check_confidence(confidence)
    z, rng = as_matrix(features, "features"), as_generator(seed)
    _check_radius(radius)
    if draws < 2:
        raise ValueError(f"draws must be at least 2, got {draws}")
    norms = np.concatenate([np.linalg.norm(part, axis=1) for part in _signed_sums(z, draws, rng)])
    n = z.shape[0]
    value, low, high = student_interval(radius / n * norms, confidence)
    floor, top = _range(z, radius)
    low, high = max(low, floor), min(high, top)
    low, high = min(low, high), max(low, high)
    return Estimate(clipped(value, low, high), low, high, confidence, n, "interval", f"rademacher_linear[{radius:g}]")


def rademacher_linear_range(features: Array, *, radius: float) -> Estimate:
    """The sandwich ``U / sqrt(2) <= R <= U``, ``U = radius sqrt(sum_i |z_i|^2) / n`` (Khintchine, Jensen) [STD].

    Both ends are certain given the features: `confidence` is a formality, just below 1.

    Args and errors: as for `rademacher_linear`.

    Returns:
        An ``interval`` whose `value` is U, within 1% of the truth where many directions matter.

    [1] Haagerup (1981). The best constants in the Khintchine inequality.

    >>> import numpy as np
    >>> from estimators import rademacher_linear_range
    >>> e = rademacher_linear_range(np.eye(4), radius=2.0)
    >>> e.value, round(e.low, 4)
    (1.0, 0.7071)
    """
    z = as_matrix(features, "features")
    _check_radius(radius)
    low, high = _range(z, radius)
    return Estimate(high, low, high, 1.0 - 1e-12, z.shape[0], "interval", f"rademacher_linear_range[{radius:g}]")


def _range(z: torch.Tensor, radius: float) -> tuple[float, float]:
    top = radius * float(torch.linalg.vector_norm(z, dtype=torch.float64)) / z.shape[0]
    return top / math.sqrt(2.0), top


def _check_radius(radius: float) -> None:
    if not 0.0 <= radius < math.inf:
        raise ValueError(f"radius must be finite and not negative, got {radius}")


def _signed_sums(z: torch.Tensor, draws: int, rng: np.random.Generator) -> list[FloatArray]:
    """``sum_i sigma_i z_i`` for each draw, [draws, d], in blocks of draws."""
    step = max(1, _BLOCK_BYTES // (8 * z.shape[0]))
    sums = []
    for start in range(0, draws, step):
        signs = rng.integers(0, 2, size=(min(step, draws - start), z.shape[0]), dtype=np.int8) * 2.0 - 1.0
        sums.append((torch.from_numpy(signs).to(z.device) @ z.double()).cpu().numpy())
    return sums
