"""Uncertainty by groups: block jackknife, bootstrap of group means, permutations that respect groups.

Why the jackknife for U-statistics (debiased HSIC and CKA, MMD): the naive bootstrap draws a row twice and then counts
the pair (row, its copy) as if it were two independent rows: the diagonal, which the estimator had removed, is back.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from .inputs import FloatArray, IntArray

_BLOCK = 2**16  # draws at a time, which stay near the processor


def jackknife_blocks(codes: IntArray, count: int, rng: np.random.Generator) -> IntArray:
    """A block label for each row: whole groups, dealt at random to at most `count` blocks of about equal size."""
    groups = np.unique(codes).size
    count = min(count, groups)
    block_of_group = np.empty(groups, np.int64)
    block_of_group[rng.permutation(groups)] = np.arange(groups) % count
    return block_of_group[np.unique(codes, return_inverse=True)[1]]


def jackknife_interval(value: float, left_out: Sequence[float], confidence: float) -> tuple[float, float]:
    """``value -+ t sqrt((B - 1) / B sum (theta_b - mean)^2)`` from B values with one block left out [STD] (asymptotic).

    >>> low, high = jackknife_interval(0.0, [-1.0, 1.0], 0.95)
    >>> round(high, 4) == float(round(stats.t.ppf(0.975, 1), 4))
    True
    """
    thetas = np.asarray(left_out, float)
    count = thetas.size
    if count < 2 or not np.isfinite(thetas).all():
        return -math.inf, math.inf
    error = math.sqrt((count - 1) / count * float(((thetas - thetas.mean()) ** 2).sum()))
    radius = float(stats.t.ppf(0.5 + confidence / 2, count - 1)) * error
    return value - radius, value + radius


def bootstrap_weights(groups: int, resamples: int, rng: np.random.Generator) -> FloatArray:
    """Shares of each group in each resample, [resamples, groups]; every row sums to 1."""
    drawn = rng.integers(0, groups, size=(resamples, groups)) + groups * np.arange(resamples)[:, None]
    return np.bincount(drawn.ravel(), minlength=resamples * groups).reshape(resamples, groups) / groups


def bootstrap_mean(
    values: FloatArray, confidence: float, resamples: int, rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile interval of the mean of independent values (asymptotic)."""
    tail = (1.0 - confidence) / 2
    rows = max(1, _BLOCK // values.size)
    sizes = [min(rows, resamples - start) for start in range(0, resamples, rows)]
    drawn = (rng.integers(0, values.size, size=(size, values.size)) for size in sizes)
    means = np.concatenate([values[places].mean(1) for places in drawn])
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return float(low), float(high)


def permute_groups(codes: IntArray, rng: np.random.Generator) -> IntArray:
    """A random row order in which whole groups change places with groups of the same size.

    Under the null that pairs are exchangeable between groups, such orders are equally likely, so permutation p-values
    are exact for any n. Without groups it is a plain permutation.

    Raises:
        ValueError: no two groups of one size, so that nothing can be exchanged (one group only, say).
    """
    inverse, sizes = np.unique(codes, return_inverse=True, return_counts=True)[1:]
    if sizes.max() == 1 and sizes.size > 1:
        return rng.permutation(codes.size)
    rows = np.split(np.argsort(inverse, kind="stable"), np.cumsum(sizes)[:-1])
    order = np.arange(codes.size)
    exchanged = False
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        exchanged |= members.size > 1
        for place, taken in zip(members, rng.permutation(members), strict=True):
            order[rows[place]] = rows[taken]
    if not exchanged:
        raise ValueError("no two groups have the same size: no permutation leaves the grouping as it is")
    return order


def permutation_p_value(observed: float, null: FloatArray, scale: float = 0.0) -> float:
    """``(1 + #{null >= observed}) / (1 + draws)``: never zero, and exact when the draws are exchangeable [1].

    Values that differ by rounding, 1e-12 of themselves or of `scale` (what was summed), count as equal.

    [1] Phipson, Smyth (2010). Permutation p-values should never be zero.

    >>> permutation_p_value(3.0, np.array([1.0, 2.0, 4.0]))
    0.5
    """
    # A value that equals the observed one up to rounding counts as reached, which is the safe side.
    slack = 1e-12 * max(scale, float(np.abs(null).max(initial=0.0)), abs(observed))
    return float((1 + (null >= observed - slack).sum()) / (1 + null.size))
