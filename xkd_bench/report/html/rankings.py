"""Which methods are better over data sets: aggregates, who beats whom how often, profiles, and mean ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from shlex import quote
from typing import Any

import numpy as np
import pandas as pd

from xkd_bench.analysis.contest import MIN_RANKED, MIN_UNITS, Contest, contest, rows_of
from xkd_bench.analysis.ranking import Scores, aggregate, arranged, improvement, profile
from xkd_bench.analysis.ranking_tests import Ranks, rank_tests
from xkd_bench.analysis.scores import SETTING
from xkd_bench.analysis.study import MIN_SEEDS
from xkd_bench.errors import UsageError
from xkd_bench.report.claims import chance
from xkd_bench.report.html import facts
from xkd_bench.report.html.content import Block, Figure, Maker, records_of
from xkd_bench.report.html.table import Entry, Table
from xkd_bench.report.ranking import aggregate_plot, critical_difference_plot, profile_plot
from xkd_bench.report.sheet import ALPHA
from xkd_bench.report.words import count, listing, protocol_title, short_setting

Comparisons = Sequence[tuple[str, pd.DataFrame]]
Lacking = tuple[str, str]
ONE_SCALE = ["protocol", "protocol_version", "budget", "metric"]
LEVELS = 61
"""Scores at which profiles are drawn."""


def ranking_blocks(maker: Maker, comparisons: Comparisons) -> list[Block]:
    """A section for each protocol and setting that enough data sets share; what the others lack, in one at the end."""
    blocks: list[Block] = []
    missing: dict[Lacking, None] = {}
    for title, part in settings(comparisons):
        of_part = [df for name, df in comparisons if name in set(part["condition"])]
        try:
            found = contest(part)
        except UsageError as error:
            missing[f"{title.partition(':')[0]}: {error}.", _command(of_part[0], seeds=True)] = None
            continue
        if len(found.conditions) < MIN_UNITS:
            said = f"{title.partition(':')[0]}: {_units(found)}, at least {MIN_UNITS} data sets are needed."
            missing[said, _command(of_part[0])] = None
        else:
            blocks.append(_block(maker, f"ranks-{len(blocks) + 1}", title, found, of_part))
    if missing:
        why = (
            "Degrees and pairs that are made of one data set share its items, so they count as one. "
            f"Aggregates need {MIN_UNITS} data sets, tests of ranks {MIN_RANKED}, each with {MIN_SEEDS} seeds; "
            "xkd-bench list tasks names what can stand for NAME."
        )
        blocks.append(Block("ranks-missing", "What cannot be ranked yet", lead=why, lacking=tuple(missing)))
    return blocks


def settings(comparisons: Comparisons) -> Iterator[tuple[str, pd.DataFrame]]:
    """(title, rows for a contest) of each protocol, budget and setting."""
    parts = []
    for name, df in comparisons:
        try:
            parts.append(rows_of(name, df).assign(**{key: df[key].iloc[0] for key in ONE_SCALE}))
        except UsageError:  # the comparison's own section says what is wrong
            continue
    if not parts:
        return
    together = pd.concat(parts, ignore_index=True)
    for _, part in together.groupby([*ONE_SCALE, *SETTING], dropna=False, sort=True):
        one = part.iloc[0]
        setting = short_setting(one["labels_per_class"], float(one["pair_fraction"]), str(one["trained"]))
        yield f"{protocol_title(one['protocol'])}, {one['budget']} budget: {setting}", part


def _units(found: Contest) -> str:
    """'31 conditions of 2 data sets (emoji 26, twin-gaussian 5)'."""
    each = [f"{name} {len(tasks)}" for name, tasks in found.conditions.items()]
    conditions = sum(len(tasks) for tasks in found.conditions.values())
    return f"{count(conditions, 'condition')} of {count(len(each), 'data set')} ({listing(each, most=12)})"


def _command(df: pd.DataFrame, seeds: bool = False) -> str:
    """The command of a comparison with more seeds, or on another task."""
    again = facts.commands(df)[0]
    if seeds:
        return f"{again.partition(' --seeds')[0]} --seeds {MIN_SEEDS}"
    return again.replace(f"--task {quote(str(df['task'].iloc[0]))}", "--task NAME")


def _block(maker: Maker, name: str, title: str, found: Contest, of_part: Sequence[pd.DataFrame]) -> Block:
    """Everything of one setting."""
    rests = _rests(found)
    tables: list[Table] = []
    figures: list[Figure] = []
    numbers: dict[str, Any] = {"units": records_of(found.scores), "conditions": found.conditions}
    lacking: list[Lacking] = []
    try:
        scaled, zero = found.on_one_scale()
    except UsageError as error:
        lacking.append((f"No aggregates: {error}.", _command(of_part[0])))
    else:
        _aggregates(maker, name, title, arranged(scaled), zero, rests, tables, figures, numbers)
    if len(found.conditions) >= MIN_RANKED:
        _ranks(maker, name, title, found, rests, tables, figures, numbers)
    else:
        few = (
            f"No tests of ranks: {count(len(found.conditions), 'data set')}; with fewer than {MIN_RANKED} no "
            "signed-rank test can tell two methods apart at 5 %, whatever their scores are."
        )
        lacking.append((few, _command(of_part[0])))
    out = listing([f"{what} ({why})" for what, why in found.left_out.items()], most=12)
    behind = tuple((unit, listing(tasks, most=40)) for unit, tasks in found.conditions.items())
    return Block(name, title, lead=_lead(found), tables=tuple(tables), figures=tuple(figures), lacking=tuple(lacking),
                 notes=(f"Left out, for all here have the same conditions and seeds: {out}.",) * bool(out),
                 facts=behind, numbers=numbers)  # fmt: skip


def _lead(found: Contest) -> str:
    return (
        f"{_units(found)}. A data set is one unit, the mean over its conditions: degrees of it and pairs that are made "
        "of it share their items and are no evidence of their own."
    )


def _rests(found: Contest) -> str:
    """'Rests on 540 runs: 31 conditions of 2 data sets, 3 seeds of each of 4 methods.'"""
    conditions = sum(len(tasks) for tasks in found.conditions.values())
    of = f"{count(conditions, 'condition')} of {count(len(found.conditions), 'data set')}"
    runs = count(conditions * found.seeds * len(found.methods), "run")
    return f"Rests on {runs}: {of}, {count(found.seeds, 'seed')} of each of {len(found.methods)} methods."


def _aggregates(
    maker: Maker, name: str, title: str, scores: Scores, zero: str, rests: str,
    tables: list[Table], figures: list[Figure], numbers: dict[str, Any],
) -> None:  # fmt: skip
    """Interquartile means, probabilities of improvement and performance profiles."""
    scale = (
        f"Scores are normalised on each data set: 0 is the mean of {zero} there, 1 that of the best method; intervals "
        "take these two as known."
    )
    resampled = "Ranges hold 95 %: seeds resampled within each data set. They speak of these data sets, not of others."
    middle, better = aggregate(scores), improvement(scores)
    curves = profile(scores, np.linspace(*_range(scores), LEVELS))
    numbers |= {"aggregates": records_of(middle), "improvement": records_of(better), "profiles": records_of(curves)}
    best = middle.sort_values("value", ascending=False, kind="stable")
    told = ", ".join(f"{row['method']} {_two(row['value'])}" for row in best.to_dict("records"))
    figures.append(maker.figure(
        aggregate_plot(middle, title), f"{name}-iqm", f"A dot and its interval for each method: {told}.",
        f"Interquartile mean, the mean of the middle half of all runs and data sets. {scale} {resampled} {rests}",
    ))  # fmt: skip
    drawn = maker.figure(
        profile_plot(curves, title), f"{name}-profiles",
        f"A falling curve for each of {listing(list(scores), most=20)}: the share of runs above each score.",
        f"Performance profiles: the share of runs with a score above each level; the higher a curve, the better. "
        f"Bands hold 95 % at each level alone. {scale} {rests}",
    )  # fmt: skip
    kept = maker.keep("tables", f"{name}-profiles", {"csv": _csv(curves)})
    figures.append(replace(drawn, files=(*drawn.files, *kept)))
    tables.append(maker.finished(_iqm_table(maker, name, best, f"{scale} {resampled} {rests}"), middle))
    order = list(best["method"])
    tables.append(maker.finished(_improvement_table(maker, name, better, order, f"{resampled} {rests}"), better))


def _range(scores: Scores) -> tuple[float, float]:
    """Where profiles are drawn: what all scores span, but no farther than one scale beyond 0 and 1."""
    values = np.concatenate([np.ravel(np.asarray(x)) for x in scores.values()])
    return max(float(values.min()), -1.0), min(float(values.max()), 2.0)


def _iqm_table(maker: Maker, name: str, best: pd.DataFrame, rests: str) -> Table:
    rows = tuple(
        (Entry(str(row["method"])), Entry(_two(row["value"])), Entry(_between(row)))
        for row in best.to_dict("records")
    )  # fmt: skip
    columns = (("method", "text"), ("interquartile mean", "number"), ("95 %", "number"))
    return Table(maker.next_table(), f"{name}-iqm", "Interquartile means", rests, columns, (("", rows),))


def _improvement_table(maker: Maker, name: str, better: pd.DataFrame, order: list[str], rests: str) -> Table:
    """Rows over columns, both with the best first."""
    found = {(row["method"], row["over"]): row for row in better.to_dict("records")}
    rows = []
    for method in order:
        there = [found.get((method, over)) for over in order]
        cells = [Entry(_two(row["value"]), note=_between(row)) if row else Entry("—") for row in there]
        rows.append((Entry(method), *cells))
    caption = (
        "The chance that a run of the row's method beats a run of the column's on the same data set, ties as half, "
        f"mean over data sets; 0.5 is neither. {rests}"
    )
    columns = (("method", "text"), *((f"over {over}", "number") for over in order))
    return Table(maker.next_table(), f"{name}-improvement", "Probability of improvement", caption, columns,
                 (("", tuple(rows)),))  # fmt: skip


def _between(row: Any) -> str:
    return f"{_two(row['low'])} to {_two(row['high'])}"


def _two(value: float) -> str:
    """Two decimals, with a true minus."""
    text = f"{value:.2f}"
    return "0.00" if text == "-0.00" else text.replace("-", "−")


def _ranks(
    maker: Maker, name: str, title: str, found: Contest, rests: str,
    tables: list[Table], figures: list[Figure], numbers: dict[str, Any],
) -> None:  # fmt: skip
    """Mean ranks with their tests and the diagram of critical differences."""
    tested = rank_tests(found.means(), ALPHA)
    numbers |= {"ranks": tested.ranks.to_dict(), "pairs": records_of(tested.pairs), "p": tested.p, "p_f": tested.p_f,
                "means": records_of(found.means().reset_index())}  # fmt: skip
    ranks = ", ".join(f"{method} {rank:.2f}" for method, rank in tested.ranks.items())
    caption = f"Mean ranks over {tested.tasks} data sets, 1 is best; bars join methods of which no two differ. {rests}"
    drawn = critical_difference_plot(tested, title)
    figures.append(maker.figure(drawn, name, f"Mean ranks, 1 is best: {ranks}.", caption))
    shown = table_of(tested, maker.next_table(), name, rests)
    shown = maker.finished(shown, tested.pairs)
    ((_, path),) = maker.keep("tables", f"{name}-means", {"csv": _csv(found.means().reset_index())})
    tables.append(replace(shown, files=(*shown.files, ("CSV of the means", path))))


def table_of(found: Ranks, number_: int, name: str, rests: str) -> Table:
    """Mean ranks, each with the methods that it is told from."""
    pairs = found.pairs[found.pairs["different"]]
    rows = []
    for method, rank in found.ranks.items():
        others = [*pairs.loc[pairs["first"] == method, "second"], *pairs.loc[pairs["second"] == method, "first"]]
        rows.append((Entry(str(method)), Entry(f"{rank:.2f}"), Entry(", ".join(map(str, others)) or "none")))
    least = len(found.pairs) * 2.0 ** (1 - found.tasks)
    blind = (
        f" With {found.tasks} data sets and {len(found.pairs)} pairs no p can fall below {chance(min(least, 1.0))}: "
        "these tests cannot tell any two apart."
    ) * bool(least >= found.alpha)
    caption = (
        f"Mean rank over {found.tasks} data sets, 1 is best. Friedman's p {chance(found.p)}, Iman and Davenport's "
        f"{chance(found.p_f)}. Told from: Wilcoxon's signed-rank test, Holm, {100 * found.alpha:g} %.{blind} {rests}"
    )
    columns = (("method", "text"), ("mean rank", "number"), ("told from", "text"))
    return Table(number_, name, "Mean ranks", caption, columns, (("", tuple(rows)),))


def _csv(df: pd.DataFrame) -> bytes:
    return df.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode()
