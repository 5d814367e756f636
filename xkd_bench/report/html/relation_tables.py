"""Tables of the relation of gain and gap: slopes, covariates, what carries them, sign errors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from xkd_bench.analysis import study
from xkd_bench.analysis.influence import cooks, leave_one_task_out
from xkd_bench.analysis.intervals import TINY
from xkd_bench.analysis.regression import ols, regress
from xkd_bench.analysis.sign_errors import sign_errors, worst
from xkd_bench.report.claims import chance, number
from xkd_bench.report.html.content import Maker
from xkd_bench.report.html.table import Entry, Table

FITS = {"ols": "least squares, cluster-robust", "mixed": "mixed model", "theil-sen": "Theil–Sen",
        "york": "errors in both variables", "spearman": "Spearman's ρ, permuted"}  # fmt: skip
LEGEND = (
    "Slopes are of points (or percent) for 0.1 of gap, within task family; a range holds 95 %. Theory expects excess "
    "risk to grow with the gap, the paper that gains fall. Least squares and, where it says so, the mixed model allow "
    "slopes that differ between families; the others speak of these families alone. —: not to be had, the note says "
    "why."
)
SIGNS = (
    "Of conditions that differ in one factor: the share whose difference has the sign that is not claimed, weighted by "
    "how surely noise leaves both signs as they are; 50 % is chance. —: fewer than three pairs are told from noise. p: "
    "how often shuffled gaps of the family do as well."
)
PERCENT = 100.0
Row = Mapping[Hashable, Any]
Found = pd.DataFrame | None
NUMBERS = ("slope", "95 %", "p")


@dataclass(frozen=True)
class Shown:
    """One table. make: conditions and definition to its numbers, or None. row: a row of them to cells. head: names of
    the columns, the first and those in `texts` are text."""

    kind: str
    lead: str
    caption: str
    make: Callable[[pd.DataFrame, str], Found]
    row: Callable[[Row], tuple[Entry, ...]]
    head: tuple[str, ...]
    legend: str = ""
    texts: tuple[str, ...] = ("note", "sign")

    def columns(self) -> tuple[tuple[str, str], ...]:
        return tuple((n, "text" if i == 0 or n in self.texts else "number") for i, n in enumerate(self.head))


def relation_tables(
    maker: Maker, parts: Mapping[str, pd.DataFrame], gap: str, short: str, rests: str
) -> Iterator[tuple[str, pd.DataFrame, Table]]:
    """(kind, its numbers, its table) of one gap; parts: conditions by definition of the gain."""
    for shown in SHOWN:
        made = [(name, shown.make(rows, name)) for name, rows in parts.items()]
        there = [found.assign(definition=name) for name, found in made if found is not None and len(found)]
        if not there:
            continue
        found = pd.concat(there, ignore_index=True)
        groups = tuple(
            (study.NAMES[str(name)], tuple(shown.row(row) for row in part.to_dict("records")))
            for name, part in found.groupby("definition", sort=False)
        )
        extra = _worst_words(found) if shown.kind == "sign_errors" else shown.caption
        table = Table(maker.next_table(), f"{shown.kind.replace('_', '-')}-{short}", f"{shown.lead}, {gap}",
                      " ".join(filter(None, (extra, rests))), shown.columns(), groups, shown.legend)  # fmt: skip
        yield shown.kind, found, maker.finished(table, found)


def _covariates(rows: pd.DataFrame, _: str) -> Found:
    """Least squares without covariates, with each, and with all that vary within a family."""
    rows = study.units(rows)
    varying = [name for name in study.COVARIATES if name in rows and rows[name].notna().all()]
    varying = [name for name in varying if (rows.groupby("family")[name].std().fillna(0.0) > TINY).any()]
    if not varying:
        return None
    sets = [[], *([name] for name in varying), *([varying] if len(varying) > 1 else [])]
    return pd.DataFrame([ols(rows, names).__dict__ | {"estimator": " + ".join(names) or "nothing"} for names in sets])


def _left_out(rows: pd.DataFrame, _: str) -> Found:
    return leave_one_task_out(study.units(rows)) if rows["family"].nunique() > 1 else None


def _outlying(rows: pd.DataFrame, _: str) -> Found:
    found = cooks(study.units(rows))
    return found[found["outlying"]].nlargest(5, "cook")


def _fit_row(row: Row) -> tuple[Entry, ...]:
    unit = 1.0 if row["estimator"] == "spearman" else PERCENT / 10
    name = FITS.get(str(row["estimator"]), str(row["estimator"]).replace("_", " "))
    return (Entry(name), Entry(number(unit * row["slope"])), Entry(_range(row, unit)), Entry(chance(row["p"])),
            Entry(str(row["note"])))  # fmt: skip


def _left_row(row: Row) -> tuple[Entry, ...]:
    turned = "turns" if row["flips"] else "stays" if np.isfinite(row["slope"]) else "—"
    return (Entry(str(row["family"])), Entry(str(row["n"])), Entry(number(PERCENT / 10 * row["slope"])),
            Entry(_range(row, PERCENT / 10)), Entry(turned))  # fmt: skip


def _heavy_row(row: Row) -> tuple[Entry, ...]:
    return (Entry(str(row["condition"])), Entry(number(row["cook"])), Entry(number(row["leverage"])),
            Entry(number(PERCENT / 10 * row["slope_without"])))  # fmt: skip


def _sign_row(row: Row) -> tuple[Entry, ...]:
    wrong = "—" if np.isnan(row["error"]) else f"{100 * row['error']:.0f} %"
    return (Entry(f"{row['family']}, {row['factor']}"), Entry(str(row["pairs"])), Entry(f"{row['weight']:.1f}"),
            Entry(wrong), Entry(chance(row["p"])))  # fmt: skip


def _range(row: Row, unit: float) -> str:
    return "—" if np.isnan(row["low"]) else f"{number(unit * row['low'])} to {number(unit * row['high'])}"


def _worst_words(signs: pd.DataFrame) -> str:
    told = []
    for definition, part in signs.groupby("definition", sort=False):
        top, mean, where = worst(part)
        if where:
            told.append(f"{study.NAMES[str(definition)]} {100 * top:.0f} % ({where}), mean {100 * mean:.0f} %")
    return f"Worst environment: {'; '.join(told)}." if told else "No environment has pairs that noise leaves apart."


SHOWN = (
    Shown("fits", "Slopes", "", lambda rows, _: regress(study.units(rows)), _fit_row,
          ("estimator", *NUMBERS, "note"), LEGEND),
    Shown("covariates", "Least squares with covariates",
          "The same slope beside what else may make it: the reference's accuracy, the number of pairs, the "
          "effective rank of the features.", _covariates, _fit_row, ("besides the gap", *NUMBERS, "note")),
    Shown("left_out", "Without each task family", "Least squares on the others.", _left_out, _left_row,
          ("left out", "n", "slope", "95 %", "sign")),
    Shown("influence", "Conditions that carry the slope", "Cook's distance above 4 / n, the five largest of each.",
          _outlying, _heavy_row, ("condition", "Cook's D", "leverage", "slope without it")),
    Shown("sign_errors", "Sign errors", "", lambda rows, name: sign_errors(rows, study.expected(name)), _sign_row,
          ("family, factor", "pairs", "weight", "wrong", "p"), SIGNS),
)  # fmt: skip
