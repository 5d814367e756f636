"""Promises that only simulation, or an independent implementation, can check. Every setting is a simulation."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.report.frames import cells
from xkd_bench.analysis.compare import distinguish, summarise
from xkd_bench.analysis.intervals import half_width, holm, nested, paired_p

NAMES = ("cmc", "cmd", "cmst", "ssl", "cmc · random teacher")


def four_errors(p: float, n: int) -> float:
    """Four standard errors of a frequency p over n simulations."""
    return float(4 * np.sqrt(p * (1 - p) / n))


@pytest.mark.parametrize(("seeds", "draws", "between"), [(2, 10, 3.0), (3, 10, 1.0), (5, 3, 0.0), (10, 1, 1.0)])
def test_interval_covers_at_its_level_for_draws_nested_in_seeds(seeds: int, draws: int, between: float) -> None:
    n, rng = 20_000, np.random.default_rng(seeds)
    x = rng.normal(0, between, (n, seeds, 1)) + rng.normal(0, 1, (n, seeds, draws))
    found = nested(x)
    covered = np.mean(np.abs(found.mean) <= half_width(found.sd, found.n))
    assert covered == pytest.approx(0.95, abs=four_errors(0.95, n))


def test_interval_over_draws_ignoring_seeds_would_not_cover() -> None:
    """The design decision is needed: taking all scores as independent misses by far."""
    n, rng = 5_000, np.random.default_rng(0)
    x = (rng.normal(0, 1, (n, 3, 1)) + rng.normal(0, 1, (n, 3, 10))).reshape(n, 30)
    pooled = np.mean(np.abs(x.mean(1)) <= half_width(x.std(1, ddof=1), 30))
    assert pooled < 0.6


def test_summarise_covers_at_its_level() -> None:
    n, rng = 1_500, np.random.default_rng(7)
    x = 0.5 + rng.normal(0, 0.03, (n, 3, 1)) + rng.normal(0, 0.02, (n, 3, 4))
    summary = summarise(cells({"cmc": x}))
    assert len(summary) == n
    covered = summary["low"].le(0.5) & summary["high"].ge(0.5)
    assert covered.mean() == pytest.approx(0.95, abs=four_errors(0.95, n))


@pytest.mark.parametrize(("seeds", "draws"), [(4, 2), (1, 8)])
def test_distinguish_keeps_its_family_wise_level_though_the_best_is_picked_from_the_data(
    seeds: int, draws: int
) -> None:
    """All five variants are equally good: a setting with any mark is a false claim."""
    n, rng = 1_000, np.random.default_rng(seeds)
    shared = 0.5 + rng.normal(0, 0.05, (n, seeds, 1)) + rng.normal(0, 0.03, (n, seeds, draws))
    values = {name: shared + rng.normal(0, 0.01, shared.shape) for name in NAMES}
    verdicts = distinguish(cells(values))
    false = verdicts.assign(told=verdicts["status"] == "distinguishable").groupby("labels_per_class")["told"].any()
    assert len(false) == n
    assert false.mean() <= 0.05 + four_errors(0.05, n)


def test_holm_over_comparisons_with_the_best_only_would_claim_too_much() -> None:
    """Why the correction runs over all pairs: the same simulation, with the narrower family."""
    n, rng = 4_000, np.random.default_rng(5)
    x = rng.normal(0, 1, (n, 8, 20))
    best = x.mean(2).argmax(1)
    false = 0
    for scores, b in zip(x, best, strict=True):
        difference = scores[b] - np.delete(scores, b, axis=0)
        p = paired_p(difference.mean(1), difference.std(1, ddof=1), 20)
        false += bool((holm(p) < 0.05).any())
    assert false / n > 0.05 + four_errors(0.05, n)


def test_distinguish_has_power() -> None:
    n, rng = 100, np.random.default_rng(9)
    shared = 0.5 + rng.normal(0, 0.05, (n, 5, 4))
    values = {name: shared - 0.05 * i + rng.normal(0, 0.005, shared.shape) for i, name in enumerate(NAMES)}
    verdicts = distinguish(cells(values))
    assert (verdicts.loc[verdicts["variant"] == "cmc", "status"] == "best").all()
    assert (verdicts.loc[verdicts["variant"] != "cmc", "status"] == "distinguishable").mean() > 0.95


@pytest.mark.parametrize("k", [1, 2, 3, 10, 45])
def test_holm_agrees_with_statsmodels(k: int) -> None:
    rng = np.random.default_rng(k)
    for power in (1, 2, 4):
        p = np.round(rng.uniform(0, 1, k) ** power, 2)  # rounded, so that there are ties, zeros and ones
        assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm([0.01, np.nan, 0.04]) == pytest.approx([0.02, np.nan, 0.04], nan_ok=True)


@pytest.mark.parametrize("n", [2, 3, 10, 30])
def test_paired_p_agrees_with_scipy(n: int) -> None:
    d = np.random.default_rng(n).normal(0.3, 1, (20, n))
    assert paired_p(d.mean(1), d.std(1, ddof=1), n) == pytest.approx(stats.ttest_1samp(d, 0, axis=1).pvalue)


def test_paired_p_is_uniform_under_the_null() -> None:
    d = np.random.default_rng(3).normal(0, 1, (5_000, 4))
    p = paired_p(d.mean(1), d.std(1, ddof=1), 4)
    assert stats.kstest(p, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        half_width(1.0, 3, confidence)
