"""The chapter on theory: gain and gap, specification curve, the bound, power; or what is missing for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from xkd_bench.analysis import published, study
from xkd_bench.analysis.permutation import association
from xkd_bench.analysis.power import conditions_needed, correlation_needed, correlation_seen, slope_seen
from xkd_bench.analysis.regression import design
from xkd_bench.analysis.specification import curve, in_words
from xkd_bench.errors import UsageError
from xkd_bench.report.claims import chance, number
from xkd_bench.report.html.bound import bound_block
from xkd_bench.report.html.content import Block, Maker, records_of
from xkd_bench.report.html.relation_tables import PERCENT
from xkd_bench.report.html.study import GAPS, relation_block, relations, rests_on
from xkd_bench.report.html.table import Entry, Table
from xkd_bench.report.power import power_figure
from xkd_bench.report.specification import specification_plot
from xkd_bench.report.words import count

STATISTICS = {"median": "median correlation", "share": "share with the claimed sign",
              "significant": "share with it, significant at 5 %"}  # fmt: skip
PUBLISHED = (("raw", "points"), ("relative", "relative"), ("error", "error reduction"))


def theory(
    maker: Maker, conditions: pd.DataFrame, bounds: pd.DataFrame, terms: pd.DataFrame, scores: pd.DataFrame
) -> list[Block]:
    """The chapter's sections; one that says what is missing before the bound study was run."""
    if conditions.empty and bounds.empty:
        what = "No gap of oracle encoders and no bound was measured yet: gains cannot be set against either."
        asked = "Does the gain fall as the gap grows, and does the bound hold?"
        return [Block("relation", asked, lacking=((what, study.COMMAND),))]
    return [
        relation_block(maker, conditions, scores),
        specification_block(maker, conditions),
        bound_block(maker, bounds, terms),
        power_block(maker, conditions, scores),
    ]


def specification_block(maker: Maker, conditions: pd.DataFrame) -> Block:
    """Every gap, gain, method and protocol at once, tested jointly."""
    title = "Specification curve"
    rows = conditions if conditions.empty else conditions[conditions["n_seeds"] >= study.MIN_SEEDS]
    if rows.empty:
        none = f"No condition with {study.MIN_SEEDS} seeds and a measured gap."
        return Block("specifications", title, lacking=((none, study.COMMAND),))
    try:
        found = curve(study.units(study.signed(rows)))
    except UsageError as error:
        return Block("specifications", title, lacking=((f"Not shown: {error}.", study.COMMAND),))
    rests = (
        f"Rests on {count(found.conditions, 'independent condition')} in {found.families} task "
        f"{'family' if found.families == 1 else 'families'}, {study.MIN_SEEDS} seeds or more each."
    )
    said = in_words(found)
    alt = f"Correlations of every specification in order, with the choices of each below. {said}."
    drawn = maker.figure(
        specification_plot(found, "Specification curve: gain and gap"), "specification-curve", alt,
        "Rank correlations of gain and gap of every specification, within task family; excess risk with its sign "
        "turned. Blue: gains fall with the gap, as claimed; full: p ≤ .05 alone. Grey: 95 % of what "
        "shuffled gaps give. "
        f"{rests}",
    )  # fmt: skip
    lines = tuple(
        (Entry(STATISTICS[str(row["statistic"])]), Entry(_statistic(row["statistic"], row["value"])),
         Entry(chance(row["p"])),
         Entry(" to ".join(_statistic(row["statistic"], row[end]) for end in ("null_low", "null_high"))))
        for row in found.joint.to_dict("records")
    )  # fmt: skip
    columns = (("statistic", "text"), ("value", "number"), ("joint p", "number"), ("95 % under shuffles", "number"))
    only = "Specifications share scores and features: only the joint test counts them once."
    caption = f"{said}. The last is one-sided. {only} {rests}"
    table = Table(maker.next_table(), "specification-joint", "Joint permutation test", caption, columns, (("", lines),))
    files = maker.finished(table, found.joint)
    csv = found.specifications.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()
    maker.keep("tables", "specifications", {"csv": csv})
    numbers = {"joint": records_of(found.joint), "specifications": records_of(found.specifications)}
    return Block("specifications", title, tables=(files,), figures=(drawn,), numbers=numbers)


def _statistic(name: Any, value: float) -> str:
    return number(value) if name == "median" else f"{100 * value:.0f} %"


