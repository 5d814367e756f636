"""Correlation within groups and its permutation test."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from xkd_bench.analysis.permutation import association, fisher_interval, pair_orders, pearson_t, styles


def test_of_one_group_it_is_spearman_and_pearson():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=40), rng.integers(0, 6, 40).astype(float)
    assert association(x, y, draws=9).r == pytest.approx(stats.spearmanr(x, y).statistic)
    assert association(x, y, rank=False, draws=9).r == pytest.approx(stats.pearsonr(x, y).statistic)


def test_exact_p_is_that_of_a_loop_over_all_arrangements():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=6), rng.normal(size=6)
    found = association(x, y, rank=False)
    null = np.array([np.corrcoef(x, y[list(order)])[0, 1] for order in permutations(range(6))])
    r = np.corrcoef(x, y)[0, 1]
    assert found.exact
    assert found.arrangements == 720
    assert found.p == pytest.approx(np.mean(np.abs(null) >= abs(r) - 1e-9))
    assert found.p_less == pytest.approx(np.mean(null <= r + 1e-9))


def test_exact_p_agrees_with_scipy():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=5), rng.normal(size=5)
    ours = association(x, y)
    theirs = stats.permutation_test((y,), lambda v: stats.spearmanr(x, v).statistic, permutation_type="pairings",
                                    n_resamples=np.inf)  # fmt: skip
    assert ours.p_greater == pytest.approx(
        stats.permutation_test((y,), lambda v: stats.spearmanr(x, v).statistic, permutation_type="pairings",
                               n_resamples=np.inf, alternative="greater").pvalue)  # fmt: skip
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.05)  # scipy doubles the smaller side


def test_what_differs_between_groups_makes_nothing():
    groups = np.repeat([0, 1, 2], 5)
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=15), rng.normal(size=15)
    plain = association(x, y, groups, draws=199)
    moved = association(x + 100 * groups, 7 * y * (1 + groups) + 50 * groups, groups, draws=199)
    assert moved == plain
    pooled = association(x + 100 * groups, y + 100 * groups, draws=199)
    assert pooled.r > 0.8 > abs(plain.r)


@pytest.mark.parametrize(("sizes", "draws"), [((4, 3), 0), ((12, 9, 7), 199)])
def test_false_positives_come_at_the_level(sizes, draws):
    rng, n = np.random.default_rng(4), 200
    groups = np.repeat(range(len(sizes)), sizes)
    shift = rng.normal(0, 5, len(sizes))[groups]
    p = []
    for i in range(n):
        x, y = rng.normal(size=len(groups)) + shift, rng.standard_t(2, len(groups)) + shift
        p.append(association(x, y, groups, draws=draws, seed=i).p)
    for level in (0.05, 0.2):
        assert np.mean(np.array(p) <= level) <= level + 4 * np.sqrt(level * (1 - level) / n)


def test_a_relation_within_groups_is_seen_though_the_groups_hide_it():
    """Simpson: rising within each group, falling between them."""
    rng = np.random.default_rng(5)
    groups = np.repeat(range(4), 10)
    x = rng.normal(size=40)
    y = x + 0.3 * rng.normal(size=40) - 10 * groups
    found = association(x + 5 * groups, y, groups, draws=999)
    assert found.r > 0.8
    assert found.p == pytest.approx(1 / 1000)
    assert not found.exact
    assert association(x + 5 * groups, y, draws=99).r < 0


def test_least_p_of_three_and_four_with_a_tie():
    """Minimum attainable p of the published design: 1/3 for three data sets of which two tie, 1/12 for four."""
    assert association([0.04, 0.04, 0.10], [8.30, 11.06, 9.82], rank=False).p_least == pytest.approx(1 / 3)
    assert association([0.04, 0.04, 0.10, 0.06], [8.30, 11.06, 9.82, 3.48], rank=False).p_least == pytest.approx(1 / 12)


def test_nothing_to_correlate_is_nan():
    assert np.isnan(association([1, 1, 1], [1, 2, 3]).p)
    assert np.isnan(association([1, 2], [1, 2], [0, 1]).r)
    assert association([1, np.nan, 2, 3], [1, 2, 3, 4]).n == 3


def test_pearson_t_and_fisher_are_scipys():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=20), rng.normal(size=20)
    theirs = stats.pearsonr(x, y)
    assert pearson_t(theirs.statistic, 20) == pytest.approx(theirs.pvalue)
    assert fisher_interval(theirs.statistic, 20) == pytest.approx(tuple(theirs.confidence_interval()))
    assert fisher_interval(0.9, 3) == (-1.0, 1.0)


STYLES = "abcdef"


def test_pairs_of_styles_are_told_from_other_names():
    assert styles(["emoji:a>b", "emoji:b>a"]) == styles(["emoji: a > b", "emoji: b > a"]) == [("a", "b"), ("b", "a")]
    assert styles(["emoji:a>b", "emoji:a>c@blur=0.2"]) is None
    assert styles(["doodle@blur=0.2", "doodle@blur=0.4"]) is None
    assert styles(["emoji:a>b", "emoji:a>b"]) is None


def test_styles_take_each_others_place():
    """Sources a, b, c, which are targets too, and d, a target alone: 3! arrangements."""
    pairs = [(s, t) for s in "abc" for t in "abcd" if s != t]
    found = {tuple(order) for order in pair_orders(pairs, 400, np.random.default_rng(0)).tolist()}
    expected = set()
    for moved in permutations("abc"):
        to = dict(zip("abcd", (*moved, "d"), strict=True))
        expected.add(tuple(pairs.index((to[s], to[t])) for s, t in pairs))
    assert found == expected
    broken = pairs[:-1]  # without c>d, only a and b may be exchanged
    assert len({tuple(o) for o in pair_orders(broken, 200, np.random.default_rng(0)).tolist()}) == 2


def dyads(rng, effect=0.0):
    """Gap and gain of pairs, each with an effect of its target style; `effect`: what the gap adds to the gain."""
    random = np.random.default_rng(rng)
    gap_of, gain_of = random.normal(size=6), random.normal(size=6)
    names = [f"emoji:{s}>{t}" for s in STYLES for t in STYLES if s != t]
    at = np.array([STYLES.index(name[-1]) for name in names])
    gap = gap_of[at] + 0.2 * random.normal(size=30)
    return gap, gain_of[at] + 0.2 * random.normal(size=30) + effect * gap, names


def test_what_a_style_does_to_both_is_not_taken_for_a_relation():
    n, p, naive = 80, [], []
    for i in range(n):
        gap, gain, names = dyads(i)
        p.append(association(gap, gain, names=names, draws=299, seed=i).p)
        naive.append(association(gap, gain, draws=299, seed=i).p)
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / n)
    assert np.mean(np.array(naive) <= 0.05) > 0.25
    gap, gain, names = dyads(0, effect=8.0)
    assert association(gap, gain, names=names).p < 0.01
