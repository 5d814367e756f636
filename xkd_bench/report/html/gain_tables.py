"""Gains over every reference that was run, in points, relative and as error reduction: a section a data set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from shlex import quote

import numpy as np
import pandas as pd

from xkd_bench.analysis.compare import variants
from xkd_bench.analysis.condition_rows import data_set_of
from xkd_bench.analysis.gains import CONTROL, DEFINITIONS, REFERENCES, gain_table
from xkd_bench.analysis.gains_bootstrap import Correct
from xkd_bench.analysis.scores import reference_of
from xkd_bench.analysis.study import MIN_SEEDS
from xkd_bench.errors import UsageError
from xkd_bench.report.html import facts
from xkd_bench.report.html.content import Block, Maker, records_of
from xkd_bench.report.html.latex import plain_document
from xkd_bench.report.html.table import Entry, Table
from xkd_bench.report.sheet import ALPHA, Row
from xkd_bench.report.words import count, listing, protocol_title, short_setting, signed

Comparisons = Sequence[tuple[str, pd.DataFrame]]
Part = tuple[pd.DataFrame, pd.DataFrame]
"""Scores of one condition, and its gains."""
OPEN_ROWS = 24
"""A table of several conditions or settings with more rows is folded, and one that sums it up is shown."""
NAMES = {"raw": "points", "relative": "relative, %", "error_reduction": "error reduction, %"}
LINE = ["variant", "against"]
PLACE = ["condition", "setting"]


def gain_blocks(maker: Maker, comparisons: Comparisons, correct: Correct | None = None) -> list[Block]:
    """A section for each data set, protocol and budget with a method under test; what cannot be had is said there."""
    found: dict[tuple[str, str, str], list[pd.DataFrame]] = {}
    for _, df in comparisons:
        one = df.iloc[0]
        key = (data_set_of(str(one["task"])), str(one["protocol"]), str(one["budget"]))
        found.setdefault(key, []).append(df)
    blocks = []
    for (data_set, protocol, budget), frames in found.items():
        parts = list(_parts(frames, correct))
        if not parts:  # no method under test, or scores that do not share a table: the comparisons say so
            continue
        title = f"{_title(data_set, frames)}: {protocol_title(protocol).lower()}, {budget} budget"
        blocks.append(_block(maker, _slug(maker, data_set, protocol, budget), title, parts))
    return blocks


def _parts(frames: Sequence[pd.DataFrame], correct: Correct | None) -> Iterator[Part]:
    """Gains of every condition that has a method under test."""
    names = [str(df["task"].iloc[0]) for df in frames]
    for name, df in zip(names, frames, strict=True):
        try:
            if not (variants(df)["role"] == "method").any():
                continue
            gained = _gained(df, correct)
        except UsageError:
            continue
        digest = f" ({df['data_digest'].iloc[0][:6]})" * (names.count(name) > 1)  # the same task with other data
        yield df, gained.assign(condition=name + digest, setting=_settings(gained))


def _gained(df: pd.DataFrame, correct: Correct | None) -> pd.DataFrame:
    """Gains over all references; without the bootstrap where a run's items are not in the store."""
    try:
        return _in_order(gain_table(df, correct=correct))
    except OSError:
        return _in_order(gain_table(df))


def _in_order(gained: pd.DataFrame) -> pd.DataFrame:
    """Rows by reference in the order of `REFERENCES`, the control last, methods as they were."""
    return gained.sort_values("against", kind="stable", key=lambda c: c.map([*REFERENCES, CONTROL].index))


def _settings(gained: pd.DataFrame) -> list[str]:
    many = bool(gained["pair_fraction"].nunique() > 1)
    columns = (gained["labels_per_class"], gained["pair_fraction"].astype(float), gained["trained"].astype(str))
    return [short_setting(n, f, t, many) for n, f, t in zip(*columns, strict=True)]


def _title(data_set: str, frames: Sequence[pd.DataFrame]) -> str:
    tasks = {str(df["task"].iloc[0]): str(df["task_title"].iloc[0]) for df in frames}
    return next(iter(tasks.values())) if len(tasks) == 1 else f"{data_set}, {count(len(tasks), 'condition')}"


def _slug(maker: Maker, *words: str) -> str:
    """A name for links and files that no other section has."""
    words = (words[0].rstrip("/").rpartition("/")[2], *words[1:])
    name = re.sub(r"[^A-Za-z0-9.+_-]+", "-", "-".join(("gains", *words)))
    taken = {path.partition("/")[2].rpartition(".")[0] for path in maker.files}
    return next(new for i in range(1, len(taken) + 2) if (new := name + f"-{i}" * (i > 1)) not in taken)


