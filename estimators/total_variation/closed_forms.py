"""Exact distances of known laws: for tests, for teaching, and to see what an estimate of 0.04 would mean.

These are facts, not estimates, so they return plain floats.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..inputs import FloatArray


def tv_gaussians(mean_source: ArrayLike, mean_target: ArrayLike, covariance: ArrayLike | None = None) -> float:
    """TV between two Gaussians with one covariance: ``2 Phi(delta / 2) - 1``, delta their Mahalanobis distance [STD].

    Args:
        mean_source, mean_target: [d].
        covariance: [d, d], positive definite; the identity when not given.

    Raises:
        ValueError: shapes do not fit, or the covariance is not symmetric positive definite.

    >>> from estimators import tv_gaussians
    >>> [round(tv_gaussians([0.0], [delta]), 4) for delta in (0.1003, 0.25, 0.5, 1.0, 2.0, 4.0)]
    [0.04, 0.0995, 0.1974, 0.3829, 0.6827, 0.9545]
    """
    difference = np.asarray(mean_target, float) - np.asarray(mean_source, float)
    if difference.ndim != 1:
        raise ValueError(f"means must be vectors [d], got shape {list(difference.shape)}")
    if covariance is None:
        return tv_gaussian_shift(float(np.linalg.norm(difference)))
    sigma = np.asarray(covariance, float)
    if sigma.shape != (difference.size,) * 2 or not np.allclose(sigma, sigma.T):
        raise ValueError(f"covariance must be symmetric [{difference.size}, {difference.size}]")
    try:
        factor = np.linalg.cholesky(sigma)
    except np.linalg.LinAlgError:
        raise ValueError("covariance is not positive definite") from None
    return tv_gaussian_shift(float(np.linalg.norm(np.linalg.solve(factor, difference))))


def tv_gaussian_shift(delta: float) -> float:
    """TV between N(0, I) and N(delta u, I), any unit u and any dimension [STD].

    >>> from estimators import tv_gaussian_shift
    >>> round(tv_gaussian_shift(2.0), 4)
    0.6827
    """
    return float(2.0 * stats.norm.cdf(abs(delta) / 2.0) - 1.0)


def gaussian_shift(tv: float) -> float:
    """The shift delta with that TV: the inverse of `tv_gaussian_shift`.

    Raises:
        ValueError: tv outside [0, 1).

    >>> from estimators import gaussian_shift
    >>> round(gaussian_shift(0.04), 4)
    0.1003
    """
    if not 0.0 <= tv < 1.0:
        raise ValueError(f"tv must lie in [0, 1), got {tv}")
    return float(2.0 * stats.norm.ppf((1.0 + tv) / 2.0))


def _laws(p: ArrayLike, q: ArrayLike) -> tuple[FloatArray, FloatArray]:
    a, b = np.asarray(p, float), np.asarray(q, float)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"two laws on one alphabet are needed, got shapes {list(a.shape)} and {list(b.shape)}")
    for name, law in (("p", a), ("q", b)):
        if not np.isfinite(law).all() or (law < 0).any() or not math.isclose(law.sum(), 1.0, abs_tol=1e-9):
            raise ValueError(f"{name} must be non-negative and sum to 1")
    return a, b


def tv_discrete(p: ArrayLike, q: ArrayLike) -> float:
    """``1/2 sum |p - q|`` for two laws on k points, shapes [k] [STD].

    Raises:
        ValueError: not two probability vectors of one length.

    >>> from estimators import tv_discrete
    >>> round(tv_discrete([0.7, 0.2, 0.1], [0.5, 0.3, 0.2]), 6)
    0.2
    """
    a, b = _laws(p, q)
    return float(0.5 * np.abs(a - b).sum())


def kl_discrete(p: ArrayLike, q: ArrayLike) -> float:
    """Kullback-Leibler divergence ``sum p log(p / q)`` in nats; infinite where q = 0 < p [STD].

    >>> from estimators import kl_discrete
    >>> round(kl_discrete([0.7, 0.2, 0.1], [0.5, 0.3, 0.2]), 6)
    0.085123
    """
    a, b = _laws(p, q)
    if bool(((b == 0) & (a > 0)).any()):
        return math.inf
    support = a > 0
    return max(0.0, float((a[support] * np.log(a[support] / b[support])).sum()))


def hellinger_squared_discrete(p: ArrayLike, q: ArrayLike) -> float:
    """Squared Hellinger distance ``1 - sum sqrt(p q)``, in [0, 1] [STD].

    >>> from estimators import hellinger_squared_discrete
    >>> round(hellinger_squared_discrete([1.0, 0.0], [0.5, 0.5]), 4)
    0.2929
    """
    a, b = _laws(p, q)
    # The sum of squared differences does not cancel where p is near q, as 1 - sum sqrt(pq) would.
    return float(min(1.0, 0.5 * ((np.sqrt(a) - np.sqrt(b)) ** 2).sum()))


def jensen_shannon_discrete(p: ArrayLike, q: ArrayLike) -> float:
    """Jensen-Shannon divergence in nats, in [0, log 2] [STD].

    >>> import math
    >>> from estimators import jensen_shannon_discrete
    >>> round(jensen_shannon_discrete([1.0, 0.0], [0.0, 1.0]), 6) == round(math.log(2), 6)
    True
    """
    a, b = _laws(p, q)
    middle = 0.5 * (a + b)
    middle /= middle.sum()
    return 0.5 * kl_discrete(a, middle) + 0.5 * kl_discrete(b, middle)


def henze_penrose_discrete(p: ArrayLike, q: ArrayLike) -> float:
    """Henze-Penrose divergence at equal priors, ``1/2 sum (p - q)^2 / (p + q)``, in [0, 1] [STD].

    >>> from estimators import henze_penrose_discrete
    >>> henze_penrose_discrete([1.0, 0.0], [0.0, 1.0])
    1.0
    """
    a, b = _laws(p, q)
    total = a + b
    support = total > 0
    return float(0.5 * ((a[support] - b[support]) ** 2 / total[support]).sum())


def tv_from_hellinger(squared: float) -> tuple[float, float]:
    """The range of TV given H^2: ``H^2 <= TV <= H sqrt(2 - H^2)`` [STD].

    >>> from estimators import tv_from_hellinger
    >>> tv_from_hellinger(1.0)
    (1.0, 1.0)
    """
    _unit("squared Hellinger distance", squared, 1.0)
    return squared, min(1.0, math.sqrt(squared * (2.0 - squared)))


def tv_from_jensen_shannon(nats: float) -> tuple[float, float]:
    """The range of TV given JS in nats: ``JS / log 2 <= TV <= sqrt(2 JS)`` [STD].

    >>> from estimators import tv_from_jensen_shannon
    >>> tv_from_jensen_shannon(0.0)
    (0.0, 0.0)
    """
    _unit("Jensen-Shannon divergence", nats, math.log(2.0))
    return min(1.0, nats / math.log(2.0)), min(1.0, math.sqrt(2.0 * nats))


def tv_from_henze_penrose(divergence: float) -> tuple[float, float]:
    """The range of TV given HP at equal priors: ``HP <= TV <= sqrt(HP)`` [STD].

    >>> from estimators import tv_from_henze_penrose
    >>> tv_from_henze_penrose(0.25)
    (0.25, 0.5)
    """
    _unit("Henze-Penrose divergence", divergence, 1.0)
    return divergence, math.sqrt(divergence)


def tv_from_kl(nats: float) -> float:
    """The largest TV that a KL divergence allows: the smaller of Pinsker's ``sqrt(KL / 2)`` and Bretagnolle-Huber's
    ``sqrt(1 - exp(-KL))``, which is better from 1.594 nats on [STD].

    >>> from estimators import tv_from_kl
    >>> round(tv_from_kl(0.02), 4), round(tv_from_kl(3.0), 4)
    (0.1, 0.9748)
    """
    if not nats >= 0.0:
        raise ValueError(f"a KL divergence is not negative, got {nats}")
    return min(math.sqrt(nats / 2.0), math.sqrt(-math.expm1(-nats)))


def _unit(what: str, value: float, top: float) -> None:
    if not 0.0 <= value <= top + 1e-12:
        raise ValueError(f"{what} must lie in [0, {top:.4g}], got {value}")
