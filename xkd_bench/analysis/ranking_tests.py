"""Which methods differ over tasks: Friedman's test, Nemenyi's critical difference, Wilcoxon's tests with Holm's.

Demšar, Statistical comparisons of classifiers over multiple data sets, JMLR 7 (2006) 1-30. Input: means [tasks,
methods], higher is better. Tasks are the sample here: what is said generalises to tasks like these.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import pandas as pd
from scipy.stats import chi2, f, rankdata, studentized_range, wilcoxon

from xkd_bench.analysis.intervals import Floats, holm
from xkd_bench.errors import UsageError


@dataclass(frozen=True)
class Ranks:
    """Mean ranks (1 is best) and the tests over them.

    ranks: of each method, the best first. chi2, p: Friedman's, corrected for ties. f, p_f: Iman and Davenport's, less
    conservative. critical: Nemenyi's difference of mean ranks at `alpha`. pairs: first, second, difference of mean
    ranks, p (Wilcoxon), p_holm, different (Wilcoxon-Holm), nemenyi (different by the critical difference).
    """

    ranks: pd.Series[float]
    tasks: int
    chi2: float
    p: float
    f: float
    p_f: float
    critical: float
    pairs: pd.DataFrame
    alpha: float


def rank_tests(means: pd.DataFrame, alpha: float = 0.05) -> Ranks:
    """Rank the columns (methods) of `means` [tasks, methods].

    Raises:
        UsageError: fewer than two tasks or methods, or a missing score.
    """
    x = means.to_numpy(dtype=float)
    n, k = x.shape
    if n < 2 or k < 2:
        raise UsageError(f"ranking needs two tasks and two methods, there are {n} and {k}")
    if not np.isfinite(x).all():
        raise UsageError("a method without a score on a task cannot be ranked: leave out one of them")
    ranks = rankdata(-x, axis=1)
    statistic, f_statistic = friedman(ranks)
    p = float(chi2.sf(statistic, k - 1))
    p_f = float(f.sf(f_statistic, k - 1, (k - 1) * (n - 1))) if np.isfinite(f_statistic) else 0.0
    by_method = pd.Series(ranks.mean(axis=0), index=means.columns).sort_values(kind="stable")
    critical = critical_difference(k, n, alpha)
    pairs = _pairs(means[by_method.index], by_method, critical, alpha)
    return Ranks(by_method, n, statistic, p, f_statistic, p_f, critical, pairs, alpha)


def friedman(ranks: Floats) -> tuple[float, float]:
    """Friedman's chi², corrected for ties, and Iman and Davenport's F of ranks [tasks, methods]; 0 if all tie."""
    n, k = ranks.shape
    spread = float((ranks**2).sum() - n * k * (k + 1) ** 2 / 4)
    if spread <= 0:
        return 0.0, 0.0
    totals = ranks.sum(axis=0)
    statistic = (k - 1) * float(((totals - n * (k + 1) / 2) ** 2).sum()) / spread
    rest = n * (k - 1) - statistic
    return statistic, (n - 1) * statistic / rest if rest > 1e-9 else float("inf")


def critical_difference(methods: int, tasks: int, alpha: float = 0.05) -> float:
    """Nemenyi's: q(α; k, ∞) / √2 · √(k (k + 1) / 6n)."""
    q = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / sqrt(2)
    return q * sqrt(methods * (methods + 1) / (6 * tasks))


def _pairs(means: pd.DataFrame, ranks: pd.Series[float], critical: float, alpha: float) -> pd.DataFrame:
    names, rows = list(ranks.index), []
    for i, first in enumerate(names):
        for second in names[i + 1 :]:
            apart = float(ranks[second] - ranks[first])
            rows.append({"first": first, "second": second, "difference": apart,
                         "p": signed_rank_p(means[first] - means[second]), "nemenyi": apart > critical})  # fmt: skip
    pairs = pd.DataFrame(rows)
    pairs["p_holm"] = holm(pairs["p"].to_numpy(dtype=float))
    return pairs.assign(different=pairs["p_holm"] < alpha)


def signed_rank_p(differences: pd.Series[float]) -> float:
    """Two-sided p of Wilcoxon's signed-rank test, by scipy (exact for few tasks without ties); 1 if all are zero."""
    d = differences.to_numpy(dtype=float)
    if not np.isfinite(d).all():
        return nan
    return 1.0 if not d.any() else float(wilcoxon(d, zero_method="pratt" if (d == 0).any() else "wilcox").pvalue)


def cliques(found: Ranks, by: str = "different") -> list[tuple[int, int]]:
    """Largest runs (first, last position, best rank first) of methods of which no two differ; each at least two.

    by: 'different' (Wilcoxon-Holm) or 'nemenyi'. With the former a run is broken by any pair in it that differs.
    """
    names = list(found.ranks.index)
    apart = {(r["first"], r["second"]) for r in found.pairs.to_dict("records") if r[by]}
    out: list[tuple[int, int]] = []
    for i in range(len(names)):
        last = i
        while last + 1 < len(names) and not any((names[j], names[last + 1]) in apart for j in range(i, last + 1)):
            last += 1
        if last > i and not (out and out[-1][1] >= last):
            out.append((i, last))
    return out
