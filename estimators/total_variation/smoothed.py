"""The one distance of this family with an honest interval on both sides: TV after Gaussian smoothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import stats

from ..concentration import chernoff_upper, group_means
from ..estimate import Estimate
from ..inputs import Array, FloatArray, Groups, Seed, TwoSample, as_generator, as_two_sample, check_confidence
from .classifier import DEFAULT_SPLIT, certify_hits, two_sided_bound
from .scorers import DEFAULT_FAMILIES, advantage, choose, fit_candidates
from .splits import Split, split_by_group

_NEIGHBOUR_ROWS = 1000


def tv_smoothed(
    source: Array,
    target: Array,
    *,
    groups: Groups | None = None,
    sigma: float | None = None,
    scale: float = 0.5,
    families: Sequence[str] = DEFAULT_FAMILIES,
    split: Sequence[float] = DEFAULT_SPLIT,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Two-sided interval for TV_sigma = TV(P * N(0, sigma^2 I), Q * N(0, sigma^2 I)) <= TV, from pairs.

    Below: noise is added to every row, and a classifier is certified on it as in `tv_classifier`, at alpha/2.
    Above, for any coupling of P and Q, hence for the pairs (a, b) at hand, by convexity [DERIVED],

        TV_sigma <= E[2 Phi(|a - b| / (2 sigma)) - 1],

    certified at alpha/2 by the Chernoff-Hoeffding bound for values in [0, 1] (one value a group, its mean). The lower
    side sees the marginal gap and the upper one how well pairs are aligned: they may be far apart for good reason.
    Upper bounds shrink as sigma grows, since the distance itself does; sigma is part of the estimand, so state it.

    Args:
        source, target: pairs, [n, d] each; numpy or torch. The upper bound is of these pairs; unpaired rows of equal
            number form a valid, but loose, coupling.
        groups: one label per pair.
        sigma: noise scale in the units of the features; fix it before seeing the data. Without it, `scale` times the
            median distance to the nearest neighbour within a modality, measured on the fit part, which is then kept
            out of both bounds.
        scale: used without sigma; 1/4, 1/2 and 1 are customary.
        families, split, confidence, seed: as for `tv_classifier`.

    Returns:
        An ``interval`` in [0, 1]; `value` is its midpoint. Should the two bounds cross (probability at most
        1 - confidence), the interval is [0, 1] and the note says so.

    Degenerate input: identical pairs give a high end of order 1/n. Without sigma, features whose nearest neighbours
    coincide (constant features, duplicates) have no scale: ValueError that asks for sigma. NaN, mismatched pairs, fewer
    than 4 groups: ValueError.

    >>> import numpy as np
    >>> from estimators import tv_smoothed
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(2000, 4))
    >>> e = tv_smoothed(x, x + 0.25, sigma=1.0, families=["ridge"])  # truth: shift 0.5, deviation sqrt(2): 0.140
    >>> e.low < 0.140 < e.high < 0.25
    True
    """
    alpha, rng = check_confidence(confidence), as_generator(seed)
    data = as_two_sample(source, target, True, groups)
    if (sigma is not None and not sigma > 0.0) or not scale > 0.0:
        raise ValueError(f"sigma and scale must be positive, got {sigma} and {scale}")
    parts = split_by_group(data, split, rng)
    fixed = sigma is not None
    noise = float(sigma) if sigma is not None else scale * _nearest_neighbour_scale(parts.fit.data, rng)
    held_out = np.isin(data.source_groups, parts.fit.data.source_groups, invert=True)
    use = np.ones(len(data.source), bool) if fixed else held_out
    high, units = coupling_bound(data.source[use], data.target[use], data.source_groups[use], noise, alpha / 2)
    noisy = Split(*(replace(part, data=_noised(part.data, noise, rng)) for part in parts))
    best = choose(fit_candidates(noisy.fit, families, rng), noisy.select, advantage)
    low = two_sided_bound(*certify_hits(best, noisy.certify.data, rng), alpha / 2)
    name = f"tv_smoothed[sigma {noise:.3g}, {best.name}]"
    if low > high:
        return Estimate(0.5, 0.0, 1.0, confidence, units, "interval", name, "bounds crossed: nothing is claimed")
    return Estimate(0.5 * (low + high), low, high, confidence, units, "interval", name)


def coupling_bound(
    source: FloatArray,
    target: FloatArray,
    codes: np.ndarray[tuple[int], np.dtype[np.int64]],
    sigma: float,
    alpha: float,
) -> tuple[float, int]:
    """The certified upper side and the number of groups behind it."""
    distances = np.linalg.norm(source - target, axis=1)
    values = group_means(2.0 * stats.norm.cdf(distances / (2.0 * sigma)) - 1.0, codes)
    return chernoff_upper(float(values.mean()), values.size, alpha), values.size


def _noised(data: TwoSample, sigma: float, rng: np.random.Generator) -> TwoSample:
    return replace(
        data,
        source=data.source + sigma * rng.standard_normal(data.source.shape),
        target=data.target + sigma * rng.standard_normal(data.target.shape),
    )


def _nearest_neighbour_scale(data: TwoSample, rng: np.random.Generator) -> float:
    """Mean over the two modalities of the median distance to the nearest row of another group."""
    medians = []
    for x, codes in ((data.source, data.source_groups), (data.target, data.target_groups)):
        rows = rng.permutation(len(x))[:_NEIGHBOUR_ROWS]
        z, labels = x[rows], codes[rows]
        squares = (z**2).sum(1)
        distances = np.maximum(squares[:, None] + squares[None, :] - 2.0 * z @ z.T, 0.0)
        distances[labels[:, None] == labels[None, :]] = np.inf
        nearest = distances.min(1)
        if np.isfinite(nearest).any():
            medians.append(float(np.sqrt(np.median(nearest[np.isfinite(nearest)]))))
    spread = max(float(np.sqrt(data.source.var(0).sum())), float(np.sqrt(data.target.var(0).sum())))
    # Rounding in the expanded square leaves about 1e-7 of the spread where distances are truly 0.
    if not medians or float(np.mean(medians)) <= 1e-6 * (spread + 1e-300):
        raise ValueError("nearest neighbours coincide, so the data give no noise scale: pass sigma")
    return float(np.mean(medians))
