"""Confidence bounds for means that hold at every n, not only in the limit."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats

from .inputs import FloatArray


def clopper_pearson_lower(successes: int, trials: int, alpha: float) -> float:
    """Largest p with P(Bin(trials, p) >= successes) <= alpha: a one-sided lower bound on a proportion [STD] [1].

    It also holds for independent trials of unequal chances, as a bound on their mean [2].

    [1] Clopper, Pearson (1934). The use of confidence or fiducial limits illustrated in the case of the binomial.
    [2] Hoeffding (1956). On the distribution of the number of successes in independent trials.

    >>> round(clopper_pearson_lower(90, 100, 0.025), 6)
    0.823777
    """
    _check_counts(successes, trials, alpha)
    return 0.0 if successes == 0 else float(stats.beta.ppf(alpha, successes, trials - successes + 1))


def clopper_pearson_upper(successes: int, trials: int, alpha: float) -> float:
    """One-sided upper bound on a proportion: one minus the lower bound on failures [STD].

    >>> round(clopper_pearson_upper(0, 100, 0.05), 4)
    0.0295
    """
    return 1.0 - clopper_pearson_lower(trials - successes, trials, alpha)


def _check_counts(successes: int, trials: int, alpha: float) -> None:
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes of {trials} trials is impossible")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie in (0, 1), got {alpha}")


def hoeffding_radius(n: int, alpha: float) -> float:
    """One-sided radius sqrt(log(1/alpha) / 2n) for a mean of n independent values in [0, 1] [STD].

    >>> round(hoeffding_radius(48000, 0.05), 4)
    0.0056
    """
    return math.sqrt(math.log(1.0 / alpha) / (2 * n))


def dkw_radius(n: int, alpha: float) -> float:
    """One-sided uniform radius of an empirical distribution function: sqrt(log(1/alpha) / 2n) for alpha <= 1/2 [1].

    [1] Massart (1990). The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality.

    >>> round(dkw_radius(200, 0.025), 4)
    0.096
    """
    if not 0.0 < alpha <= 0.5:
        raise ValueError(f"the one-sided DKW bound needs alpha in (0, 0.5], got {alpha}")
    return hoeffding_radius(n, alpha)


def bernstein_radius(variance: float, n: int, alpha: float, width: float = 1.0) -> float:
    """One-sided empirical Bernstein radius for the mean of n independent values in an interval of length `width` [1].

    ``sqrt(2 V log(2/alpha) / n) + 7 width log(2/alpha) / (3 (n - 1))``, V the sample variance (divisor n - 1).

    [1] Maurer, Pontil (2009). Empirical Bernstein bounds and sample-variance penalization. Theorem 4.

    >>> round(bernstein_radius(0.0, 100, 0.05), 4)
    0.0869
    """
    if n < 2:
        return width
    log_term = math.log(2.0 / alpha)
    return math.sqrt(2.0 * variance * log_term / n) + 7.0 * width * log_term / (3.0 * (n - 1))


def chernoff_upper(mean: float, n: int, alpha: float) -> float:
    """Upper bound on the expectation of n independent values in [0, 1] with this sample mean [1].

    The largest q with ``n * kl(mean, q) <= log(1/alpha)``, kl the relative entropy of two coins. Never wider than
    Hoeffding's bound, and of order 1/n where the mean is near 0.

    [1] Hoeffding (1963). Probability inequalities for sums of bounded random variables. Theorem 1.

    >>> round(chernoff_upper(0.0, 100, 0.05), 4)
    0.0295
    """
    mean = min(max(mean, 0.0), 1.0)
    budget = math.log(1.0 / alpha) / n
    low, high = mean, 1.0
    for _ in range(60):  # bisection: 60 halvings reach the float64 grid
        middle = 0.5 * (low + high)
        if _coin_divergence(mean, middle) > budget:
            high = middle
        else:
            low = middle
    return high


def chernoff_lower(mean: float, n: int, alpha: float) -> float:
    """Lower bound on the expectation, by symmetry.

    >>> round(chernoff_lower(1.0, 100, 0.05), 4)
    0.9705
    """
    return 1.0 - chernoff_upper(1.0 - mean, n, alpha)


def _coin_divergence(p: float, q: float) -> float:
    if q >= 1.0:
        return math.inf if p < 1.0 else 0.0
    left = p * math.log(p / q) if p > 0.0 else 0.0
    return left + ((1.0 - p) * math.log((1.0 - p) / (1.0 - q)) if p < 1.0 else 0.0)


def bernstein_interval(values: FloatArray, alpha: float, width: float = 1.0) -> tuple[float, float, float]:
    """Mean, and empirical Bernstein bounds below and above it; each holds alone with probability 1 - alpha."""
    mean = float(values.mean())
    variance = float(values.var(ddof=1)) if values.size > 1 else 0.0
    radius = bernstein_radius(variance, values.size, alpha, width)
    return mean, mean - radius, mean + radius


def student_interval(values: FloatArray, confidence: float) -> tuple[float, float, float]:
    """Mean of independent values and its two-sided Student interval (asymptotic unless they are normal)."""
    mean = float(values.mean())
    if values.size < 2:
        return mean, -math.inf, math.inf
    radius = stats.t.ppf(0.5 + confidence / 2, values.size - 1) * float(values.std(ddof=1)) / math.sqrt(values.size)
    return mean, mean - float(radius), mean + float(radius)


def group_means(values: FloatArray, codes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> FloatArray:
    """One mean for each group that occurs, [G].

    >>> group_means(np.array([0.0, 1.0, 5.0]), np.array([0, 0, 7])).tolist()
    [0.5, 5.0]
    """
    inverse = np.unique(codes, return_inverse=True)[1]
    return np.bincount(inverse, weights=values) / np.bincount(inverse)
