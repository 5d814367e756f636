"""Does the gain fall as the gap grows? The same slope by estimators that fail in different ways.

Input: conditions (`analysis.conditions`) of one specification, one row each: `family` (task, the cluster), `gain`,
`gap`, their standard errors `gain_se` and `gap_se`, and covariates. Every slope is of gain on gap *within* task, that
is, with an intercept for each: what differs between tasks for other reasons cannot make it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from xkd_bench.analysis.intervals import TINY, Floats
from xkd_bench.analysis.permutation import association, fisher_interval
from xkd_bench.analysis.regression_errors import york
from xkd_bench.analysis.regression_robust import robust
from xkd_bench.errors import UsageError

MIN_ROWS, MIN_TASKS, FEW_DF = 5, 4, 4
"""Rows below which there is no slope; tasks below which no spread of slopes is fitted; degrees of freedom below which a
robust error is not to be trusted."""
NEEDED = ("family", "gain", "gap")


@dataclass(frozen=True)
class Fit:
    """A slope of gain on gap (of 'spearman': the rank correlation), its standard error, interval and two-sided p.

    NaN where the estimator could not be had from these rows; note says why, or what to be careful with.
    """

    estimator: str
    slope: float = nan
    se: float = nan
    low: float = nan
    high: float = nan
    p: float = nan
    n: int = 0
    tasks: int = 0
    note: str = ""


def regress(df: pd.DataFrame, covariates: Sequence[str] = (), confidence: float = 0.95, seed: int = 0) -> pd.DataFrame:
    """Every estimator's slope, one row each with the fields of `Fit`.

    ols: ordinary least squares, intercepts and covariates, cluster-robust (CR2). mixed: random intercepts and slopes,
    REML. theil-sen: median slope of pairs within a task. york: both errors known, scatter estimated. spearman: rank
    correlation within task, by permutation. The last three take no covariates.

    Raises:
        UsageError: a column lacks, or rows whose gain or gap is not finite.
    """
    rows = prepared(df, covariates)
    fits = [ols(rows, covariates, confidence), mixed(rows, covariates, confidence), theil_sen(rows, confidence),
            errors_in_variables(rows, confidence), spearman(rows, confidence, seed)]  # fmt: skip
    return pd.DataFrame([asdict(fit) for fit in fits])


def prepared(df: pd.DataFrame, covariates: Sequence[str] = ()) -> pd.DataFrame:
    """The rows, checked."""
    if lacking := [name for name in (*NEEDED, *covariates) if name not in df.columns]:
        raise UsageError(f"conditions lack the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}")
    numbers = df[["gain", "gap", *covariates]].to_numpy(dtype=float)
    if bad := int((~np.isfinite(numbers)).any(axis=1).sum()):
        raise UsageError(f"{bad} of {len(df)} conditions have no finite gain, gap or covariate: leave them out first")
    return df.reset_index(drop=True)


def design(df: pd.DataFrame, covariates: Sequence[str] = ()) -> Floats:
    """[n, 1 + covariates + tasks]: the gap first, then covariates, then an indicator of each task."""
    dummies = pd.get_dummies(df["family"]).to_numpy(dtype=float)
    return np.column_stack([df[["gap", *covariates]].to_numpy(dtype=float), dummies])


def ols(df: pd.DataFrame, covariates: Sequence[str] = (), confidence: float = 0.95) -> Fit:
    """Least squares with an intercept for each task; errors robust to any dependence within a cluster.

    Clusters are `cluster` where there is such a column (rows that share data, or what it was drawn after), otherwise
    tasks. CR2 with Satterthwaite's degrees of freedom (`regression_robust`), for clusters are few. Of a single cluster
    rows count as independent: HC2. Below `FEW_DF` degrees of freedom the t is an approximation no more, and says so.
    """
    x, tasks = design(df, covariates), df["family"].nunique()
    if reason := _unfit(df, x):
        return Fit("ols", n=len(df), tasks=tasks, note=reason)
    gain = df["gain"].to_numpy(dtype=float)
    beta: Floats = np.linalg.lstsq(x, gain, rcond=None)[0]
    groups = df["cluster"] if "cluster" in df and df["cluster"].notna().all() else df["family"]
    count = int(groups.nunique())
    se, free = robust(x, gain - x @ beta, groups if count > 1 else np.arange(len(df)))
    note = f"{count} clusters" if count > 1 else "one cluster: HC2, rows taken as independent"
    if free < 1 or se <= TINY:
        return Fit("ols", float(beta[0]), n=len(df), tasks=tasks, note=f"{note}: no error can be had")
    note += f", {free:.1f} degrees of freedom" + ": few, see the others" * (free < FEW_DF)
    return _by_t("ols", float(beta[0]), se, free, confidence, len(df), tasks, note)


def mixed(df: pd.DataFrame, covariates: Sequence[str] = (), confidence: float = 0.95) -> Fit:
    """Random intercepts and slopes of tasks, restricted maximum likelihood; t on tasks - 1 degrees of freedom.

    The gap is split into what varies within task and the task's mean, each with a slope (Mundlak, Econometrica 46
    (1978) 69-85): the one reported is within. Without the split, a task with large gaps and small gains for other
    reasons would bias it. Slopes may differ between tasks (independently of intercepts): a model with one slope for all
    takes what is particular to a task for evidence. Below `MIN_TASKS` tasks, or where their spread cannot be fitted, it
    is that model nevertheless, on n - tasks - slopes degrees of freedom, and says so.
    """
    tasks = df["family"].nunique()
    if reason := _unfit(df, design(df, covariates)) or ("one task" if tasks < 2 else ""):
        return Fit("mixed", n=len(df), tasks=tasks, note=reason)
    columns = df[["gap", *covariates]].to_numpy(dtype=float)
    means = df.groupby("family")[["gap", *covariates]].transform("mean").to_numpy(dtype=float)
    split = tasks > 2 and np.ptp(means[:, 0]) > 1e-9 * np.ptp(columns[:, 0])
    within = columns - means
    x = np.column_stack([within, np.ones(len(df)), *([means[:, :1]] if split else [])])
    found = _reml(df, x, within[:, 0] / within[:, 0].std()) if tasks >= MIN_TASKS else None
    note, df_t = "slopes differ between tasks", tasks - 1
    if found is None:
        found, df_t = _reml(df, x, None), len(df) - tasks - columns.shape[1]
        note = "slopes taken as equal in all tasks"
    if found is None:
        return Fit("mixed", n=len(df), tasks=tasks, note="the likelihood did not converge")
    return _by_t("mixed", float(found.params[0]), float(found.bse[0]), df_t, confidence, len(df), tasks, note)


def _reml(df: pd.DataFrame, x: Floats, slope: Floats | None) -> Any:
    """The fitted model, its random slopes in units of their column's spread; None where it did not converge."""
    import warnings

    import statsmodels.api as sm
    from statsmodels.regression.mixed_linear_model import MixedLMParams

    random = np.ones((len(df), 1)) if slope is None else np.column_stack([np.ones(len(df)), slope])
    apart = MixedLMParams.from_components(np.ones(x.shape[1]), np.eye(random.shape[1]))
    model = sm.MixedLM(df["gain"].to_numpy(dtype=float), x, groups=df["family"].to_numpy(), exog_re=random)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variance of zero is on the boundary, and is what it is
        try:
            found = model.fit(reml=True, free=apart)
        except (np.linalg.LinAlgError, ValueError):
            return None
    return found if found.converged and np.isfinite(found.bse[0]) and found.bse[0] > 0 else None


