"""Who is ranked on what: methods on independent data sets, not on every degree or pair that is made of one of them.

Twenty ordered pairs of one data set's styles share its items, and degrees of a degradation share all but the degree:
as tasks of their own they would make chance look certain. So the conditions of a data set are averaged into one unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import pandas as pd

from xkd_bench.analysis.condition_rows import data_set_of
from xkd_bench.analysis.ranking import normalised
from xkd_bench.analysis.scores import TARGET, variants
from xkd_bench.analysis.study import MIN_SEEDS
from xkd_bench.errors import UsageError

MIN_UNITS = 3
"""Data sets: with two, a mean over them says less than each alone."""
MIN_RANKED = 6
"""Data sets: with five, no signed-rank test of two methods can have p < .05 (2 / 2^5), whatever their scores are."""
CONTENDERS = ("method", "reference")
ENDS = ("random features", "sup-ft", "ssl")
"""What is zero on the common scale: the first of these that was run everywhere."""


@dataclass(frozen=True)
class Contest:
    """Scores that may be compared over data sets: each method on each of the same conditions, with the same seeds.

    scores: columns method, task (the data set), seed, value: mean over the data set's conditions and label draws.
    floor: the same of the floor, empty if it was not run everywhere. conditions: of each data set, those that stand
    behind it. left_out: methods and conditions that are not complete, with what they lack.
    """

    scores: pd.DataFrame
    floor: pd.DataFrame
    conditions: dict[str, list[str]]
    left_out: dict[str, str]

    @property
    def methods(self) -> list[str]:
        return sorted(self.scores["method"].unique())

    @property
    def seeds(self) -> int:
        return int(self.scores["seed"].nunique())

    def means(self) -> pd.DataFrame:
        """Mean over seeds: [data sets, methods]."""
        return self.scores.pivot_table(index="task", columns="method", values="value")

    def on_one_scale(self) -> tuple[pd.DataFrame, str]:
        """The scores with 0 for the mean of the first of `ENDS` and 1 for that of the best method, by data set.

        Raises:
            UsageError: none of `ENDS` was run everywhere, or nothing is above it on a data set.
        """
        both = pd.concat([self.scores, self.floor], ignore_index=True)
        low = next((name for name in ENDS if name in set(both["method"])), None)
        if low is None:
            raise UsageError(f"none of {', '.join(ENDS)} was run on all of these conditions, so nothing is zero")
        scaled = normalised(both, low)
        return scaled[scaled["method"].isin(self.methods)].reset_index(drop=True), low


def rows_of(name: str, df: pd.DataFrame) -> pd.DataFrame:
    """Scores of one comparison (`analysis.scores`) as rows for `contest`, its label draws averaged.

    Networks that were given more than the target, or another modality, do not compete.
    """
    named = variants(df)
    named = named[named["inputs"] == TARGET]
    keys = ["variant", "role", "trained", "labels_per_class", "pair_fraction", "seed"]
    means = named.groupby(keys, dropna=False, as_index=False)["value"].mean()
    task = str(named["task"].iloc[0])
    return means.assign(condition=name, task=task, data_set=data_set_of(task))


def contest(rows: pd.DataFrame, min_seeds: int = MIN_SEEDS) -> Contest:
    """What of `rows` (`rows_of`, of one setting) is complete.

    A method has a condition with `min_seeds` seeds or more. What is least complete is left out first, methods before
    conditions where they tie: a method by the mean over data sets of its share of their conditions, a condition by its
    share of the methods. Of seeds, those that all have are kept.

    Raises:
        UsageError: nothing is left, or fewer than `min_seeds` seeds or two methods are.
    """
    entered = rows[rows["role"].isin(CONTENDERS)]
    there = entered.pivot_table(index="variant", columns="condition", values="seed", aggfunc="nunique") >= min_seeds
    kept = _complete(there, rows.drop_duplicates("condition").set_index("condition")["data_set"])
    if kept.size == 0 or len(kept) < 2:
        raise UsageError(f"fewer than two methods have {min_seeds} seeds on the same conditions")
    entered = entered[entered["variant"].isin(kept.index) & entered["condition"].isin(kept.columns)]
    seeds = _shared_seeds(entered)
    if len(seeds) < min_seeds:
        raise UsageError(
            f"{len(seeds)} seeds are shared by all methods and conditions, at least {min_seeds} are needed"
        )
    floor = rows[(rows["role"] == "floor") & rows["condition"].isin(kept.columns)]
    whole = floor["condition"].nunique() == kept.shape[1] and seeds <= _shared_seeds(floor)
    conditions = entered.drop_duplicates("condition").groupby("data_set")["task"]
    return Contest(
        _units(entered, seeds), _units(floor if whole else floor[:0], seeds),
        {str(name): sorted(tasks) for name, tasks in conditions}, _left_out(there, kept, rows),
    )  # fmt: skip


def _complete(there: pd.DataFrame, data_set: pd.Series[str]) -> pd.DataFrame:
    """The methods and conditions [methods, conditions] of which every method has every condition."""
    while there.size and not there.all(axis=None):
        of_method = there.T.groupby(data_set).mean().mean()
        of_condition = there.mean()
        if of_method.min() <= of_condition.min():
            there = there.drop(index=of_method.idxmin())
        else:
            there = there.drop(columns=of_condition.idxmin())
    return there


def _shared_seeds(rows: pd.DataFrame) -> set[int]:
    """Seeds that every variant has on every condition."""
    cells = [set(part) for _, part in rows.groupby(["variant", "condition"])["seed"]]
    return reduce(set.__and__, cells) if cells else set()


def _units(rows: pd.DataFrame, seeds: set[int]) -> pd.DataFrame:
    kept = rows[rows["seed"].isin(seeds)].groupby(["variant", "data_set", "seed"])["value"].mean().reset_index()
    return kept.rename(columns={"variant": "method", "data_set": "task"})


def _left_out(there: pd.DataFrame, kept: pd.DataFrame, rows: pd.DataFrame) -> dict[str, str]:
    """Of each method and condition that was left out, what it lacks."""
    task = rows.drop_duplicates("condition").set_index("condition")["task"]
    out = {}
    for method in there.index.difference(kept.index):
        lacks = there.columns[~there.loc[method]].map(task)
        out[str(method)] = f"not on {lacks[0]}" + (f" and {len(lacks) - 1} more" if len(lacks) > 1 else "")
    for condition in there.columns.difference(kept.columns):
        lacks = there.index[~there[condition]]
        out[str(task[condition])] = f"without {lacks[0]}" + (f" and {len(lacks) - 1} more" if len(lacks) > 1 else "")
    return out
