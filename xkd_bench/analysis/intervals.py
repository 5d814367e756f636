"""Intervals and paired tests for scores whose label draws are nested in seeds. Pure functions of arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TINY = 1e-12
"""Accuracies are multiples of 1 / n_test: a spread below this is rounding of the arithmetic, not of the data."""


@dataclass(frozen=True)
class Nested:
    """Mean and spread of scores x[..., seed, draw], NaN where missing. All fields have shape [...].

    mean: mean over seeds of each seed's mean over its draws (NaN where there is no score).
    sd_seeds: standard deviation of the seeds' means (n - 1); NaN below two seeds.
    sd_draws: pooled standard deviation of draws within a seed; NaN where no seed has two draws.
    n_seeds, n_draws, n_scores: seeds with a score, fewest draws of such a seed, scores in all.
    n, sd: count and standard deviation of the units that an interval or a test rests on: the seeds' means where
        there are two or more seeds, otherwise the draws of the one seed.
    """

    mean: Floats
    sd_seeds: Floats
    sd_draws: Floats
    n_seeds: Ints
    n_draws: Ints
    n_scores: Ints
    n: Ints
    sd: Floats


def nested(x: Floats) -> Nested:
    """Summarise x: [..., seeds, draws], NaN where there is no score."""
    there = np.isfinite(x)
    draws = there.sum(-1)
    present = draws > 0
    seed_mean = _ratio(np.where(there, x, 0.0).sum(-1), draws)
    n_seeds = present.sum(-1)
    mean = _ratio(np.where(present, seed_mean, 0.0).sum(-1), n_seeds)
    between = np.where(present, (seed_mean - mean[..., None]) ** 2, 0.0).sum(-1)
    within = np.where(there, (x - seed_mean[..., None]) ** 2, 0.0).sum((-1, -2))
    n_scores = draws.sum(-1)
    n_draws = np.where(present, draws, np.iinfo(np.int64).max).min(-1, initial=np.iinfo(np.int64).max)
    n_draws = np.where(n_seeds > 0, n_draws, 0)
    sd_seeds = np.sqrt(_ratio(between, n_seeds - 1))
    sd_draws = np.sqrt(_ratio(within, n_scores - n_seeds))
    over_seeds = n_seeds > 1
    n = np.where(over_seeds, n_seeds, n_scores)
    sd = np.where(over_seeds, sd_seeds, sd_draws)
    return Nested(mean, sd_seeds, sd_draws, n_seeds, n_draws, n_scores, n, sd)


def half_width(sd: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> Floats:
    """Half the Student t interval of a mean: t(1 - (1 - confidence) / 2; n - 1) · sd / √n. NaN below two units.

    With x[s, r] = μ + a[s] + b[s, r], a and b normal and independent and equally many draws r in every seed s, the
    seeds' means are independent N(μ, σ_a² + σ_b² / R): the interval over them is exact, however large σ_a is.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence}")
    n, sd = np.asarray(n, dtype=float), np.asarray(sd, dtype=float)
    few = n < 2
    safe = np.where(few, 2.0, n)
    return np.where(few, np.nan, stdtrit(safe - 1, 0.5 + confidence / 2) * sd / np.sqrt(safe))


def paired_p(mean: ArrayLike, sd: ArrayLike, n: ArrayLike) -> Floats:
    """Two-sided p of 'the mean difference is zero', from n paired differences with this mean and sd.

    Student's t, t = mean · √n / sd with n - 1 degrees of freedom; NaN (undecided) for n < 2. Without any spread t has
    no meaning, so: all differences zero, p = 1; all equal and not zero, the exact sign test, p = 2^(1 - n), which
    assumes no normality.
    """
    mean, sd, n = (np.asarray(v, dtype=float) for v in (mean, sd, n))
    few = n < 2
    safe_n = np.where(few, 2.0, n)
    flat = ~(sd > TINY)
    t = np.abs(mean) * np.sqrt(safe_n) / np.where(flat, 1.0, sd)
    p = np.where(flat, np.where(np.abs(mean) <= TINY, 1.0, 2.0 ** (1 - safe_n)), 2 * stdtr(safe_n - 1, -t))
    return np.where(few, np.nan, p)


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down adjusted p-values of p: [k]; NaN (no test was made) stays NaN and does not count in k.

    p_(i) becomes max over j <= i of min(1, (k - j + 1) p_(j)). Holm, Scand. J. Statist. 6 (1979) 65-70.
    """
    p = np.asarray(p, dtype=float)
    out = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(factor * p[order]), 1.0)
    return out


def _ratio(top: NDArray[Any], bottom: NDArray[Any]) -> Floats:
    """top / bottom, NaN where bottom is not positive."""
    out = np.full(np.broadcast(top, bottom).shape, np.nan)
    np.divide(top, bottom, out=out, where=np.asarray(bottom > 0))
    return out
