"""What a table of the page holds, and how sheets of scores, gap estimates and claims become one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from xkd_bench.report import gap
from xkd_bench.report.sheet import PARTS, SAME, UNDECIDED, ZERO, Cell, Row, Section, Sheet
from xkd_bench.report.words import title_of

SPOKEN = {SAME: "not distinguishable from the best", UNDECIDED: "too few scores to decide", ZERO: "not told from zero"}
"""Marks in words, for those who hear the page or rest a pointer on it."""
SIGNS = {"gain": "▲", "loss": "▼", "undecided": "○", "supported": "✓", "refuted": "✕", "too": "○"}
"""A sign beside each verdict: colour is never alone."""


@dataclass(frozen=True)
class Entry:
    """A cell: `value` ± `spread` and a mark; `note` in small type below, a line each; `verdict` sets it as one."""

    value: str
    spread: str = ""
    bold: bool = False
    mark: str = ""
    note: str = ""
    verdict: bool = False
    href: str = ""

    @property
    def spoken(self) -> str:
        return SPOKEN.get(self.mark, "")

    @property
    def tone(self) -> str:
        """'gain' of 'gain on this split': which verdict it is."""
        return self.value.partition(" ")[0]

    @property
    def sign(self) -> str:
        return SIGNS.get(self.tone, "")

    def text(self) -> str:
        """The cell as one text, as it stands in the JSON."""
        return self.value + (f" ± {self.spread}" if self.spread else "") + (f" {self.mark}" if self.mark else "")


@dataclass(frozen=True)
class Table:
    """columns: (name, kind), kind one of 'text', 'number', 'verdict'; the first column names the rows.

    groups: blocks of rows, each with a title or ''. lead: the caption's first words; caption: the rest of it. legend:
    what marks mean. files: (words, path beside the page). wide: its text needs room, so phones scroll it. folded: what
    to open it by, '' of a table that is open.
    """

    number: int
    name: str
    lead: str
    caption: str
    columns: tuple[tuple[str, str], ...]
    groups: tuple[tuple[str, tuple[tuple[Entry, ...], ...]], ...]
    legend: str = ""
    files: tuple[tuple[str, str], ...] = ()
    wide: bool = False
    folded: str = ""

    @property
    def rows(self) -> list[tuple[Entry, ...]]:
        return [row for _, rows in self.groups for row in rows]

    def shown(self) -> dict[str, object]:
        """What is seen, as text."""
        return {"table": self.number, "title": self.lead, "caption": self.caption,
                "columns": [name for name, _ in self.columns],
                "groups": [{"title": title, "rows": [[entry.text() for entry in row] for row in rows]}
                           for title, rows in self.groups]}  # fmt: skip


def _entry(cell: Cell, verdict: bool = False) -> Entry:
    return Entry(cell.value, cell.spread, cell.bold, cell.mark, verdict=verdict)


def of_scores(section: Section, number: int, name: str, caption: str, legend: str) -> Table:
    """A block of scores as its own table."""
    columns = (("", "text"), *((title, "number") for title in section.header))
    rows = tuple(tuple(_entry(cell) for cell in row) for row in section.rows)
    return Table(number, name, section.title, caption, columns, (("", rows),), title_of(legend))


def of_gains(content: Sheet, number: int, name: str, caption: str) -> Table:
    """All methods' gains in one table: a block of rows for each, or a row where each has one."""
    parts = [part for part in PARTS if any(part in section.header for section in content.gains)]
    columns = (("", "text"), *((part, "number") for part in parts), ("verdict", "verdict"))
    alone = all(len(section.rows) == 1 for section in content.gains)
    groups = [(section.title, tuple(_gain_rows(section, parts, alone))) for section in content.gains]
    if alone:
        groups = [("", tuple(row for _, rows in groups for row in rows))]
    return Table(number, name, "Gains and their parts", caption, columns, tuple(groups), title_of(content.gains_legend))


def _gain_rows(section: Section, parts: Sequence[str], alone: bool) -> Iterator[tuple[Entry, ...]]:
    for first, *cells in section.rows:
        found = dict(zip(section.header, cells, strict=True))
        label = Entry(section.title, note=first.value) if alone else _entry(first)
        yield (label, *(_entry(found[part]) if part in found else Entry("—") for part in parts),
               _entry(found["verdict"], verdict=True))  # fmt: skip


def of_gap(estimates: pd.DataFrame, title: str, number: int, name: str, caption: str) -> Table:
    """One panel of gap estimates with what each means."""
    columns = (("estimate", "text"), ("value", "number"), ("range", "number"), ("n", "number"), ("kind", "text"),
               ("meaning", "text"))  # fmt: skip
    rows = []
    for row in estimates.to_dict("records"):
        meaning = " ".join(str(row["explain"]).split())
        note = "" if pd.isna(row["note"]) else str(row["note"])
        rows.append((Entry(str(row["name"])), Entry(gap.number(row["value"])), Entry(gap.spread(row)),
                     Entry(f"{int(row['n']):,}"), Entry(str(row["kind"])), Entry(meaning, note=note)))  # fmt: skip
    return Table(number, name, title, caption, columns, (("", tuple(rows)),), wide=True)


def of_claims(title: str, rows: Sequence[Row], number: int, name: str, caption: str) -> Table:
    """The claims of one paper and kind."""
    from xkd_bench.report import claims

    columns = (("statement", "text"), ("claimed", "number"), ("θ", "number"), ("p Holm", "number"),
               ("verdict", "verdict"), ("rests on", "text"))  # fmt: skip
    lines = tuple(
        (Entry(str(row["statement"]), note=f"{row['claim']}: {row['statistic']}; {row['source']}"),
         Entry(str(row["claimed"])), Entry(claims.found(row)), Entry(claims.chance(row["p_holm"])),
         Entry(str(row["verdict"]), verdict=True), Entry(claims.why(row)))
        for row in rows
    )  # fmt: skip
    return Table(number, name, title, caption, columns, (("", lines),), claims.LEGEND, wide=True)