def theil_sen(df: pd.DataFrame, confidence: float = 0.95) -> Fit:
    """Median of the slopes of all pairs of conditions of the same task; no shape of errors is assumed.

    Interval and p by the normal approximation of Kendall's S, summed over tasks, with its tie correction. Sen, J. Amer.
    Statist. Assoc. 63 (1968) 1379-1389; over blocks, van Belle and Hughes, Water Resour. Res. 20 (1984) 127-136.
    """
    tasks, slopes, s, variance = df["family"].nunique(), [np.zeros(0)], 0.0, 0.0
    for _, part in df.groupby("family"):
        x, y = part["gap"].to_numpy(dtype=float), part["gain"].to_numpy(dtype=float)
        i, j = np.triu_indices(len(x), k=1)
        dx, dy = x[j] - x[i], y[j] - y[i]
        slopes.append(dy[dx != 0] / dx[dx != 0])
        s += float(np.sign(dx * dy).sum())
        variance += _kendall_variance(x, y)
    pooled = np.sort(np.concatenate(slopes))
    if len(df) < MIN_ROWS or not len(pooled) or variance <= 0:
        return Fit("theil-sen", n=len(df), tasks=tasks, note=f"fewer than {MIN_ROWS} conditions that differ in gap")
    z, sigma, count = float(ndtri(0.5 + confidence / 2)), sqrt(variance), len(pooled)
    upper = min(round((count + z * sigma) / 2), count - 1)
    lower = max(round((count - z * sigma) / 2) - 1, 0)
    p = 2 * float(stdtr(np.inf, -max(abs(s) - 1, 0) / sigma))
    return Fit("theil-sen", float(np.median(pooled)), nan, float(pooled[lower]), float(pooled[upper]), min(p, 1.0),
               len(df), tasks, "")  # fmt: skip


