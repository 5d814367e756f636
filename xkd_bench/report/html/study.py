"""Does the gain fall as the gap grows? Plots, tables, and what is missing for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from xkd_bench.analysis import study
from xkd_bench.analysis.intervals import TINY
from xkd_bench.analysis.regression import MIN_ROWS
from xkd_bench.report.html.content import Block, Figure, Maker, records_of
from xkd_bench.report.html.relation_tables import PERCENT, relation_tables
from xkd_bench.report.html.table import Table
from xkd_bench.report.scatter import scatter
from xkd_bench.report.words import count, listing

GAPS = {
    "tv_classifier": "total variation that a classifier proves",
    "tv_gibbs_normalised": "TV of Gibbs laws over its null",
}
AXES = {"raw": "gain, points", "relative": "gain, % of the reference", "error_reduction": "error reduction, %",
        "excess_risk": "excess risk, points"}  # fmt: skip
Relations = dict[str, pd.DataFrame]


def relation_block(maker: Maker, conditions: pd.DataFrame, scores: pd.DataFrame) -> Block:
    """Scatter plots and tables of the gaps that were chosen beforehand; what is missing where there are too few."""
    title = "Does the gain fall as the gap grows?"
    tables: list[Table] = []
    figures: list[Figure] = []
    numbers: dict[str, list[dict[str, Any]]] = {}
    for estimator in study.ESTIMATORS:
        parts = relations(conditions, estimator)
        if not parts:
            continue
        rests = rests_on(parts, scores)
        figures.append(_figure(maker, parts, estimator, rests))
        gap = GAPS[estimator.partition(":")[2]]
        for kind, found, table in relation_tables(maker, parts, gap, _short(estimator), rests):
            numbers.setdefault(kind, []).extend(records_of(found.assign(gap_estimator=estimator)))
            tables.append(table)
    return Block(
        "relation", title, lead=_lead(), tables=tuple(tables), figures=tuple(figures),
        lacking=tuple(lacking(conditions, scores)), commands=(study.COMMAND,) * bool(tables), numbers=numbers,
    )  # fmt: skip


def _lead() -> str:
    return (
        "Each condition is a pair of modalities, or one degree of a pair, with the mean gain of "
        f"{' and '.join(study.OURS)} over the usual reference after linear evaluation, and the gap of its oracle "
        "encoders, which never saw the student. What differs between task families for other reasons is taken out by "
        "an intercept for each."
    )


def relations(conditions: pd.DataFrame, estimator: str) -> Relations:
    """Of each definition that has enough conditions whose gap and gain vary within a family: its conditions."""
    out = {}
    for definition in study.DEFINITIONS:
        rows = study.relation(conditions, definition, estimator)
        if not problem(rows):
            out[definition] = rows
    return out


def problem(rows: pd.DataFrame) -> str:
    """Why nothing can be said of these conditions; '' if something can."""
    if len(rows) < MIN_ROWS:
        return f"{count(len(rows), 'condition')} with {study.MIN_SEEDS} seeds, at least {MIN_ROWS} are needed"
    for name in ("gap", "gain"):
        if not (rows.groupby("family")[name].std().fillna(0.0) > TINY).any():
            return f"the {name} does not vary within any task family"
    return ""


def lacking(conditions: pd.DataFrame, scores: pd.DataFrame) -> Iterator[tuple[str, str]]:
    """What keeps this section from saying more, each with the command that mends it."""
    for estimator in study.ESTIMATORS:
        gaps = GAPS[estimator.partition(":")[2]]
        why: dict[str, list[str]] = {}
        enough = []
        for definition in study.DEFINITIONS:
            rows = study.relation(conditions, definition, estimator)
            if reason := problem(rows):
                why.setdefault(reason, []).append(study.NAMES[definition])
            else:
                enough.append(len(rows))
        for reason, names in why.items():
            yield f"Not shown on the {gaps}: {listing(names)} ({reason}).", study.COMMAND
        if enough and min(enough) < study.MIN_CONDITIONS:
            few = f"{min(enough)} conditions on the {gaps}; {study.MIN_CONDITIONS} were fixed beforehand as the least"
            yield f"{few} that decides a claim: verdicts stay undecided.", study.COMMAND
    if unmeasured := _without_gap(conditions, scores):
        yield f"Scores, but no measured gap of oracle encoders: {listing(unmeasured)}.", study.COMMAND


def _without_gap(conditions: pd.DataFrame, scores: pd.DataFrame) -> list[str]:
    ours = scores[scores["method"].isin(study.OURS) & (scores["protocol"] == study.PROTOCOL)]
    there = set() if conditions.empty else set(conditions["condition"])
    return sorted(set(ours["task"].astype(str)) - there)


def rests_on(parts: Relations, scores: pd.DataFrame) -> str:
    """'Rests on 36 conditions in 6 families, 5 seeds each, 360 runs.'"""
    rows = max(parts.values(), key=len)
    runs = scores[scores["task"].isin(set(rows["condition"])) & (scores["protocol"] == study.PROTOCOL)]
    fewest, most = int(rows["n_seeds"].min()), int(rows["n_seeds"].max())
    seeds = count(most, "seed") if fewest == most else f"{fewest} to {most} seeds"
    units, families = len(study.units(rows)), rows["family"].nunique()
    of = f" ({units} independent units: pairs of styles that descend from each other are one)" * (units < len(rows))
    ran = f", {count(int(runs['key'].nunique()), 'run')} with their controls" * bool(len(runs))
    family = "family" if families == 1 else "families"
    shared = " Pairs that share a style are taken as independent, but by permutation tests." * bool(
        rows["condition"].str.contains(">").any()
    )
    return f"Rests on {count(len(rows), 'condition')}{of} in {families} task {family}, {seeds} each{ran}.{shared}"


def _figure(maker: Maker, parts: Relations, estimator: str, rests: str) -> Figure:
    gap = GAPS[estimator.partition(":")[2]]
    drawn = {
        AXES[name]: rows.assign(gain=PERCENT * rows["gain"], gain_se=PERCENT * rows["gain_se"])
        for name, rows in parts.items()
    }
    name = f"gain-on-gap-{_short(estimator)}"
    alt = (
        f"Scatter plots of {listing([study.NAMES[n] for n in parts])} against the {gap}, a dot a condition, a colour a "
        "task family. The slopes are in the tables below."
    )
    fig = scatter(drawn, "Gain against gap", f"gap: {gap}; bars are 95 %; lines: least squares in a family", gap)
    return maker.figure(
        fig, name, alt, f"Gain against the {gap}, a dot a condition. Bars: 1.96 standard errors. {rests}"
    )


def _short(estimator: str) -> str:
    return estimator.partition(":")[2].replace("_", "-")
