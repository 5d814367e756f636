"""The bound against what was observed: run by run, term by term, step by step, and the κ that runs refute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from xkd_bench.analysis import study
from xkd_bench.analysis.bound_check import LINK, REST, SCALED, Check, check, informative, links, loosest, summands
from xkd_bench.analysis.scores import is_random
from xkd_bench.report.bound import NAMES, bound_plot, chain_plot, terms_plot
from xkd_bench.report.claims import number
from xkd_bench.report.html.content import Block, Figure, Maker, records_of
from xkd_bench.report.html.table import Entry, Table
from xkd_bench.report.words import count, listing, title_of

TITLE = "The bound"
HIDDEN = ("risk", "excess", "bound", "kappa", LINK)
"""Beginnings of the names of terms that stand in other tables."""
MEANING = {"exact": "known in closed form", "measured": "its range holds for the term itself",
           "proxy": "another quantity, read in its place",
           "vacuous": "true, and too large to say anything"}  # fmt: skip


def bound_block(maker: Maker, bounds: pd.DataFrame, terms: pd.DataFrame) -> Block:
    """Plots and tables of all runs with a bound; what is missing where there is none."""
    found = check(bounds, terms) if len(bounds) else None
    if found is None or found.runs.empty:
        return Block("bound", TITLE, lacking=(("No run has its bound and its excess risk yet.", study.COMMAND),))
    rests = _rests(found.runs)
    there = terms[terms["run"].isin(set(found.runs["run"]))] if len(terms) else terms
    placed = there.merge(found.runs[["run", "family"]], on="run") if len(there) else there
    steps = links(there) if len(there) else pd.DataFrame()
    tables = [_families(maker, found, rests)]
    if len(placed):
        tables.append(_terms(maker, placed, rests))
    if len(steps):
        tables.append(_steps(maker, steps, rests))
    numbers = {
        "runs": records_of(found.runs), "links": records_of(steps), "violations": found.violations, "told": found.told,
        "kappa": found.kappa if np.isfinite(found.kappa) else None,
        "kappa_low": found.kappa_low if np.isfinite(found.kappa_low) else None,
    }  # fmt: skip
    return Block("bound", TITLE, lead=_words(found) + _failing(steps), tables=tuple(tables),
                 figures=tuple(_figures(maker, found, placed, steps, rests)), lacking=tuple(_lacking(bounds, found)),
                 commands=(study.COMMAND,), numbers=numbers)  # fmt: skip


def _words(found: Check) -> str:
    n = len(found.runs)
    vacuous = int((~informative(found.runs)).sum())
    kappa = ""
    if np.isfinite(found.kappa):
        refuted = f"κ below {number(found.kappa_low)} is refuted" if found.kappa_low > 0 else "no κ is refuted"
        kappa = (
            f" The largest κ that a run asks for is {number(found.kappa)}; given the test items, {refuted} (5 %, all "
            "runs together). No run can show that a κ suffices."
        )
    return (
        f"Excess risk lies above the bound with κ = 1 in {found.violations} of {count(n, 'run')}, in {found.told} by "
        f"more than test items explain (Bonferroni over runs, 5 %). In {vacuous} the bound is no less than the largest "
        f"excess risk that there can be, and holds whatever happens.{kappa} A bound that rests on proxies can fail "
        "without the theory, and hold without it."
    )


def _failing(steps: pd.DataFrame) -> str:
    """The steps of the argument that fail somewhere, in words."""
    if steps.empty:
        return ""
    failing = [f"{row['note']}, in {row['fails']} of {count(int(row['runs']), 'run')}"
               for row in steps.to_dict("records") if row["fails"]]  # fmt: skip
    if not failing:
        return " Every step of the argument holds in every run."
    return f" What fails of the argument's steps: {'; '.join(failing)}."


def _rests(runs: pd.DataFrame) -> str:
    seeds, conditions, families = (runs[name].nunique() for name in ("seed", "condition", "family"))
    items = runs["n_test"].dropna()
    tested = f"; {int(items.min()):,} test items or more" if len(items) else ""
    return (
        f"Rests on {count(len(runs), 'run')}: {count(seeds, 'seed')}, {count(conditions, 'condition')} in {families} "
        f"task {'family' if families == 1 else 'families'}{tested}."
    )


def _lacking(bounds: pd.DataFrame, found: Check) -> Iterator[tuple[str, str]]:
    if left := len(bounds) - len(found.runs):
        yield f"{count(left, 'run')} without excess risk, its error or a bound: left out.", study.COMMAND
    if broken := int(found.runs["scaled"].isna().sum()):
        yield f"Terms of {count(broken, 'run')} do not add up to the bound: they say nothing of κ.", study.COMMAND


def _figures(maker: Maker, found: Check, placed: pd.DataFrame, steps: pd.DataFrame, rests: str) -> Iterator[Figure]:
    yield maker.figure(
        bound_plot(found.runs, "The bound and the observed excess risk", "κ = 1; bars: 95 %; shaded: says nothing"),
        "bound", "Excess risk of each run against its bound, with the line where they are equal. Numbers: tables "
        "below.",
        f"Excess risk against the bound's right-hand side with κ = 1, a dot a run. {rests}",
    )  # fmt: skip
    parts = summands(placed) if len(placed) else placed
    if len(parts):
        grouped = parts.groupby(["family", "term"], sort=False)
        means = grouped.agg(part=("part", "mean"), tag=("tag", loosest)).reset_index()
        excess = found.runs.groupby("family")["excess"].mean()
        drawn = terms_plot(means, excess, "What the bound is made of", "upper limits, means over runs; hatched: proxy")
        alt = (
            f"Stacked bars, a family each, of {listing([NAMES[n] for n in (*SCALED, *REST)])}. Numbers: table of terms."
        )
        caption = (
            "The terms that the bound sums, each at its upper limit, means over runs; colours say what they rest on."
        )
        yield maker.figure(drawn, "bound-terms", alt, f"{caption} {rests}")
    if len(steps):
        names = {str(row["term"]): str(row["note"]) for row in steps.to_dict("records")}
        alt = f"Slack of each step, a dot a run: {listing(list(names.values()))}. Numbers: table of steps."
        drawn = chain_plot(
            placed, names, "Every step to the bound", "right side less left, a dot a run; left of 0: fails"
        )
        yield maker.figure(drawn, "bound-steps", alt, f"Every inequality on the way to the bound, as measured. {rests}")


def _families(maker: Maker, found: Check, rests: str) -> Table:
    rows, lines = [], []
    for (family, method), part in found.runs.groupby(["family", _named(found.runs)]):
        row = {"family": family, "method": method, "runs": len(part), "excess": part["excess"].mean(),
               "excess_sd": part["excess"].std(), "bound": part["bound"].mean(), "bound_min": part["bound"].min(),
               "tightness": (part["excess"] / part["bound"]).median(), "above": int(part["above"].sum()),
               "told": int(part["told"].sum()), "kappa": part["kappa"].max()}  # fmt: skip
        rows.append(row)
        lines.append((Entry(f"{family}, {method}"), Entry(str(row["runs"])), _mean(row["excess"], row["excess_sd"]),
                      Entry(f"{row['bound']:.2f}"), Entry(f"{row['bound_min']:.2f}"), Entry(f"{row['tightness']:.3f}"),
                      Entry(f"{row['above']} ({row['told']})"), Entry(_kappa(row["kappa"]))))  # fmt: skip
    columns = (("family, method", "text"), ("runs", "number"), ("excess risk", "number"), ("bound", "number"),
               ("least", "number"), ("tightness", "number"), ("above (told)", "number"),
               ("κ asked", "number"))  # fmt: skip
    caption = (
        "Means over runs; ± is the standard deviation over them. Tightness: excess risk over bound, the median (1 is "
        "tight). Above: runs whose excess risk is over the bound (told: by more than test items explain). κ asked: the "
        f"largest that a run needs, after its margin, capacity and sampling. {rests}"
    )
    table = Table(maker.next_table(), "bound-runs", "Bound and excess risk", caption, columns, (("", tuple(lines)),))
    return maker.finished(table, pd.DataFrame(rows))


def _named(runs: pd.DataFrame) -> pd.Series[str]:
    """Methods, with the control that a run is: as in the tables of scores."""
    name = runs["method"].astype(str)
    name = name.where(~runs["teacher"].astype(str).map(is_random), name + " · random teacher")
    return name.where(runs["pairs"] != "shuffled", name + " · shuffled pairs").rename("variant")


def _terms(maker: Maker, placed: pd.DataFrame, rests: str) -> Table:
    """Every term over all runs: those that the bound sums, then those beside it."""
    summed = [name for name in (*SCALED, *REST) if (placed["term"] == name).any()]
    beside = [str(name) for name in placed["term"].unique() if name not in summed and not str(name).startswith(HIDDEN)]
    groups, rows = [], []
    for title, names in (("in the bound, at their upper limits", summed), ("beside it", beside)):
        lines = []
        for name in names:
            part = placed[(placed["term"] == name) & placed["value"].notna()]
            if part.empty:
                continue
            row: dict[str, Any] = {"term": name, "summed": title, "runs": len(part), "value": part["value"].mean(),
                                   "sd": part["value"].std(), "high": part["high"].mean(),
                                   "least": part["value"].min(), "most": part["value"].max(),
                                   "tag": loosest(part["tag"]), "note": str(part["note"].iloc[0])}  # fmt: skip
            rows.append(row)
            lines.append((Entry(name, note=row["tag"]), _mean(row["value"], row["sd"]), Entry(number(row["high"])),
                          Entry(f"{number(row['least'])} to {number(row['most'])}"), Entry(row["note"])))  # fmt: skip
        if lines:
            groups.append((title, tuple(lines)))
    columns = (("term", "text"), ("value", "number"), ("upper limit", "number"), ("from, to", "number"),
               ("what it is", "text"))  # fmt: skip
    caption = f"Means over runs ± standard deviation; total variations stand in the bound twice. {rests}"
    legend = "; ".join(f"{tag}: {meaning}" for tag, meaning in MEANING.items())
    table = Table(
        maker.next_table(), "bound-terms", "Terms", caption, columns, tuple(groups), title_of(legend), wide=True
    )
    return maker.finished(table, pd.DataFrame(rows))


def _steps(maker: Maker, steps: pd.DataFrame, rests: str) -> Table:
    lines = tuple(
        (Entry(str(row["note"]), note=str(row["term"]).removeprefix(LINK)), Entry(str(row["runs"])),
         Entry(str(row["fails"])), Entry(number(row["least"])), Entry(number(row["median"])), Entry(str(row["tag"])))
        for row in steps.to_dict("records")
    )  # fmt: skip
    columns = (("step", "text"), ("runs", "number"), ("fails in", "number"), ("least", "number"), ("median", "number"),
               ("rests on", "text"))  # fmt: skip
    caption = (
        "Right side less left side of each inequality on the way to the bound, as measured; below 0 it fails in that "
        f"run. A step about expectations may fail on a sample. {rests}"
    )
    table = Table(maker.next_table(), "bound-steps", "Step by step", caption, columns, (("", lines),))
    return maker.finished(table, steps)


def _mean(value: float, sd: float) -> Entry:
    return Entry(number(value), number(sd) if np.isfinite(sd) else "")


def _kappa(value: float) -> str:
    return "none" if np.isfinite(value) and value <= 0 else number(value)
