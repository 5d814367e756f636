"""Distances of means, and a held-out classifier's A-distance: covariates, with the bound on TV that the first gives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..concentration import clopper_pearson_lower, clopper_pearson_upper
from ..estimate import Estimate, clipped
from ..inputs import Array, FloatArray, Groups, IntArray, Seed, TwoSample, as_generator, as_two_sample, check_confidence
from ..resampling import bootstrap_weights
from .classifier import DEFAULT_SPLIT, certify_hits
from .scorers import advantage, choose, fit_candidates
from .splits import independent_units, split_by_group, sum_of_means


def modality_gap(
    source: Array,
    target: Array,
    *,
    paired: bool,
    groups: Groups | tuple[Groups, Groups] | None = None,
    normalise: bool = True,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """The modality gap ``|E_P z - E_Q z|``, by default of rows scaled to unit length (then in [0, 2]) [1].

    The plain distance of sample means is too large by about ``tr(Cov) / n`` in the square; `value` subtracts that (a
    U-statistic) and is floored at the interval's low end. The interval is ``|difference of means| -+ r``, r the
    bootstrap quantile, over groups, of how far the resampled difference lies from the sample's. By the triangle
    inequality it covers at least at its level for large n, at a gap of 0 too, where a percentile bootstrap fails.

    Args:
        source, target, paired, groups: as for `estimators.tv_classifier`.
        normalise: scale rows to unit length first (zero rows stay zero). Otherwise the units are the features'.
        resamples: bootstrap draws.
        seed: integer or numpy Generator.

    Returns:
        An ``interval`` (asymptotic, conservative). For TV itself use `tv_modality_gap`.

    Degenerate input: constant features give the exact distance with an interval of length 0 (up to rounding). NaN,
    mismatched pairs, fewer than 4 groups: ValueError.

    [1] Liang, Zhang, Kwon, Yeung, Zou (2022). Mind the gap.

    >>> import numpy as np
    >>> from estimators import modality_gap
    >>> z = np.eye(8)[np.arange(400) % 4]
    >>> round(modality_gap(z, np.roll(z, 4, axis=1), paired=True).value, 2)
    0.7
    """
    check_confidence(confidence)
    if resamples < 1:
        raise ValueError(f"resamples must be positive, got {resamples}")
    data = as_two_sample(source, target, paired, groups)
    data = _unit_rows(data) if normalise else data
    rng = as_generator(seed)
    units = independent_units(data)
    if paired:
        terms = _mean_rows(data.target, data.source_groups) - _mean_rows(data.source, data.source_groups)
        gap = terms.mean(0)
        noise = _noise(terms)
        shifts = bootstrap_weights(len(terms), resamples, rng) @ (terms - gap)
    else:
        left, right = _mean_rows(data.source, data.source_groups), _mean_rows(data.target, data.target_groups)
        gap = right.mean(0) - left.mean(0)
        noise = _noise(left) + _noise(right)
        shifts = _unpaired_shifts(data, left, right, resamples, rng)
    radius = _upper_quantile(np.linalg.norm(shifts, axis=1), confidence) * (units / (units - 1)) ** 0.5
    length = float(np.linalg.norm(gap))
    value = np.sqrt(max(0.0, length**2 - noise))
    low, high = max(0.0, length - radius), length + radius
    return Estimate(clipped(float(value), low, high), low, high, confidence, units, "interval", "modality_gap")


def _upper_quantile(values: FloatArray, confidence: float) -> float:
    """The order statistic that a further draw exceeds with chance 1 - confidence or less; the largest, if too few."""
    rank = min(values.size, int(np.ceil((values.size + 1) * confidence)))
    return float(np.sort(values)[rank - 1])


def _unpaired_shifts(
    data: TwoSample, left: FloatArray, right: FloatArray, resamples: int, rng: np.random.Generator
) -> FloatArray:
    """Bootstrap deviations; groups with rows on both sides are drawn once for both."""
    codes = np.union1d(data.source_groups, data.target_groups)
    counts = bootstrap_weights(codes.size, resamples, rng)
    shifts = np.zeros((resamples, left.shape[1]))
    for sign, means, groups in ((-1.0, left, data.source_groups), (1.0, right, data.target_groups)):
        share = counts[:, np.isin(codes, groups)]
        total = share.sum(1, keepdims=True)
        share = np.where(total > 0, share / np.where(total > 0, total, 1.0), 1.0 / share.shape[1])
        shifts += sign * (share @ (means - means.mean(0)))
    return shifts


def _unit_rows(data: TwoSample) -> TwoSample:
    def scaled(x: FloatArray) -> FloatArray:
        norms = np.linalg.norm(x, axis=1, keepdims=True)
        return x / np.where(norms > 0, norms, 1.0)

    return TwoSample(scaled(data.source), scaled(data.target), data.source_groups, data.target_groups, data.paired)


def _mean_rows(x: FloatArray, codes: IntArray) -> FloatArray:
    """Mean row of each group, [G, d]."""
    inverse, counts = np.unique(codes, return_inverse=True, return_counts=True)[1:]
    sums = np.zeros((counts.size, x.shape[1]))
    np.add.at(sums, inverse, x)
    return sums / counts[:, None]


def _noise(means: FloatArray) -> float:
    """Expected squared length of the error of their mean."""
    return float(means.var(0, ddof=1).sum() / len(means))


def tv_modality_gap(
    source: Array,
    target: Array,
    *,
    paired: bool,
    groups: Groups | tuple[Groups, Groups] | None = None,
    split: Sequence[float] = (0.2, 0.1, 0.7),
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Lower confidence bound on TV from the modality gap: for unit rows ``TV >= |E_P z - E_Q z| / 2`` [DERIVED].

    For a unit direction u, ``z -> u . z / 2`` lies in [-1/2, 1/2], so it is a witness; u is the difference of means of
    the fit and select parts, and the certify part bounds its expectation (empirical Bernstein, all rows of a group as
    their mean). Rows are scaled to unit length, a map, which can only lower TV.

    Args and errors: as for `estimators.tv_classifier`.

    Returns:
        A ``lower bound`` in [0, 1]; `value` is half the certified difference along u, floored at 0.

    Degenerate input: as for `tv_classifier`; where the two means agree exactly, u is the first axis and the bound 0.

    >>> import numpy as np
    >>> from estimators import tv_modality_gap
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(3.0, 1.0, size=(900, 4)), rng.normal(-3.0, 1.0, size=(900, 4))
    >>> tv_modality_gap(x, y, paired=False).low > 0.7
    True
    """
    alpha, rng = check_confidence(confidence), as_generator(seed)
    data = _unit_rows(as_two_sample(source, target, paired, groups))
    parts = split_by_group(data, split, rng)
    before = [np.concatenate([getattr(p.data, side) for p in parts[:2]]).mean(0) for side in ("source", "target")]
    direction = before[1] - before[0]
    length = float(np.linalg.norm(direction))
    u = direction / length if length > 0 else np.eye(data.source.shape[1])[0]
    held = parts.certify.data
    total, low, _ = sum_of_means(held, 0.5 - held.source @ u / 2, 0.5 + held.target @ u / 2, 1.0, alpha)
    low = clipped(low - 1.0, 0.0, 1.0)
    value = clipped(total - 1.0, low, 1.0)
    return Estimate(value, low, 1.0, confidence, independent_units(held), "lower bound", "tv_modality_gap")