def _block(maker: Maker, name: str, title: str, parts: Sequence[Part]) -> Block:
    gained = pd.concat([part for _, part in parts], ignore_index=True)
    scores = pd.concat([df for df, _ in parts], ignore_index=True)
    lacking = tuple(_lacking(parts))
    if gained.empty:
        return Block(name, title, lacking=lacking)
    rows = gained.groupby([*LINE, *PLACE], sort=False).ngroups
    many = rows > OPEN_ROWS and gained.groupby(PLACE).ngroups > 1
    rests = _rests(scores, gained)
    tables = [_summary(maker, name, gained, rests)] if many else []
    tables.append(_detail(maker, name, gained, rests, f"All {rows} gains, each with its intervals" if many else ""))
    return Block(name, title, tables=tuple(tables), lacking=lacking, numbers={"gains": records_of(gained)})


def _rests(scores: pd.DataFrame, gained: pd.DataFrame) -> str:
    """'Rests on 26 conditions, 312 runs: 3 seeds, 267 test items.'"""
    conditions = scores["task"].nunique()
    of = f"{count(conditions, 'condition')}, " * (conditions > 1)
    runs = count(int(scores["key"].nunique()), "run")
    items = _span(scores["n_test"].min(), scores["n_test"].max())
    draws = _span(gained["n_draws"].min(), gained["n_draws"].max())
    drawn = f" of {draws} label draws" * bool(gained["n_draws"].max() > 1)
    seeds = _span(gained["n_seeds"].min(), gained["n_seeds"].max())
    return f"Rests on {of}{runs}: {seeds} seed{'s' * (seeds != '1')}{drawn}, {items} test items."


def _span(low: float, high: float) -> str:
    return f"{int(low):,}" if low == high else f"{int(low):,} to {int(high):,}"


def _detail(maker: Maker, name: str, gained: pd.DataFrame, rests: str, folded: str) -> Table:
    """Every gain with both intervals, in blocks of rows: of conditions and settings, or, where there is but one, of
    references."""
    groups, plain = [], []
    one = gained.groupby(PLACE).ngroups == 1
    for _, part in gained.groupby(["against"] if one else PLACE, sort=False):
        lines = [_line(line) for _, line in part.groupby(LINE, sort=False)]
        title = _over(str(lines[0]["raw"]["against"])) if one else _place(part, gained)
        names = [line["raw"]["variant"] + f" {_over(line['raw']['against'])}" * (not one) for line in lines]
        groups.append((title, tuple(_shown(name, line) for name, line in zip(names, lines, strict=True))))
        plain.append((title, tuple(_plain(name, line) for name, line in zip(names, lines, strict=True))))
    how = (
        "Differences within the same seed and label draw. Small: 95 % of Student's t over seeds"
        + (", below it the hierarchical bootstrap's, which draws seeds, label draws and test items"
           if gained["boot_low"].notna().any() else "")
        + ". Relative: gain / reference; error reduction: gain / (1 − reference). Of the random teacher, which is a "
        "control and no rival, points alone. n: seeds × draws × items."
    )  # fmt: skip
    legend = f"Verdict: paired t test, Holm over the methods of one reference and setting, {100 * ALPHA:g} %"
    columns = (("method", "text"), *((words, "number") for words in NAMES.values()), ("n", "number"),
               ("verdict", "verdict"))  # fmt: skip
    table = Table(maker.next_table(), f"{name}-all", "Gains over every reference", f"{how} {rests}", columns,
                  tuple(groups), legend, folded=folded)  # fmt: skip
    ends = [(f"{words}: {end}", "number") for words in NAMES.values() for end in ("gain", "t", "bootstrap")]
    tex = replace(table, columns=(("method", "text"), *ends, ("n", "number"), ("verdict", "verdict")),
                  groups=tuple(plain))  # fmt: skip
    csv = gained[[*PLACE, *(c for c in gained if c not in PLACE)]]
    files = maker.keep("tables", table.name, {
        "csv": csv.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode(),
        "tex": plain_document(tex).encode(),
    })  # fmt: skip
    return replace(table, files=files)


def _line(part: pd.DataFrame) -> dict[str, Row]:
    """The gains of one line by their definition; `net` stands where `raw` does."""
    return {"raw" if row["definition"] == DEFINITIONS[3] else str(row["definition"]): row
            for row in part.to_dict("records")}  # fmt: skip


def _shown(name: str, line: dict[str, Row]) -> tuple[Entry, ...]:
    row = line["raw"]
    cells = []
    for kind in NAMES:
        one = line.get(kind)
        ranges = tuple(filter(None, (_range(one, "low", "high"), _range(one, "boot_low", "boot_high")))) if one else ()
        cells.append(Entry(_value(one), note="\n".join(ranges)))
    return (Entry(name), *cells, Entry(_n(row)), Entry(_verdict(row), verdict=True))


def _plain(name: str, line: dict[str, Row]) -> tuple[Entry, ...]:
    """The same with a column for each interval, for LaTeX."""
    cells = []
    for kind in NAMES:
        one = line.get(kind)
        ends = (_range(one, low, high) if one else "" for low, high in (("low", "high"), ("boot_low", "boot_high")))
        cells += [Entry(_value(one)), *(Entry(end or "—") for end in ends)]
    return (Entry(name), *cells, Entry(_n(line["raw"])), Entry(_verdict(line["raw"]), verdict=True))


