"""What a design could have seen: before a study, how many conditions; after one, what its silence means."""

from __future__ import annotations

from collections.abc import Sequence
from math import atanh, ceil, nan, sqrt, tanh

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import nct

from xkd_bench.analysis.permutation import association


def conditions_needed(rho: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """Conditions for two-sided level alpha to see a correlation rho with this power.

    Fisher's z: n = ((z(1 - α/2) + z(power)) / atanh ρ)² + 3. At 80 %: ρ = .5 → 30, .7 → 14, .8 → 10.

    Raises:
        ValueError: rho is 0, or not within -1..1.
    """
    if not 0 < abs(rho) < 1:
        raise ValueError(f"a correlation between -1 and 1 other than 0 is needed, got {rho}")
    return ceil((_both(power, alpha) / atanh(abs(rho))) ** 2 + 3)


def correlation_seen(n: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest |ρ| that n conditions see with this power (the inverse of `conditions_needed`); NaN below four."""
    return tanh(_both(power, alpha) / sqrt(n - 3)) if n > 3 else nan


def correlation_needed(n: int, alpha: float = 0.05) -> float:
    """The smallest |r| of n conditions that is significant by Student's t: t / √(t² + n - 2). NaN below three."""
    if n < 3:
        return nan
    t = float(stdtrit(n - 2, 1 - alpha / 2))
    return t / sqrt(t * t + n - 2)


def correlation_power(rho: float, n: float, alpha: float = 0.05) -> float:
    """Power of the two-sided test of n conditions to see a correlation rho, by Fisher's z; alpha below four."""
    if n <= 3:
        return alpha
    shift, edge = atanh(abs(rho)) * sqrt(n - 3), float(ndtri(1 - alpha / 2))
    return float(ndtr(shift - edge) + ndtr(-shift - edge))


def _both(power: float, alpha: float) -> float:
    return float(ndtri(1 - alpha / 2) + ndtri(power))


def slope_power(slope: float, se: float, df: float, alpha: float = 0.05) -> float:
    """Power of the two-sided t test of a slope whose standard error is se: noncentral t with δ = slope / se."""
    t = float(stdtrit(df, 1 - alpha / 2))
    return float(nct.sf(t, df, slope / se) + nct.cdf(-t, df, slope / se))


def slope_seen(
    gaps: ArrayLike, families: ArrayLike, residual_sd: float, power: float = 0.8, alpha: float = 0.05
) -> float:
    """The smallest |slope| that this design sees with this power: an intercept for each task, independent errors.

    gaps: [n]; families: [n], tasks. residual_sd: of gains about their task's line. se = sd / √Σ(gap - task's mean)²,
    n - tasks - 1 degrees of freedom. NaN where the gap does not vary or no degree of freedom is left.
    """
    x = np.asarray(gaps, dtype=float)
    codes = np.unique(np.asarray(families), return_inverse=True)[1]
    centred = x - (np.bincount(codes, x) / np.bincount(codes))[codes]
    df, spread = len(x) - int(codes.max()) - 2, float(centred @ centred)
    if df < 1 or spread <= 0:
        return nan
    se, most = residual_sd / sqrt(spread), 1.0
    while slope_power(most, 1.0, df, alpha) < power:
        most *= 1.5
    return se * float(brentq(lambda ratio: slope_power(ratio, 1.0, df, alpha) - power, 0, most))


def least_p(gaps: ArrayLike, gains: ArrayLike, families: ArrayLike | None = None) -> float:
    """The smallest two-sided p that a permutation test of this design can give, whatever the true relation."""
    return association(gaps, gains, families, rank=False).p_least


def permutation_power(
    sizes: Sequence[int], rho: float, alpha: float = 0.05, sims: int = 500, draws: int = 399, seed: int = 0
) -> float:
    """Power of the rank correlation within task: tasks of these sizes, bivariate normal with correlation rho within.

    By simulation: standard error at most √(.25 / sims).
    """
    rng = np.random.default_rng(seed)
    families = np.repeat(np.arange(len(sizes)), sizes)
    seen = 0
    for i in range(sims):
        x = rng.normal(size=len(families))
        y = rho * x + sqrt(1 - rho**2) * rng.normal(size=len(families))
        seen += association(x, y, families, draws=draws, seed=i).p <= alpha
    return seen / sims
