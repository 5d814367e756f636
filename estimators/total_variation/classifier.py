"""The primary lower bound: a held-out classifier with exact binomial bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..concentration import clopper_pearson_lower
from ..estimate import Estimate, clipped
from ..inputs import Array, Groups, Seed, TwoSample, as_generator, as_two_sample, check_confidence
from .scorers import DEFAULT_FAMILIES, Candidate, advantage, choose, fit_candidates
from .splits import Split, independent_units, one_row_per_group, split_by_group

DEFAULT_SPLIT = (0.4, 0.2, 0.4)


def tv_classifier(
    source: Array,
    target: Array,
    *,
    paired: bool,
    groups: Groups | tuple[Groups, Groups] | None = None,
    families: Sequence[str] = DEFAULT_FAMILIES,
    pooled: bool = False,
    split: Sequence[float] = DEFAULT_SPLIT,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Lower confidence bound on TV from a classifier of source against target, certified on groups that it never saw.

    For any classifier c fixed beforehand, ``TV >= P(c = source) + Q(c = target) - 1``. Candidates are fit on the first
    part of the groups, one is chosen on the second, and on the third, one row per group and side,

        low = max(0, CP(k_s, n_s, alpha/2) + CP(k_t, n_t, alpha/2) - 1),

    CP the one-sided Clopper-Pearson bound [1]. The halves of alpha (Bonferroni) keep it valid whatever the dependence
    between sides, pairs included [DERIVED]; the two-bound form is that of [2]. `pooled` replaces it by
    ``2 CP(k_s + k_t, 2m, alpha) - 1``, about 1.7 times less slack, but valid for independent sides only: with paired
    data its coverage falls to 0.88 at a nominal 0.95, so paired data are refused.

    Only lower bounds can be honest: see the package page for that, and for why scoring on the training rows ("TV" 0.99
    for a truth of 0 at d = 256, n = 200) and histograms are not offered.

    Args:
        source, target: [n, d] and [m, d]; numpy or torch, CPU or GPU (fitting is on the CPU).
        paired: whether row i of both belong together.
        groups: photo, clip or scene of each row; see `estimators.inputs.as_two_sample`.
        families: candidates: some of ``ridge`` (closed form, fast), ``logistic``, ``mlp``, ``trees``.
        pooled: the one-count bound, for unpaired data without shared groups.
        split: fractions of groups for fit, select, certify.
        confidence: of the bound.
        seed: integer or numpy Generator; decides the split and the fits.

    Returns:
        A ``lower bound`` on TV, a number in [0, 1]. `value` is the held-out advantage, floored at 0; it estimates what
        this classifier sees, and TV is larger. `n` counts certify groups of the smaller side.

    Degenerate input: constant features give 0; d > n and duplicated rows are fine (duplicates that are not
    independent need a group). NaN, different widths, mismatched pairs, fewer than 4 groups on a side: ValueError.

    [1] Clopper, Pearson (1934). [2] Michel, Naef, Meinshausen: high-probability lower bounds on total variation
    (code lorismichel/HPLB, estimator "bayes_finite_sample").

    >>> import numpy as np
    >>> from estimators import tv_classifier
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(400, 3)), rng.normal(2.0, 1.0, size=(400, 3))
    >>> tv_classifier(x, y, paired=False, families=["ridge"]).low > 0.7
    True
    """
    alpha, rng = check_confidence(confidence), as_generator(seed)
    data = as_two_sample(source, target, paired, groups)
    if pooled and (paired or data.shared):
        raise ValueError("the pooled bound is invalid for paired data and for groups on both sides: use pooled=False")
    parts = split_by_group(data, split, rng)
    best = choose(fit_candidates(parts.fit, families, rng), parts.select, advantage)
    return _certify(best, parts, pooled, alpha, rng)


def _certify(best: Candidate, parts: Split, pooled: bool, alpha: float, rng: np.random.Generator) -> Estimate:
    hits_source, hits_target = certify_hits(best, parts.certify.data, rng)
    if pooled:
        m = min(hits_source.size, hits_target.size)  # balanced counts; rows are in random order already
        low = pooled_bound(int(hits_source[:m].sum() + hits_target[:m].sum()), m, alpha)
        value = float(hits_source[:m].mean() + hits_target[:m].mean() - 1.0)
    else:
        low = two_sided_bound(hits_source, hits_target, alpha)
        value = float(hits_source.mean() + hits_target.mean() - 1.0)
    name = f"tv_classifier_pooled[{best.name}]" if pooled else f"tv_classifier[{best.name}]"
    units = independent_units(parts.certify.data)
    return Estimate(clipped(value, low, 1.0), low, 1.0, 1.0 - alpha, units, "lower bound", name)


def certify_hits(
    best: Candidate, data: TwoSample, rng: np.random.Generator
) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Whether the classifier is right, on one random row of each group, for source and for target, in random order."""
    rows = rng.permutation(one_row_per_group(data.source_groups, rng))
    columns = rng.permutation(one_row_per_group(data.target_groups, rng))
    return best.score(data.source[rows]) <= 0, best.score(data.target[columns]) > 0


def two_sided_bound(
    hits_source: np.ndarray[tuple[int], np.dtype[np.bool_]],
    hits_target: np.ndarray[tuple[int], np.dtype[np.bool_]],
    alpha: float,
) -> float:
    """Bonferroni Clopper-Pearson bound from two lists of hits, floored at 0; valid under any dependence of the two."""
    first = clopper_pearson_lower(int(hits_source.sum()), hits_source.size, alpha / 2)
    second = clopper_pearson_lower(int(hits_target.sum()), hits_target.size, alpha / 2)
    return max(0.0, first + second - 1.0)


def pooled_bound(successes: int, per_side: int, alpha: float) -> float:
    """``max(0, 2 CP(k, 2m, alpha) - 1)``: for independent sides of m rows each.

    >>> round(pooled_bound(180, 100, 0.05), 6)
    0.716021
    """
    return max(0.0, 2.0 * clopper_pearson_lower(successes, 2 * per_side, alpha) - 1.0)