def _value(row: Row | None) -> str:
    return "—" if row is None or pd.isna(row["gain"]) else signed(row["gain"])


def _range(row: Row, low: str, high: str) -> str:
    return "" if pd.isna(row[low]) or pd.isna(row[high]) else f"{signed(row[low])} to {signed(row[high])}"


def _over(against: str) -> str:
    return "over " + (f"its {CONTROL}" if against == CONTROL else against)


def _n(row: Row) -> str:
    items = f" × {row['n_items']:,}" * bool(row["n_items"] > 0)
    return f"{row['n_seeds']} × {row['n_draws']}{items}"


def _verdict(row: Row) -> str:
    if pd.isna(row["p_holm"]):
        return "too few to decide"
    if not row["p_holm"] < ALPHA:
        return "undecided"
    return ("gain" if row["gain"] > 0 else "loss") + " on this split" * bool(row["n_seeds"] == 1)


def _place(part: pd.DataFrame, gained: pd.DataFrame) -> str:
    """What a block of rows is of, as far as that differs."""
    return ", ".join(str(part[column].iloc[0]) for column in PLACE if gained[column].nunique() > 1)


def _summary(maker: Maker, name: str, gained: pd.DataFrame, rests: str) -> Table:
    """A row for each method over each reference: means and ranges over conditions and settings, verdicts counted."""
    rows, numbers = [], []
    for (variant, against), part in gained.groupby(LINE, sort=False):
        lines = [_line(line) for _, line in part.groupby(PLACE, sort=False)]
        told = [_verdict(line["raw"]).partition(" ")[0] for line in lines]
        found: dict[str, object] = {"variant": variant, "against": against, "n": len(lines)}
        cells = []
        for kind in NAMES:
            values = np.array([line[kind]["gain"] for line in lines if kind in line and pd.notna(line[kind]["gain"])])
            mean, low, high = (values.mean(), values.min(), values.max()) if len(values) else (np.nan,) * 3
            cells.append(Entry(signed(mean), note=f"{signed(low)} to {signed(high)}") if len(values) else Entry("—"))
            found |= {f"{kind}_mean": mean, f"{kind}_lowest": low, f"{kind}_highest": high}
        counts = {word: told.count(word) for word in ("gain", "loss")}
        counts["undecided"] = len(told) - sum(counts.values())
        numbers.append(found | counts)
        rows.append(
            (
                Entry(f"{variant} {_over(str(against))}"),
                *cells,
                *(Entry(str(n)) for n in (len(lines), *counts.values())),
            )
        )
    over = " and ".join(f"{word}s" for word in PLACE if gained[word].nunique() > 1)
    caption = (
        f"Mean gain over {over}, below it the lowest and the highest: a range of what was found, not an interval. "
        f"n: so many; of them gains and losses told from zero, and the rest. {rests}"
    )
    heads = (*NAMES.values(), "n", "gain", "loss", "undecided")
    columns = (("method", "text"), *((head, "number") for head in heads))
    table = Table(maker.next_table(), f"{name}-summary", f"Gains, summed up over {over}", caption, columns,
                  (("", tuple(rows)),))  # fmt: skip
    return maker.finished(table, pd.DataFrame(numbers))


def _lacking(parts: Sequence[Part]) -> Iterator[tuple[str, str]]:
    """References that were not run, and conditions with few seeds, each with the command that mends the first."""
    absent: dict[str, list[pd.DataFrame]] = {}
    for df, gained in parts:
        there = set(gained["against"])
        for name in dict.fromkeys(reference_of(df, name) for name in REFERENCES):
            if name not in there and not (name == "sup-ft" and set(df["trained"]) == {"head"}):
                absent.setdefault(name, []).append(df)
    for name, frames in absent.items():
        tasks = list(dict.fromkeys(str(df["task"].iloc[0]) for df in frames))
        on = f" on {listing(tasks, most=2)}" * (len(parts) > 1)
        yield f"No gain over {name}{on}: it was not run on the same draws.", _run(frames[0], name)
    if few := [df for df, gained in parts if len(gained) and gained["n_seeds"].min() < MIN_SEEDS]:
        on = f" on {listing([str(df['task'].iloc[0]) for df in few], most=2)}" * (len(parts) > 1)
        again = facts.commands(few[0])[0].partition(" --seeds")[0]
        said = f"Fewer than {MIN_SEEDS} seeds{on}: with one, intervals speak of one split; with two, Student's is luck."
        yield said, f"{again} --seeds {MIN_SEEDS}"


def _run(df: pd.DataFrame, method: str) -> str:
    """The command that runs a reference on the seeds of these scores."""
    one, seeds = df.iloc[0], sorted(df["seed"].unique())
    named = ",".join(map(str, seeds)) + "," * (len(seeds) == 1)
    return (
        f"xkd-bench run --protocol {quote(str(one['protocol']))} --task {quote(str(one['task']))} "
        f"--budget {quote(str(one['budget']))} --method {method} --student {quote(str(one['student']))} "
        f"--seeds {named} --alone"
    )
