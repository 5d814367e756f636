"""Local Rademacher complexity of linear and kernel classes from the spectrum, and its fixed point."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike

from ..estimate import Estimate
from ..inputs import Array, FloatArray, as_matrix

_CERTAIN = 1.0 - 1e-12


def spectrum(features: Array) -> FloatArray:
    """Eigenvalues of ``Z Z' / n`` (equally of ``Z' Z / n``), largest first, none negative, [min(n, d)]; not centred.

    >>> spectrum(np.diag([2.0, 1.0])).tolist()
    [2.0, 0.5]
    """
    z = as_matrix(features, "features").double()
    small = z.T @ z if z.shape[1] <= z.shape[0] else z @ z.T
    return torch.linalg.eigvalsh(small / z.shape[0]).flip(0).clamp_min(0.0).cpu().numpy()


def local_rademacher(
    features: Array | None = None,
    *,
    r: float,
    radius: float = 1.0,
    eigenvalues: ArrayLike | None = None,
    n: int | None = None,
) -> Estimate:
    """Upper bound on the complexity of ``{z -> w . z : |w| <= radius, (1/n) sum (w . z_i)^2 <= r}``.

    ``sqrt((2 / n) sum_j min(r, radius^2 lambda_j))``, lambda_j the eigenvalues of Gram / n [STD] [1].

    Args:
        features: [n, d]; or, for a kernel, `eigenvalues` of its Gram matrix over n, and `n`.
        r: bound on the empirical second moment, >= 0, in squared units of the predictions.
        radius: of the ball, >= 0.

    Returns:
        An ``upper bound`` on the *empirical* complexity, certain given the features (`confidence` is a formality just
        below 1), in units of the predictions.

    Degenerate input: all-zero features, r = 0 or radius 0 give 0. NaN, r < 0: ValueError.

    [1] Bartlett, Bousquet, Mendelson (2005). Local Rademacher complexities, Section 6.3.

    >>> import numpy as np
    >>> from estimators import local_rademacher
    >>> local_rademacher(np.eye(4), r=1.0).value  # eigenvalues 1/4, so sqrt(2/4 * 4/4)
    0.7071067811865476
    """
    values, count = _values(features, eigenvalues, n)
    _check(r, radius)
    top = _local(values, count, r, radius)
    return Estimate(top, 0.0, top, _CERTAIN, count, "upper bound", f"local_rademacher[r {r:.3g}]")


def local_fixed_point(
    features: Array | None = None, *, radius: float = 1.0, eigenvalues: ArrayLike | None = None, n: int | None = None
) -> Estimate:
    """The r* with ``psi(r*) = r*`` for the bound psi of `local_rademacher`: the scale of fast rates [1].

    psi is sub-root (psi(r) / sqrt(r) falls), so there is exactly one r* > 0 unless psi is 0; found by bisection to
    float64 precision.

    Args: as for `local_rademacher`.

    Returns:
        An ``upper bound`` (certain given the features), squared units of the predictions; 0 for all-zero features.

    [1] Bartlett, Bousquet, Mendelson (2005). Local Rademacher complexities, Definition 3.1 and Lemma 3.2.

    >>> import numpy as np
    >>> from estimators import local_fixed_point, local_rademacher
    >>> e = local_fixed_point(np.eye(4))
    >>> abs(local_rademacher(np.eye(4), r=e.value).value - e.value) < 1e-12
    True
    """
    values, count = _values(features, eigenvalues, n)
    _check(0.0, radius)
    low, high = 0.0, _local(values, count, math.inf, radius)  # psi <= psi(inf), so r* <= psi(inf)
    for _ in range(200):
        middle = 0.5 * (low + high)
        if _local(values, count, middle, radius) > middle:
            low = middle
        else:
            high = middle
    return Estimate(high, 0.0, high, _CERTAIN, count, "upper bound", "local_fixed_point")


def _local(values: FloatArray, n: int, r: float, radius: float) -> float:
    return math.sqrt(2.0 / n * float(np.minimum(r, radius**2 * values).sum()))


def _values(features: Array | None, eigenvalues: ArrayLike | None, n: int | None) -> tuple[FloatArray, int]:
    if (features is None) == (eigenvalues is None) or (eigenvalues is None) != (n is None):
        raise ValueError("give features, or eigenvalues together with n")
    if features is not None:
        return spectrum(features), features.shape[0]
    values = np.asarray(eigenvalues, float)
    assert n is not None
    if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or n < 1:
        raise ValueError("eigenvalues must be a list of finite numbers >= 0, and n positive")
    return values, n


def _check(r: float, radius: float) -> None:
    if not r >= 0.0 or not 0.0 <= radius < math.inf:
        raise ValueError(f"r and radius must not be negative, got {r} and {radius}")