def proxy_a_distance(
    source: Array,
    target: Array,
    *,
    paired: bool,
    groups: Groups | tuple[Groups, Groups] | None = None,
    families: Sequence[str] = ("logistic",),
    split: Sequence[float] = DEFAULT_SPLIT,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Proxy A-distance ``2 (1 - 2 error)`` of a held-out classifier, = 2 (accuracy + accuracy - 1) [1].

    With the best classifier of a class H it is 2 TV_H, so half of it reads as the TV that H can see. The error is that
    of groups which neither fitting nor choice has seen; on its own training rows it would mean nothing.

    Args: as for `estimators.tv_classifier`.

    Returns:
        A ``proxy``, floored at 0, at most 2. Its range is for the expectation over *this* classifier's errors, exact
        (Clopper-Pearson with Bonferroni over two sides and two directions).

    Degenerate input: as for `tv_classifier`; constant features give 0.

    [1] Ben-David, Blitzer, Crammer, Pereira (2007). Analysis of representations for domain adaptation.

    >>> import numpy as np
    >>> from estimators import proxy_a_distance
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(400, 2)), rng.normal(9.0, 1.0, size=(400, 2))
    >>> proxy_a_distance(x, y, paired=False).value
    2.0
    """
    alpha, rng = check_confidence(confidence), as_generator(seed)
    parts = split_by_group(as_two_sample(source, target, paired, groups), split, rng)
    best = choose(fit_candidates(parts.fit, families, rng), parts.select, advantage)
    hits = certify_hits(best, parts.certify.data, rng)
    value = 2.0 * float(hits[0].mean() + hits[1].mean() - 1.0)
    low = 2.0 * (sum(clopper_pearson_lower(int(h.sum()), h.size, alpha / 4) for h in hits) - 1.0)
    high = 2.0 * (sum(clopper_pearson_upper(int(h.sum()), h.size, alpha / 4) for h in hits) - 1.0)
    low, high = max(0.0, low), max(0.0, high)
    name = f"proxy_a_distance[{best.name}]"
    units = independent_units(parts.certify.data)
    return Estimate(clipped(value, low, high), low, high, confidence, units, "proxy", name)
