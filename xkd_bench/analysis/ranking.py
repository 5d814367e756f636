"""Methods over many tasks: aggregate scores with their uncertainty, and who is better than whom how often.

Agarwal et al., Deep reinforcement learning at the edge of the statistical precipice, NeurIPS 2021. Input: scores[run,
task] of a method, any scale that is comparable between tasks (`normalised` makes one). Runs are seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from xkd_bench.analysis.intervals import Floats
from xkd_bench.errors import UsageError

Scores = Mapping[str, ArrayLike]
"""Method to scores [runs, tasks]; the same tasks in the same order for all."""
Statistic = Callable[[Floats], Floats]


def iqm(x: Floats) -> Floats:
    """Mean of the middle half of all runs and tasks: x [..., runs, tasks] to [...].

    A quarter of the n scores, rounded down, is cut off at either end: scipy.stats.trim_mean(x, 0.25).
    """
    flat = np.asarray(x, dtype=float).reshape(*np.shape(x)[:-2], -1)
    n = flat.shape[-1]
    cut = int(0.25 * n)
    return np.asarray(np.sort(flat, axis=-1)[..., cut : n - cut].mean(axis=-1))


def mean(x: Floats) -> Floats:
    """Mean over runs and tasks."""
    return np.asarray(np.mean(x, axis=(-2, -1)))


def median(x: Floats) -> Floats:
    """Median over tasks of the mean over runs."""
    return np.asarray(np.median(np.mean(x, axis=-2), axis=-1))


def table(scores: Scores) -> dict[str, Floats]:
    """The scores, checked.

    Raises:
        UsageError: no method, a score that is not finite, or different tasks.
    """
    out = {name: np.asarray(x, dtype=float) for name, x in scores.items()}
    if not out:
        raise UsageError("there are no scores to rank")
    for name, x in out.items():
        if x.ndim != 2 or not x.size:
            raise UsageError(f"scores of {name} have shape {list(x.shape)}, expected [runs, tasks]")
        if not np.isfinite(x).all():
            raise UsageError(f"scores of {name} are not all finite: leave out tasks that it has no score on")
    if len(widths := {x.shape[1] for x in out.values()}) > 1:
        raise UsageError(f"methods have scores on different numbers of tasks: {', '.join(map(str, sorted(widths)))}")
    return out


def stratified(x: Floats, replicates: int, rng: np.random.Generator) -> Floats:
    """Runs drawn with replacement within each task: [replicates, runs, tasks]. Tasks are kept: they are no sample."""
    runs, tasks = x.shape
    chosen = rng.integers(runs, size=(replicates, runs, tasks))
    return np.asarray(x[chosen, np.arange(tasks)])


def aggregate(
    scores: Scores, statistic: Statistic = iqm, confidence: float = 0.95, replicates: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """A row for each method: value, low, high (percentiles of the stratified bootstrap), runs, tasks."""
    rows = []
    for name, x in table(scores).items():
        rng = np.random.default_rng(seed)
        drawn = statistic(stratified(x, replicates, rng))
        low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
        rows.append({"method": name, "value": float(statistic(x)), "low": low, "high": high,
                     "runs": x.shape[0], "tasks": x.shape[1]})  # fmt: skip
    return pd.DataFrame(rows)


def better(x: Floats, y: Floats) -> Floats:
    """P(a run of x beats one of y) + half P(tie), mean over tasks: x [..., runs, tasks], y [..., runs', tasks].

    In one task it is the Mann-Whitney U over the number of pairs of runs.
    """
    above = (x[..., :, None, :] > y[..., None, :, :]).mean(axis=(-3, -2))
    equal = (x[..., :, None, :] == y[..., None, :, :]).mean(axis=(-3, -2))
    return np.asarray((above + 0.5 * equal).mean(axis=-1))


def improvement(scores: Scores, confidence: float = 0.95, replicates: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Probability of improvement of each method over each other: rows method, over, value, low, high.

    Runs of both are resampled within task, each on its own: pairing by seed plays no part in this probability.
    """
    found, rows = table(scores), []
    for first, x in found.items():
        for second, y in found.items():
            if first == second:
                continue
            rng = np.random.default_rng(seed)
            drawn = better(stratified(x, replicates, rng), stratified(y, replicates, rng))
            low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
            rows.append({"method": first, "over": second, "value": float(better(x, y)), "low": low, "high": high})
    return pd.DataFrame(rows)


def profile(
    scores: Scores, levels: ArrayLike, confidence: float = 0.95, replicates: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Performance profile: the share of runs with a score above each level, mean over tasks.

    Rows method, level, value, low, high; low and high are pointwise.
    """
    at, rows = np.asarray(levels, dtype=float), []
    for name, x in table(scores).items():
        drawn = stratified(x, replicates, np.random.default_rng(seed))
        shares = np.stack([(drawn > level).mean(axis=(1, 2)) for level in at], axis=1)
        low, high = np.quantile(shares, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
        value = [(x > level).mean() for level in at]
        rows.append(pd.DataFrame({"method": name, "level": at, "value": value, "low": low, "high": high}))
    return pd.concat(rows, ignore_index=True)


def normalised(df: pd.DataFrame, low: str, high: str | None = None) -> pd.DataFrame:
    """Scores on a scale that tasks share: 0 is method `low`'s mean on the task, 1 is `high`'s, or that of its best.

    df: columns method, task, seed, value. Tasks on which `high` is not above `low` have no such scale.

    Raises:
        UsageError: such a task, or one where either is missing.
    """
    means = df.pivot_table(index="task", columns="method", values="value")
    for name in (low, *([high] if high is not None else [])):
        if name not in means or means[name].isna().any():
            raise UsageError(f"every task needs scores of '{name}' to be on a common scale")
    top = means.max(axis=1) if high is None else means[high]
    width = top - means[low]
    if (width <= 0).any():
        above = f"'{high}'" if high is not None else "no method"
        nothing = "is not" if high is not None else "is"
        raise UsageError(f"on {width.idxmin()} {above} {nothing} above '{low}': choose other ends of the scale")
    return df.assign(value=(df["value"] - df["task"].map(means[low])) / df["task"].map(width))


def arranged(df: pd.DataFrame) -> dict[str, Floats]:
    """Scores [runs, tasks] by method from columns method, task, seed, value: what the functions here take.

    Only tasks and seeds that every method has are kept, so that all are compared on the same.

    Raises:
        UsageError: nothing is left.
    """
    wide = df.pivot_table(index=["task", "seed"], columns="method", values="value").dropna()
    seeds = wide.reset_index().groupby("seed")["task"].nunique()
    tasks = wide.reset_index()["task"].nunique()
    kept = wide[wide.index.get_level_values("seed").isin(seeds.index[seeds == tasks])]
    if kept.empty:
        raise UsageError("no seed has scores of every method on every task")
    return {str(m): kept[m].unstack("task").to_numpy(dtype=float) for m in kept.columns}
