"""A held-out one-dimensional score and the largest gap between its two distribution functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from ..concentration import dkw_radius
from ..estimate import Estimate, clipped
from ..inputs import Array, FloatArray, Groups, Seed, as_generator, as_two_sample, check_confidence
from .classifier import DEFAULT_SPLIT
from .scorers import DEFAULT_FAMILIES, choose, fit_candidates
from .splits import independent_units, one_row_per_group, split_by_group


def tv_threshold(
    source: Array,
    target: Array,
    *,
    paired: bool,
    groups: Groups | tuple[Groups, Groups] | None = None,
    score: Callable[[FloatArray], FloatArray] | None = None,
    families: Sequence[str] = DEFAULT_FAMILIES,
    estimand: Literal["tv", "thresholds"] = "tv",
    split: Sequence[float] = DEFAULT_SPLIT,
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Bound TV by the best threshold of a held-out score, over all thresholds at once.

    With F_P, F_Q the distribution functions of the score, ``D = sup_t F_P(t) - F_Q(t) <= TV``. On n_s and n_t certify
    groups (one row each) the sample's D errs by at most ``sqrt(log(2/alpha) / 2 n_s) + sqrt(log(2/alpha) / 2 n_t)``,
    a one-sided DKW band on each side at alpha/2 [1], whatever the dependence between the sides. The threshold needs no
    further penalty: the band is uniform. Better than a classifier whose own threshold is ill placed; otherwise it pays
    more slack.

    Args:
        source, target: [n, d] and [m, d]; numpy or torch.
        paired, groups, split, seed: as for `tv_classifier`.
        score: a function [k, d] -> [k], larger for target, fixed before these data were seen. All groups then
            certify. Without it a score is learned on the fit part and chosen on the select part.
        families: candidates for the learned score.
        estimand: ``"tv"`` gives a lower bound on TV; ``"thresholds"`` a two-sided interval for D itself, the TV that
            thresholds of this score can see (each side then gets alpha/4).

    Returns:
        A ``lower bound`` (or ``interval``) in [0, 1]; `value` is the sample's D, biased upwards by about 1/sqrt(n).

    Degenerate input: as for `tv_classifier`; constant features give value 0, low 0.

    [1] Massart (1990). The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality.

    >>> import numpy as np
    >>> from estimators import tv_threshold
    >>> rng = np.random.default_rng(0)
    >>> x, y = rng.normal(size=(500, 1)), rng.normal(2.0, 1.0, size=(500, 1))
    >>> e = tv_threshold(x, y, paired=False, score=lambda z: z[:, 0])
    >>> e.low < 0.6827 < e.high and e.low > 0.4
    True
    """
    alpha, rng = check_confidence(confidence), as_generator(seed)
    data = as_two_sample(source, target, paired, groups)
    name = "given score"
    if score is None:
        parts = split_by_group(data, split, rng)
        best = choose(fit_candidates(parts.fit, families, rng), parts.select, largest_gap)
        data, score, name = parts.certify.data, best.score, best.name
    rows, columns = one_row_per_group(data.source_groups, rng), one_row_per_group(data.target_groups, rng)
    gap = largest_gap(_scores(score, data.source[rows]), _scores(score, data.target[columns]))
    each = alpha / 2 if estimand == "tv" else alpha / 4
    radius = dkw_radius(rows.size, each) + dkw_radius(columns.size, each)
    units = independent_units(data)
    if estimand == "tv":
        low = max(0.0, gap - radius)
        return Estimate(gap, low, 1.0, confidence, units, "lower bound", f"tv_threshold[{name}]")
    if estimand != "thresholds":
        raise ValueError(f"estimand must be 'tv' or 'thresholds', got {estimand!r}")
    low, high = max(0.0, gap - radius), min(1.0, gap + radius)
    return Estimate(clipped(gap, low, high), low, high, confidence, units, "interval", f"tv_thresholds[{name}]")


def _scores(score: Callable[[FloatArray], FloatArray], x: FloatArray) -> FloatArray:
    values = np.asarray(score(x), float)
    if values.shape != (len(x),) or not np.isfinite(values).all():
        raise ValueError(f"score must give one finite number per row, got shape {list(values.shape)}")
    return values


def largest_gap(source_scores: FloatArray, target_scores: FloatArray) -> float:
    """``sup_t F_source(t) - F_target(t)`` of two samples, in [0, 1].

    >>> largest_gap(np.array([0.0, 1.0]), np.array([1.0, 2.0]))
    0.5
    """
    points = np.concatenate([source_scores, target_scores])
    below_source = np.searchsorted(np.sort(source_scores), points, side="right") / source_scores.size
    below_target = np.searchsorted(np.sort(target_scores), points, side="right") / target_scores.size
    return max(0.0, float((below_source - below_target).max()))
