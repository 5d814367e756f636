"""Tests of claims on this suite's own records: paired by seed, label draw, split and student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from xkd_bench.analysis.ledger import Data, Test
from xkd_bench.analysis.scores import NO_TEACHER, REFERENCES, is_random
from xkd_bench.analysis.verdicts import Evidence, Region, every, missing, pooled, t_evidence

MIN_SEEDS = 3
"""Fewer seeds decide nothing: fixed before the data."""
CELL = ["task", "student", "init"]
"""What a condition is, besides the teacher: scores are compared within it only."""


@dataclass(frozen=True)
class Setting:
    """What is trained, on how many labels a class (None: all), after which share of the pairs."""

    trained: str = "head"
    labels: int | None = None
    fraction: float = 1.0

    def __str__(self) -> str:
        words = {"head": "linear evaluation", "all": "fine-tuning"}[self.trained]
        words += f", {self.labels} labels a class" if self.labels else ""
        return words + (f", {self.fraction:.0%} of pairs" if self.fraction != 1 else "")


LE, FT = Setting("head"), Setting("all")


def series(
    data: Data, method: str, at: Setting, *, control: str = "", options: str = "{}", metric: str = "accuracy"
) -> pd.Series[float]:
    """Points of a method, by task, student, init, teacher and seed: the mean over label draws.

    control: '' true pairs and a trained teacher, 'random' a random teacher, 'shuffled' pairs. options: the changed
    ones, as JSON. References and random teachers have the teacher ''.
    """
    if "cells" not in data.memo:
        data.memo["cells"] = _cells(data.scores)
    key = (method, at.trained, at.labels or 0, at.fraction, metric, options, control)
    found: pd.Series[float] = data.memo["cells"].get(key, pd.Series(dtype=float))
    return found


def _cells(scores: pd.DataFrame) -> dict[Any, pd.Series[float]]:
    """What `series` gives, for all there is: by method, setting, metric, options and control."""
    if scores.empty:
        return {}
    teacher = scores["teacher"].fillna("").astype(str)
    reference, random = scores["method"].isin(REFERENCES), teacher.map(is_random)
    control = np.select([reference, random, scores["pairs"] == "shuffled"], ["", "random", "shuffled"], default="")
    # A random teacher with shuffled pairs is neither control.
    kept = reference | ~random | (scores["pairs"] == "true")
    if "inputs" in scores:  # a student of two inputs is scored on the target alone
        kept &= scores["inputs"] == "target"
    teacher = teacher.where(~(reference | random | teacher.isin(NO_TEACHER)), "")
    rows = scores.assign(teacher=teacher, control=control, labels=scores["labels_per_class"].fillna(0).astype(int))
    keys = ["method", "trained", "labels", "pair_fraction", "metric", "option_changes", "control"]
    means = 100 * rows[kept].groupby([*keys, *CELL, "teacher", "seed"])["value"].mean()
    return {key: part.reset_index(level=keys, drop=True) for key, part in means.groupby(level=keys)}


def difference(a: pd.Series[float], b: pd.Series[float]) -> pd.DataFrame:
    """a - b where both are: columns task, student, init, teacher, seed, value. A side without teacher joins any."""
    if a.empty or b.empty:
        return pd.DataFrame(columns=[*CELL, "teacher", "seed", "value"])
    left, right = a.rename("a").reset_index(), b.rename("b").reset_index()
    on = [*CELL, "seed"]
    if (right["teacher"] == "").all():
        both = left.merge(right.drop(columns="teacher"), on=on)
    elif (left["teacher"] == "").all():
        both = left.drop(columns="teacher").merge(right, on=on)
    else:
        both = left.merge(right, on=[*on, "teacher"])
    return both.assign(value=both["a"] - both["b"]).drop(columns=["a", "b"])


def parts(differences: pd.DataFrame, by: Sequence[str] = (*CELL, "teacher")) -> pd.DataFrame:
    """Mean, standard error and degrees of freedom of each condition with at least `MIN_SEEDS` seeds."""
    if differences.empty:
        return pd.DataFrame(columns=[*by, "mean", "se", "df", "count"])
    found = differences.groupby(list(by))["value"].agg(["mean", "std", "count"]).reset_index()
    found = found[found["count"] >= MIN_SEEDS]
    return found.assign(se=found["std"] / np.sqrt(found["count"]), df=found["count"] - 1)


def mean_evidence(differences: pd.DataFrame, region: Region, what: str, note: str = "") -> Evidence:
    """Evidence of the mean over conditions of a difference; interval over seeds, for these conditions alone."""
    found = parts(differences)
    if found.empty:
        return _too_few(differences, what)
    effect, se, df = pooled(found["mean"], found["se"], found["df"])
    tasks = found["task"].nunique()
    data = f"{what}; {tasks} task{'s' * (tasks != 1)}, {len(found)} condition{'s' * (len(found) != 1)}"
    if len(found) > 1:
        spread = f"conditions from {found['mean'].min():+.1f} to {found['mean'].max():+.1f}"
        note = "; ".join(filter(None, (spread, note)))
    evidence = t_evidence(effect, se, df, region, int(found["count"].sum()), "seeds", data, note)
    return replace(evidence, conditions=len(found))


def _too_few(differences: pd.DataFrame, what: str) -> Evidence:
    """What is asked for, and how much of it there is."""
    there = len(differences.groupby([*CELL, "teacher"])) if len(differences) else 0
    return missing(f"{what}: no condition with {MIN_SEEDS} seeds of both", "", len(differences), there)


def each_evidence(differences: pd.DataFrame, region: Region, what: str) -> Evidence:
    """Evidence that a difference lies in the region in every condition."""
    found = parts(differences)
    if found.empty:
        return _too_few(differences, what)
    rows = found.to_dict("records")
    all_of = [t_evidence(r["mean"], r["se"], r["df"], region, int(r["count"]), "seeds", what, r["task"]) for r in rows]
    evidence = every(all_of, region, f"{what}; {len(rows)} condition{'s' * (len(rows) != 1)}")
    return replace(evidence, conditions=len(rows))


def beats(method: str, reference: str, at: Setting, metric: str = "accuracy") -> Test:
    """A method minus another, mean over conditions."""

    def test(data: Data, region: Region) -> Evidence:
        a = series(data, method, at, metric=metric)
        return mean_evidence(difference(a, series(data, reference, at, metric=metric)), region,
                             f"{method} − {reference}, {at}")  # fmt: skip

    return test


def knowledge(method: str, at: Setting) -> Test:
    """A method minus its random-teacher control."""

    def test(data: Data, region: Region) -> Evidence:
        found = difference(series(data, method, at), series(data, method, at, control="random"))
        return mean_evidence(found, region, f"{method} − {method} with a random teacher, {at}")

    return test


def best_minus_best(data: Data, ours: Sequence[str], others: Sequence[str], at: Setting) -> pd.DataFrame:
    """Best of ours minus best of the others, by condition and seed, each picked on the *other* seeds.

    Picking the best on the scores that are then compared flatters whoever has more candidates. Here the picks for a
    seed are by the mean over the remaining ones, so that the difference is of methods chosen beforehand.
    """
    columns = {m: series(data, m, at) for m in (*ours, *others)}
    if any(columns[m].empty for m in ours) or all(columns[m].empty for m in others):
        return pd.DataFrame(columns=[*CELL, "teacher", "seed", "value"])
    wide = pd.concat({m: s.groupby(level=[*CELL, "seed"]).mean() for m, s in columns.items() if len(s)}, axis=1)
    wide = wide.dropna()
    mine, theirs = [m for m in ours if m in wide], [m for m in others if m in wide]
    rows = []
    for condition, cell in wide.groupby(level=CELL):
        x = cell.reset_index(CELL, drop=True)
        if len(x) < 2:
            continue
        rest = (x.sum() - x) / (len(x) - 1)
        for seed in x.index:
            a, b = rest.loc[seed, mine].idxmax(), rest.loc[seed, theirs].idxmax()
            rows.append((*condition, "", seed, float(x.loc[seed, a] - x.loc[seed, b])))
    return pd.DataFrame(rows, columns=[*CELL, "teacher", "seed", "value"])


def best_beats_best(ours: Sequence[str], others: Sequence[str], at: Setting, in_each: bool = False) -> Test:
    """Best of ours minus the best of the others: mean over conditions, or in each of them."""

    def test(data: Data, region: Region) -> Evidence:
        found = best_minus_best(data, ours, others, at)
        what = f"best of {', '.join(ours)} − best of {', '.join(others)}, {at}"
        return each_evidence(found, region, what) if in_each else mean_evidence(found, region, what)

    return test


def pair_drop(method: str, fraction: float = 0.05, less_than: str = "") -> Test:
    """Points lost from all pairs to a fraction of them; with `less_than`, that method's loss minus this one's."""

    def test(data: Data, region: Region) -> Evidence:
        few = Setting("head", None, fraction)
        own = _indexed(difference(series(data, method, LE), series(data, method, few)))
        what = f"{method}, all pairs − {fraction:.0%} of them"
        if not less_than:
            return mean_evidence(own.reset_index(), region, what)
        other = _indexed(difference(series(data, less_than, LE), series(data, less_than, few)))
        return mean_evidence(difference(other, own), region, f"{less_than}'s drop − {method}'s, to {fraction:.0%}")

    return test


def _indexed(differences: pd.DataFrame) -> pd.Series[float]:
    return differences.set_index([*CELL, "teacher", "seed"])["value"]


def few_shot(method: str, shots: Sequence[int], trained: str, reference: str = "sup-ft") -> Test:
    """A method minus supervised training from scratch with as many labels, at every number of them."""

    def test(data: Data, region: Region) -> Evidence:
        found = []
        for n in shots:
            a, b = series(data, method, Setting(trained, n)), series(data, reference, Setting("all", n))
            found.append(mean_evidence(difference(a, b), region, f"{method} − {reference}, {n} labels"))
        what = f"{method} ({'linear' if trained == 'head' else 'fine-tuned'}) − {reference} (fine-tuned)"
        return every(found, region, f"{what} at {', '.join(map(str, shots))} labels a class")

    return test