def _kendall_variance(x: NDArray[Any], y: NDArray[Any]) -> float:
    """Variance of Kendall's S under independence, with ties in x and in y (Kendall 1970, eq. 4.3)."""
    n = len(x)
    t, u = (np.unique(v, return_counts=True)[1].astype(float) for v in (x, y))

    def ends(c: Floats) -> float:
        return float((c * (c - 1) * (2 * c + 5)).sum())

    def triples(c: Floats) -> float:
        return float((c * (c - 1) * (c - 2)).sum())

    def pairs(c: Floats) -> float:
        return float((c * (c - 1)).sum())

    out = (n * (n - 1) * (2 * n + 5) - ends(t) - ends(u)) / 18
    if n > 2:
        out += triples(t) * triples(u) / (9 * n * (n - 1) * (n - 2))
    return out + (pairs(t) * pairs(u) / (2 * n * (n - 1)) if n > 1 else 0.0)


def errors_in_variables(df: pd.DataFrame, confidence: float = 0.95) -> Fit:
    """The slope when the gap is an estimate too (`regression_errors.york`), an intercept for each task.

    Least squares of an uncertain gap is biased towards zero; this is not, if the standard errors are right.
    """
    tasks = df["family"].nunique()
    if not {"gain_se", "gap_se"} <= set(df.columns) or df[["gain_se", "gap_se"]].isna().any(axis=None):
        return Fit("york", n=len(df), tasks=tasks, note="needs gain_se and gap_se of every condition")
    if reason := _unfit(df, design(df)):
        return Fit("york", n=len(df), tasks=tasks, note=reason)
    x, y, x_se, y_se = df[["gap", "gain", "gap_se", "gain_se"]].to_numpy(dtype=float).T
    found = york(x, y, x_se, y_se, pd.factorize(df["family"])[0])
    if not found.converged:
        return Fit("york", n=len(df), tasks=tasks, note="the iteration did not converge")
    note = f"scatter beyond the errors: {found.scatter:.2g}"
    return _by_t("york", found.slope, found.se, found.df, confidence, len(df), tasks, note)


def spearman(df: pd.DataFrame, confidence: float = 0.95, seed: int = 0) -> Fit:
    """Rank correlation within task (`permutation.association`); the interval is Fisher's, of rows as such.

    p is by permutation, of pairs of styles by that of their styles.
    """
    names = df["condition"].astype(str).tolist() if "condition" in df else None
    found = association(df["gap"], df["gain"], df["family"], names=names, seed=seed)
    low, high = fisher_interval(found.r, found.n - found.groups + 1, confidence) if abs(found.r) < 1 else (nan, nan)
    note = "exact" if found.exact else f"{found.arrangements} arrangements"
    return Fit("spearman", found.r, nan, low, high, found.p, found.n, found.groups, note)


def _unfit(df: pd.DataFrame, x: Floats) -> str:
    """Why no slope can be had, or nothing."""
    if len(df) < MIN_ROWS or len(df) <= x.shape[1]:
        return f"{len(df)} conditions for {x.shape[1]} coefficients"
    return (
        "" if np.linalg.matrix_rank(x) == x.shape[1] else "the gap does not vary within task, or covariates repeat it"
    )


def _by_t(name: str, slope: float, se: float, df: float, confidence: float, n: int, tasks: int, note: str) -> Fit:
    half = float(stdtrit(df, 0.5 + confidence / 2)) * se
    p = float(2 * stdtr(df, -abs(slope) / se)) if se > 0 else nan
    return Fit(name, slope, se, slope - half, slope + half, p, n, tasks, note)
