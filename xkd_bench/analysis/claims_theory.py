"""Tests of the theory on this suite's conditions and records: gap and risk, trends, rates, the bound itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from xkd_bench.analysis import study
from xkd_bench.analysis.bound_check import informative
from xkd_bench.analysis.claims_records import CELL, MIN_SEEDS, Setting, mean_evidence, series
from xkd_bench.analysis.ledger import Data, Test
from xkd_bench.analysis.permutation import association, fisher_interval
from xkd_bench.analysis.verdicts import Evidence, Region, every, missing, t_evidence

WIDTHS = (
    ("simclr-resnet50-1x", "simclr-resnet50-2x", "simclr-resnet50-4x"),
    ("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"),
)
"""Teachers of one design, from narrow to wide."""


def gap_relation(definition: str, estimator: str, protocol: str = study.PROTOCOL) -> Test:
    """Rank correlation, within task, of a gain (or excess risk) with a gap; p by permutation within task.

    What is permuted are `study.units`, conditions that descend from each other being one; of pairs of styles, the
    styles.
    """

    def test(data: Data, region: Region) -> Evidence:
        what = f"{definition} on {estimator}, {protocol}"
        found = study.relation(data.conditions, definition, estimator, protocol)
        if len(found) < study.MIN_CONDITIONS:
            few = f"{study.MIN_CONDITIONS} conditions with {study.MIN_SEEDS} seeds; there are {len(found)}"
            return missing(few, what, len(found), len(found))
        units = study.units(found)
        out = association(units["gap"], units["gain"], units["family"], names=units["condition"].tolist())
        if np.isnan(out.r):
            return missing(f"{definition} or gap that varies within a task", what)
        low, high = fisher_interval(out.r, out.n - out.groups + 1)
        note = f"{out.groups} tasks; mean of {' and '.join(study.OURS)}"
        note += f"; {len(found)} conditions in {len(units)} independent units" * (len(units) < len(found))
        basis = "permutation within task"
        return Evidence(out.r, low, high, out.p, out.n, basis, None, what, note, conditions=len(found))

    return test


def in_every_scale(estimator: str, protocol: str = study.PROTOCOL) -> Test:
    """The relation has the claimed sign for raw, relative and error-reduction gains alike."""

    def test(data: Data, region: Region) -> Evidence:
        found = [gap_relation(scale, estimator, protocol)(data, region) for scale in study.SCALES]
        return every(found, region, f"{', '.join(study.SCALES)} gains on {estimator}, {protocol}")

    return test


def bound_holds(data: Data, region: Region) -> Evidence:
    """In every run whose bound says something, the bound minus the excess risk, in points.

    It rests on informative runs alone (`bound_check.informative`): a bound that no excess risk can break holds whether
    the theorem does or not, and a verdict that only such runs support was certain before the data. Support asks for as
    much as H1 does, `study.MIN_CONDITIONS` conditions with `study.MIN_SEEDS` seeds. A run above its bound can refute
    alone: the claim is of every run.
    """
    if data.bounds.empty:
        return missing("the terms of the bound of runs")
    df = data.bounds[data.bounds[["excess", "excess_se", "bound"]].notna().all(axis=1)]
    told, above = informative(df), df["excess"] > df["bound"]
    judged = df[told | above]
    enough = len(_with_seeds(judged))
    what = f"bound − excess risk, κ = 1: {len(df)} bound{'s' * (len(df) != 1)}, {int(told.sum())} informative"
    if enough < study.MIN_CONDITIONS and not above.any():
        asked = f"{study.MIN_CONDITIONS} conditions with {study.MIN_SEEDS} seeds of informative bounds, below the "
        asked += f"largest excess risk that there can be; there are {enough}; {what.partition(': ')[2]}"
        made = len(_with_seeds(df)) >= study.MIN_CONDITIONS  # the same command would make such bounds again
        return missing(asked, what, len(judged), judged["condition"].nunique(), fillable=not made)
    runs = [
        t_evidence(100 * (row["bound"] - row["excess"]), 100 * row["excess_se"], float("inf"), region, 1, "test items",
                   "", str(row["condition"]))
        for row in judged.to_dict("records")
    ]  # fmt: skip
    return replace(every(runs, region, what), conditions=judged["condition"].nunique())


def _with_seeds(bounds: pd.DataFrame) -> list[str]:
    """Conditions of which runs of enough seeds are there."""
    seeds = bounds.groupby("condition")["seed"].nunique()
    return [str(name) for name in seeds.index[seeds >= study.MIN_SEEDS]]


def teacher_width(method: str = "cmc") -> Test:
    """Page's L over blocks of task, student and seed, as the mean rank correlation of score and teacher's width."""

    def test(data: Data, region: Region) -> Evidence:
        scores = series(data, method, Setting("head"))
        found = [(names, _blocks(scores, names)) for names in WIDTHS]
        names, blocks = max(found, key=lambda pair: len(pair[1]))
        conditions = len(blocks.groupby(level=CELL)) if len(blocks) else 0
        if len(blocks) < MIN_SEEDS:
            few = f"{MIN_SEEDS} seeds of one student with three teachers of one design ({', '.join(names)})"
            return missing(few, n=len(blocks), conditions=conditions)
        evidence = page(blocks.to_numpy(), region, f"{method}, teachers {', '.join(names)}")
        return replace(evidence, conditions=conditions)

    return test


def _blocks(scores: pd.Series[float], names: Sequence[str]) -> pd.DataFrame:
    """Blocks × teachers, those blocks that have them all."""
    if scores.empty:
        return pd.DataFrame(columns=list(names))
    df = scores.rename("value").reset_index()
    df["teacher"] = df["teacher"].str.partition(" ")[0]
    wide = df[df["teacher"].isin(names)].pivot_table(index=[*CELL, "seed"], columns="teacher", values="value")
    return wide.reindex(columns=list(names)).dropna()


def page(x: np.ndarray, region: Region, data: str) -> Evidence:
    """Page's trend test of blocks x: [blocks, treatments in the claimed order].

    Effect: the mean over blocks of Spearman's correlation of score and order, a linear function of Page's L, so that
    0 is its mean under no trend. p: two-sided, by scipy's exact or asymptotic distribution of L. Page, J. Amer.
    Statist. Assoc. 58 (1963) 216-230.
    """
    from scipy.stats import page_trend_test, rankdata

    n, k = x.shape
    effect = float(np.mean([np.corrcoef(rankdata(row), np.arange(k))[0, 1] if np.ptp(row) else 0.0 for row in x]))
    one = [float(page_trend_test(side).pvalue) for side in (x, x[:, ::-1])]
    half = 1.96 * np.sqrt(1 / (n * (k - 1)))
    p = min(1.0, 2 * min(one))
    return Evidence(effect, max(-1.0, effect - half), min(1.0, effect + half), p, n, "blocks", None, data,
                    "interval from the null variance of L")  # fmt: skip


def label_rate(method: str, shots: Sequence[int]) -> Test:
    """Exponent b of risk(n) − risk(all labels) ∝ n^b, by least squares of logarithms, a slope for each seed.

    The student is the same for all n: only its head is trained.
    """

    def test(data: Data, region: Region) -> Evidence:
        whole = series(data, method, Setting("head"))
        columns = {n: series(data, method, Setting("head", n)) for n in shots}
        if whole.empty or any(column.empty for column in columns.values()):
            return missing(f"linear scores of {method} at {', '.join(map(str, shots))} labels a class and at all")
        excess = pd.concat({n: whole - column for n, column in columns.items()}, axis=1).dropna()
        excess = excess[(excess > 0).all(axis=1)]
        log_n = np.log(np.array(shots, dtype=float))
        slopes = np.log(excess.to_numpy()) @ (log_n - log_n.mean()) / ((log_n - log_n.mean()) ** 2).sum()
        rows = excess.index.to_frame(index=False).assign(value=slopes)
        return mean_evidence(rows, region, f"{method}, exponent over {', '.join(map(str, shots))} labels a class")

    return test
