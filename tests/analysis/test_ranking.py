"""Rankings over tasks: equal to scipy, to closed forms and to published examples."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from xkd_bench.analysis.ranking import aggregate, arranged, better, improvement, iqm, median, normalised, profile
from xkd_bench.analysis.ranking_tests import cliques, critical_difference, rank_tests
from xkd_bench.errors import UsageError

DEMSAR = pd.DataFrame({
    "C4.5": [.763, .599, .954, .628, .882, .936, .661, .583, .775, 1, .940, .619, .972, .957],
    "C4.5+m": [.768, .591, .971, .661, .888, .931, .668, .583, .838, 1, .962, .666, .981, .978],
    "C4.5+cf": [.771, .590, .968, .654, .886, .916, .609, .563, .866, 1, .965, .614, .97501, .946],
    "C4.5+m+cf": [.798, .569, .967, .657, .898, .931, .685, .625, .875, 1, .962, .669, .975, .970],
})  # fmt: skip
"""Areas under the curve of four classifiers on 14 data sets: Demšar 2006, table 6. Its ranks tell .975 from .975 on one
of them, by digits that it does not print: the fifth one here does."""


def test_friedman_and_nemenyi_of_the_published_example():
    """Demšar prints mean ranks 3.143, 2.000, 2.893, 1.964, χ² 9.28 (without correcting for ties), CD 1.25."""
    found = rank_tests(DEMSAR)
    assert found.ranks[["C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf"]].to_numpy() == pytest.approx(
        [3.143, 2.0, 2.893, 1.964], abs=1e-3
    )
    reference = stats.friedmanchisquare(*(DEMSAR[c] for c in DEMSAR))
    assert (found.chi2, found.p) == pytest.approx((reference.statistic, reference.pvalue))
    uncorrected = 12 * 14 / (4 * 5) * (float((found.ranks**2).sum()) - 4 * 25 / 4)
    assert uncorrected == pytest.approx(9.28, abs=0.01)
    assert found.critical == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)
    assert found.pairs["nemenyi"].sum() == 0  # 3.143 - 1.964 = 1.18 < 1.25


@pytest.mark.parametrize(("k", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)])
def test_nemenyis_table(k, q):
    assert critical_difference(k, 10) == pytest.approx(q * np.sqrt(k * (k + 1) / 60), abs=2e-3)


def test_wilcoxon_with_holm_is_scipys():
    found = rank_tests(DEMSAR)
    row = found.pairs.set_index(["first", "second"]).loc[("C4.5+m+cf", "C4.5")]
    assert row["p"] == pytest.approx(stats.wilcoxon(DEMSAR["C4.5+m+cf"], DEMSAR["C4.5"], zero_method="pratt").pvalue)
    assert row["p_holm"] == pytest.approx(min(1, 6 * found.pairs["p"].min())) or row["p"] > found.pairs["p"].min()
    assert (found.pairs["p_holm"] >= found.pairs["p"]).all()


def test_methods_alike_are_joined_and_a_clear_winner_stands_alone():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 1))
    x = base + 0.01 * rng.normal(size=(20, 4)) + [0.5, 0, 0, 0]
    found = rank_tests(pd.DataFrame(x, columns=["winner", "a", "b", "c"]))
    assert found.ranks.index[0] == "winner"
    assert found.p < 0.001
    assert cliques(found) == [(1, 3)]
    assert cliques(found, "nemenyi")[-1] == (1, 3)


def test_friedman_of_equal_scores_is_one():
    found = rank_tests(pd.DataFrame(np.ones((5, 3)), columns=list("abc")))
    assert (found.chi2, found.p) == (0, 1)
    assert cliques(found) == [(0, 2)]


@pytest.mark.parametrize(("runs", "tasks"), [(4, 5), (3, 7), (1, 1)])
def test_iqm_is_scipys_trimmed_mean(runs, tasks):
    x = np.random.default_rng(1).normal(size=(runs, tasks))
    assert iqm(x) == pytest.approx(stats.trim_mean(x, 0.25, axis=None))
    assert median(x) == pytest.approx(np.median(x.mean(0)))


def test_probability_of_improvement_is_mann_whitneys():
    rng = np.random.default_rng(2)
    x, y = rng.integers(0, 5, (6, 3)), rng.integers(0, 5, (4, 3))
    u = [stats.mannwhitneyu(x[:, t], y[:, t]).statistic / 24 for t in range(3)]
    assert better(x, y) == pytest.approx(np.mean(u))
    assert better(x, y) + better(y, x) == pytest.approx(1)
    found = improvement({"x": x, "y": y, "z": x + 9}, replicates=50).set_index(["method", "over"])
    assert found.loc[("z", "x")].tolist() == [1, 1, 1]
    assert found.loc[("x", "y"), "low"] <= found.loc[("x", "y"), "value"] <= found.loc[("x", "y"), "high"]


def test_profile_counts_and_falls():
    x = np.array([[0.1, 0.5], [0.3, 0.9]])
    found = profile({"x": x}, [0, 0.2, 0.4, 0.95], replicates=100)
    assert found["value"].tolist() == [1.0, 0.75, 0.5, 0.0]
    assert (found["low"] <= found["value"]).all()
    assert (found["value"] <= found["high"]).all()


def test_interval_of_the_interquartile_mean_covers():
    """Scores are normal around 0 on every task, so the truth is 0; ten runs of eight tasks."""
    n, rng = 100, np.random.default_rng(3)
    covered = 0
    for i in range(n):
        row = aggregate({"x": rng.normal(size=(10, 8))}, replicates=200, seed=i).iloc[0]
        covered += row["low"] <= 0 <= row["high"]
    assert covered / n >= 0.93 - 4 * np.sqrt(0.05 * 0.95 / n)


def test_scores_of_all_are_on_the_same_tasks_and_seeds():
    df = pd.DataFrame([(m, t, s, m * 10 + t + s / 10) for m in (1, 2, 3) for t in (1, 2) for s in (0, 1, 2)],
                      columns=["method", "task", "seed", "value"])  # fmt: skip
    found = arranged(df.drop(index=df.query("method == 2 and task == 1 and seed == 2").index))
    assert {name: x.shape for name, x in found.items()} == {"1": (2, 2), "2": (2, 2), "3": (2, 2)}
    assert found["3"].tolist() == [[31, 32], [31.1, 32.1]]
    scaled = normalised(df, 1, 3).groupby("method")["value"].mean()
    assert scaled.tolist() == pytest.approx([0, 0.5, 1])
    with pytest.raises(UsageError, match="not above"):
        normalised(df, 3, 1)


@pytest.mark.parametrize(
    ("scores", "said"),
    [({}, "no scores"), ({"a": [1, 2]}, "expected \\[runs, tasks\\]"), ({"a": [[np.nan]]}, "not all finite"),
     ({"a": [[1]], "b": [[1, 2]]}, "different numbers of tasks: 1, 2")],
)  # fmt: skip
def test_what_cannot_be_ranked_is_said(scores, said):
    with pytest.raises(UsageError, match=said):
        aggregate(scores)
    with pytest.raises(UsageError, match="two tasks and two methods"):
        rank_tests(pd.DataFrame({"a": [1.0]}))