def power_block(maker: Maker, conditions: pd.DataFrame, scores: pd.DataFrame) -> Block:
    """What this design could have seen, and how many conditions the published claim needs."""
    seen = pd.DataFrame(list(_seen(conditions)))
    printed = pd.DataFrame(list(_printed()))
    tables, lacking = [], []
    if len(seen):
        parts = next(found for name in study.ESTIMATORS if (found := relations(conditions, name)))
        tables.append(_seen_table(maker, seen, rests_on(parts, scores)))
    else:
        lacking.append(("Too few conditions to say what this study could have seen.", study.COMMAND))
    tables.append(_printed_table(maker, printed))
    marks = {"CMCD's Table 2": len(published.DATASETS)}
    here = ""
    if len(seen):  # an intercept for each family costs a condition
        marks["here"] = int((seen["n"] - seen["families"] + 1).max())
        here = f"; the {int(seen['n'].max())} here count as {marks['here']} in one family"
    alt = f"Power against the number of conditions, for several true correlations. Marked: {marks}."
    caption = (
        "The chance to see a true correlation, two-sided 5 %. With four conditions, as in the paper, only |ρ| near 1 "
        f"can be seen{here}."
    )
    drawn = maker.figure(power_figure(marks, "What a number of conditions can see"), "power", alt, caption)
    numbers = {"design": records_of(seen), "published": records_of(printed)}
    return Block("power", "Power", tables=tuple(tables), figures=(drawn,), lacking=tuple(lacking), numbers=numbers)


def _seen(conditions: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Of each relation: its units and the smallest slope and correlation that 80 % power sees."""
    for estimator in study.ESTIMATORS:
        for definition, rows in relations(conditions, estimator).items():
            units = study.units(rows)
            x, y = design(units), units["gain"].to_numpy(dtype=float)
            free = len(units) - x.shape[1]
            if free < 1:
                continue
            residual = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
            sd = float(np.sqrt(residual @ residual / free))
            n = len(units) - units["family"].nunique() + 1
            found = association(units["gap"], units["gain"], units["family"], names=units["condition"].tolist())
            yield {"estimator": estimator, "definition": definition, "n": len(units),
                   "families": units["family"].nunique(), "residual_sd": sd,
                   "slope_seen": slope_seen(units["gap"], units["family"], sd), "correlation_seen": correlation_seen(n),
                   "observed": found.r, "p_least": found.p_least}  # fmt: skip


def _seen_table(maker: Maker, seen: pd.DataFrame, rests: str) -> Table:
    groups = []
    for estimator, part in seen.groupby("estimator", sort=False):
        rows = tuple(
            (Entry(study.NAMES[str(row["definition"])]), Entry(str(row["n"])),
             Entry(number(PERCENT * row["residual_sd"])),
             Entry(number(PERCENT / 10 * row["slope_seen"])),
             Entry(number(row["correlation_seen"])), Entry(number(row["observed"])), Entry(chance(row["p_least"])))
            for row in part.to_dict("records")
        )  # fmt: skip
        groups.append((f"on the {GAPS[str(estimator).partition(':')[2]]}", rows))
    columns = (("relation", "text"), ("n", "number"), ("scatter", "number"), ("slope seen", "number"),
               ("|ρ| seen", "number"), ("ρ found", "number"), ("least p", "number"))  # fmt: skip
    caption = (
        "The smallest slope (points or percent for 0.1 of gap) and rank correlation that this design sees with 80 % "
        "power at 5 %, given the scatter about the lines and as if units were independent; what is "
        "smaller may be there "
        f"unseen. Least p: the smallest that the permutation test can give. {rests}"
    )
    return maker.finished(Table(maker.next_table(), "power-design", "What this study could have seen", caption, columns,
                                 tuple(groups)), seen)  # fmt: skip


def _printed() -> Iterator[dict[str, Any]]:
    """CMCD's Table 2: the correlation of gain and distance as printed, and the conditions that would show it."""
    distances = [published.total_variation(d) for d in published.DATASETS]
    for protocol in ("LE", "FT"):
        for kind, words in PUBLISHED:
            r = association(distances, [published.gain(d, protocol, kind) for d in published.DATASETS], rank=False)
            needed = conditions_needed(r.r) if 0 < abs(r.r) < 1 else 0
            yield {"protocol": protocol, "gain": words, "n": r.n, "r": r.r, "p": r.p, "needed": needed,
                   "r_significant": correlation_needed(r.n)}  # fmt: skip


def _printed_table(maker: Maker, printed: pd.DataFrame) -> Table:
    rows = tuple(
        (Entry(f"{row['protocol']}, {row['gain']}"), Entry(str(row["n"])), Entry(number(row["r"])),
         Entry(chance(row["p"])), Entry(number(row["r_significant"])),
         Entry(f"{row['needed']:,}" if row["needed"] else "—"))
        for row in printed.to_dict("records")
    )  # fmt: skip
    columns = (("gain", "text"), ("conditions", "number"), ("r printed", "number"), ("exact p", "number"),
               ("|r| for p < .05", "number"), ("conditions needed", "number"))  # fmt: skip
    caption = (
        "CMCD's claim that gains fall as the distance grows, on the four data sets of its Tables 1 and 2: the "
        "correlation there, the one that four points would need to be significant, and how many "
        "conditions would show the "
        "printed one with 80 % power. For |ρ| of .5, .7 and .8 it takes "
        f"{conditions_needed(0.5)}, {conditions_needed(0.7)} and {conditions_needed(0.8)}."
    )
    return maker.finished(Table(maker.next_table(), "power-published", "What the published claim needs", caption,
                                 columns, (("", rows),)), printed)  # fmt: skip
