"""The rule of verdicts: closed forms, its mirror image, and how often it errs."""

from math import inf, isnan, nan

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import DescrStatsW

from xkd_bench.analysis.verdicts import (
    Evidence,
    Region,
    as_printed,
    benjamini_hochberg,
    edge_p,
    every,
    missing,
    pooled,
    t_evidence,
)

ABOVE, WITHIN = Region(low=2), Region(-1, 1)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(2.1, 3, "supported"), (1, 3, "undecided"), (0, 1.9, "refuted"), (2, 2, "supported"), (-inf, inf, "undecided")],
)
def test_an_interval_speaks_only_when_it_is_whole_on_one_side(low, high, said):
    assert ABOVE.judge(low, high) == said
    mirrored = {"supported": "refuted", "refuted": "supported", "undecided": "undecided"}
    if low != high:
        assert Region(high=2).judge(low, high) == mirrored[said]


def test_p_of_a_one_sided_claim_is_student_t():
    x = np.random.default_rng(0).normal(2.5, 1, 12)
    se = x.std(ddof=1) / np.sqrt(12)
    expected = stats.ttest_1samp(x, 2).pvalue
    assert edge_p(x.mean(), se, 11, ABOVE) == pytest.approx(expected)
    assert edge_p(x.mean(), se, 11, Region(high=2)) == pytest.approx(expected)


def test_p_of_an_equivalence_claim_is_twice_that_of_the_two_one_sided_tests():
    x = np.random.default_rng(1).normal(0.2, 1, 30)
    tost = DescrStatsW(x).ttost_mean(-1, 1)[0]
    assert edge_p(x.mean(), x.std(ddof=1) / np.sqrt(30), 29, WITHIN) == pytest.approx(2 * tost)


@pytest.mark.parametrize("region", [ABOVE, WITHIN, Region(high=-1)])
def test_p_below_the_level_is_the_interval_on_one_side(region):
    rng = np.random.default_rng(2)
    seen = set()
    for effect, se in zip(rng.normal(0, 3, 400), rng.uniform(0.05, 1.5, 400), strict=True):
        found = t_evidence(effect, se, 7, region, 8, "seeds", "")
        said = found.verdict(region, found.p)
        assert said == region.judge(found.low, found.high)
        seen.add(said)
    assert seen == {"supported", "refuted", "undecided"}


@pytest.mark.parametrize(("region", "truth"), [(Region(low=1), 1), (Region(high=-1), -1), (WITHIN, 1), (WITHIN, -1)])
def test_at_the_edge_either_verdict_comes_at_most_at_half_the_level(region, truth):
    rng, n = np.random.default_rng(3), 3000
    x = rng.normal(truth, 1, (n, 6))
    said = []
    for mean, sd in zip(x.mean(1), x.std(1, ddof=1), strict=True):
        found = Evidence(mean, p=edge_p(mean, sd / np.sqrt(6), 5, region))
        said.append(found.verdict(region, found.p))
    for wrong in ("supported", "refuted"):
        assert said.count(wrong) / n <= 0.025 + 4 * np.sqrt(0.025 * 0.975 / n)


def test_a_true_and_a_false_claim_are_told_apart_with_power():
    rng = np.random.default_rng(4)
    for truth, said in ((4.0, "supported"), (0.0, "refuted")):
        found = [t_evidence(m, 0.3, 11, ABOVE, 12, "", "") for m in rng.normal(truth, 0.3, 200)]
        assert np.mean([f.verdict(ABOVE, f.p) == said for f in found]) > 0.95


def test_every_needs_the_weakest_part_and_one_counter_example_refutes():
    strong, weak = t_evidence(9, 0.5, 9, ABOVE, 10, "", ""), t_evidence(2.5, 0.5, 9, ABOVE, 10, "", "")
    against = t_evidence(-3, 0.5, 9, ABOVE, 10, "", "")
    both = every([strong, weak], ABOVE, "x")
    assert (both.effect, both.p, both.n) == (2.5, weak.p, 20)
    refuted = every([strong, weak, against], ABOVE, "x")
    assert refuted.effect == -3
    assert refuted.p == pytest.approx(3 * against.p)
    assert refuted.verdict(ABOVE, refuted.p) == "refuted"
    assert every([strong, missing("seeds")], ABOVE, "x").verdict(ABOVE, 0.0) == "undecided"


def test_every_does_not_claim_too_much():
    """One part at the edge, one far inside: the conjunction is supported at most at half the level."""
    rng, n = np.random.default_rng(5), 3000
    said = 0
    for edge, inside in zip(rng.normal(2, 1, n), rng.normal(8, 1, n), strict=True):
        found = every([t_evidence(e, 1, inf, ABOVE, 1, "", "") for e in (edge, inside)], ABOVE, "")
        said += found.verdict(ABOVE, found.p) == "supported"
    assert said / n <= 0.025 + 4 * np.sqrt(0.025 * 0.975 / n)


def test_every_of_printed_numbers_is_decided_by_the_worst():
    parts = [as_printed(v, 0.01, ABOVE, 1, "") for v in (5, 3)]
    assert every(parts, ABOVE, "").settled == "supported"
    assert every([*parts, as_printed(2.005, 0.01, ABOVE, 1, "")], ABOVE, "").settled == "undecided"
    worst = every([*parts, as_printed(1, 0.01, ABOVE, 1, "")], ABOVE, "")
    assert (worst.settled, worst.effect) == ("refuted", 1)


def test_nothing_varies_nothing_is_decided():
    assert isnan(edge_p(3.0, 0.0, 4, ABOVE))
    assert Evidence(3.0, p=nan).verdict(ABOVE, nan) == "undecided"


def test_pooled_is_welch_for_two_parts():
    rng = np.random.default_rng(6)
    a, b = rng.normal(1, 1, 5), rng.normal(0, 3, 9)
    ses = [v.std(ddof=1) / np.sqrt(len(v)) for v in (a, b)]
    mean, se, df = pooled([a.mean(), b.mean()], ses, [4, 8])
    welch = stats.ttest_ind(a, b, equal_var=False)
    assert df == pytest.approx(welch.df)
    assert mean == pytest.approx((a.mean() + b.mean()) / 2)
    assert se == pytest.approx(np.hypot(*ses) / 2)


def test_benjamini_hochberg_is_statsmodels_and_leaves_out_what_was_not_tested():
    p = np.array([0.01, nan, 0.04, 0.03, 0.5])
    tested = ~np.isnan(p)
    assert np.allclose(benjamini_hochberg(p)[tested], multipletests(p[tested], method="fdr_bh")[1])
    assert isnan(benjamini_hochberg(p)[1])
