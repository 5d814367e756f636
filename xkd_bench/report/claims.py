"""The claims ledger: for the terminal, as Markdown, LaTeX and CSV. Pure functions of the ledger's table; no dates."""

import math
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from xkd_bench.analysis.ledger import PAPERS
from xkd_bench.report.atomic import write_all
from xkd_bench.report.latex import escape
from xkd_bench.report.tables import md
from xkd_bench.report.words import count

Row = Mapping[Hashable, Any]
TITLES = {"published": "what is printed, analysed again", "suite": "tested on this suite's records"}
STYLES = {"supported": "green", "refuted": "red", "undecided": "yellow"}
LEGEND = (
    "θ: the quantity (accuracies in points) with its 95 % interval (of printed numbers: what rounding leaves open). "
    "Supported: θ is in the claimed region at 5 %, after Holm's correction over the paper's claims of that kind; "
    "refuted: it is outside at the same level; undecided: neither. p is two-sided, of θ at the region's edge; — where "
    "nothing was sampled."
)
SIZES = "n: the seeds, printed numbers, units or networks that θ rests on; in brackets, of how many conditions."


def sections(ledger: pd.DataFrame) -> Iterator[tuple[str, Sequence[Row]]]:
    """The ledger's parts in its own order, each with a title."""
    for (paper, kind), part in ledger.groupby(["paper", "kind"], sort=False):
        yield f"{PAPERS[str(paper)]}: {TITLES[str(kind)]}", part.to_dict("records")


def summary(ledger: pd.DataFrame) -> str:
    """'28 claims: 5 supported, 3 refuted, 20 undecided'."""
    verdicts = [f"{(ledger['verdict'] == name).sum()} {name}" for name in STYLES]
    return f"{count(len(ledger), 'claim')}: {', '.join(verdicts)}"


def number(value: float) -> str:
    """Two decimals, three near zero, none of a whole number; a true minus; an em dash where undefined."""
    if math.isnan(value):
        return "—"
    text = f"{value:.0f}" if value == round(value) and abs(value) >= 1 else f"{value:.{3 if abs(value) < 0.05 else 2}f}"
    return "0" if float(text) == 0 else text.replace("-", "−")


def found(row: Row) -> str:
    """θ and its interval."""
    if math.isnan(row["effect"]):
        return "—"
    if math.isnan(row["low"]) or row["low"] == row["high"]:
        return number(row["effect"])
    return f"{number(row['effect'])} [{number(row['low'])}, {number(row['high'])}]"


def chance(p: float) -> str:
    """A p-value: three decimals, or '<.001'."""
    if math.isnan(p):
        return "—"
    return "<.001" if p < 0.0005 else f"{p:.3f}".removeprefix("0") if p < 0.9995 else "1"


def why(row: Row) -> str:
    """What the numbers rest on, or what is missing."""
    if row["missing"]:
        return f"missing: {row['missing']}"
    rests = f"{row['data']}; {row['basis']}, n = {row['n']}"
    return f"{rests}; {row['note']}" if row["note"] else rests


def size(row: Row) -> str:
    """n, and in brackets the conditions that it is of."""
    if not row["n"]:
        return "—"
    return f"{row['n']}" + (f" ({row['conditions']})" if row["conditions"] else "")


@dataclass(frozen=True)
class _Lines:
    """The claims of one paper and kind: a line of numbers each, and under it the statement, as wide as the console.

    Where the console is narrow, what is claimed stands before the statement.
    """

    rows: Sequence[Row]
    explain: bool

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        cells = [[str(row["claim"]), _claimed(row), found(row), size(row), chance(row["p_holm"])] for row in self.rows]
        wide = [max(map(cell_len, column)) for column in zip(HEAD, *cells, strict=True)]
        whole = len(_aligned(HEAD, wide, range(len(HEAD)))) + len("  undecided")
        kept = [0, 1, 2, 3, 4] if whole <= options.max_width else [0, 2, 3, 4]
        yield Text(_aligned(HEAD, wide, kept) + "  verdict", style="dim")
        for row, parts in zip(self.rows, cells, strict=True):
            line, end = _aligned(parts, wide, kept), 1 + len(parts[0])
            yield Text.assemble((line[:end], "bold"), line[end:], (f"  {row['verdict']}", STYLES[row["verdict"]]))
            before = "" if 1 in kept else f"{_claimed(row)}: "
            yield _indented(Text(before + row["statement"]))
            if self.explain:
                told = f"θ is: {row['statistic']} ({row['source']}); {why(row)}"
                yield _indented(Text(told, style="dim"))


@dataclass(frozen=True)
class _Command:
    """A command on as many lines as the console is narrow, which can be pasted as they stand."""

    words: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for line in continued(self.words, options.max_width - 1):
            yield Text(f" {line}", style="cyan")


def continued(command: str, width: int) -> list[str]:
    """A command as lines of a width, if its words permit: broken after && or, with a backslash, between options."""
    lines: list[str] = []
    for part in command.replace(" && ", " &&\n").splitlines():
        lines.append("")
        for word in re.split(" (?=-)", part):
            if lines[-1] and len(lines[-1]) + 1 + len(word) + 2 > width:
                lines[-1] += " \\"
                lines.append("  " + word)
            else:
                lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 3), expand=False)


HEAD = ["claim", "claimed", "θ", "n", "p Holm"]
RIGHT = (2, 3, 4)
"""Columns of numbers."""


def _aligned(cells: Sequence[str], wide: Sequence[int], kept: Sequence[int]) -> str:
    """The cells that are kept, each as wide as its column."""
    parts = []
    for i in kept:
        fill = " " * (wide[i] - cell_len(cells[i]))
        parts.append(fill + cells[i] if i in RIGHT else cells[i] + fill)
    return " " + "  ".join(parts)


def _claimed(row: Row) -> str:
    return str(row["claimed"]).removesuffix(" points")


def terminal(ledger: pd.DataFrame, explain: bool = False, more: str = "") -> RenderableType:
    """The claims of each paper and kind, and what would decide the undecided.

    explain: say also what θ is and what it rests on. more: words that the commands need to reach this store.
    """
    blocks: list[RenderableType] = [Text(summary(ledger), style="bold")]
    for title, rows in sections(ledger):
        blocks += [Text(), Text(title, style="italic"), _Lines(rows, explain)]
    blocks += [Text(), Text(f"{LEGEND} {SIZES}", style="dim")]
    for title, groups in undecided(ledger, more):
        blocks += [Text(), Text(title, style="bold")]
        for what, names in groups:
            blocks += [_Command(what) if what.startswith("xkd-bench") else Text(f" {what}")]
            blocks += [_indented(Text(", ".join(names)))]
    return Group(*blocks)


LACKING, OPEN, BEYOND = (
    "To decide the undecided, what is missing:",
    "Tested, and not told apart from what is claimed; twice the seeds:",
    "Undecided, and no command of this suite decides them:",
)


def undecided(ledger: pd.DataFrame, more: str = "") -> Iterator[tuple[str, list[tuple[str, list[str]]]]]:
    """Titles, and under each what decides (a command, or why there is none) with the claims that it decides."""
    grouped: dict[str, dict[str, list[str]]] = {LACKING: {}, OPEN: {}, BEYOND: {}}
    for row in ledger[ledger["verdict"] == "undecided"].to_dict("records"):
        title, what = _remedy(row, more)
        grouped[title].setdefault(what, []).append(str(row["claim"]))
    yield from ((title, list(groups.items())) for title, groups in grouped.items() if groups)


def _remedy(row: Row, more: str) -> tuple[str, str]:
    """Under which title an undecided claim stands, and the command, or why there is none."""
    commands = [command + more for command in row["fill"].split(" && ")] if row["fill"] else []
    if commands and row["missing"]:
        return LACKING, " && ".join(commands)
    if commands and row["basis"] in ("seeds", "blocks"):
        seeds = 2 * math.ceil(row["n"] / row["conditions"])
        return OPEN, " && ".join(f"{command} --seeds {seeds}" for command in commands)
    if row["kind"] == "published":
        printed = "what is printed does not suffice" if not row["missing"] else "the papers do not print what is needed"
        return BEYOND, printed
    return BEYOND, row["missing"] or f"more conditions than the {row['conditions'] or row['n']} there are"


def markdown(ledger: pd.DataFrame, command: str) -> str:
    """The ledger as a page, with the command that makes it."""
    lines = ["# Claims", "", f"{summary(ledger)}. {md(LEGEND)}", ""]
    for title, rows in sections(ledger):
        lines += [
            f"## {title}",
            "",
            "| claim | statement | source | θ is | claimed | θ | p | p Holm | p BH | verdict | rests on |",
        ]
        lines += ["|:--|:--|:--|:--|:--|--:|--:|--:|--:|:--|:--|"]
        for row in rows:
            cells = [row["claim"], row["statement"], row["source"], row["statistic"], row["claimed"], found(row),
                     *(chance(row[p]) for p in ("p", "p_holm", "p_bh")), row["verdict"], why(row)]  # fmt: skip
            lines.append("| " + " | ".join(md(str(cell)) for cell in cells) + " |")
        lines.append("")
    for title, groups in undecided(ledger):
        lines += [f"## {title.removesuffix(':')}", ""]
        for what, names in groups:
            lines.append(f"- {f'`{what}`' if what.startswith('xkd-bench') else md(what)}: {md(', '.join(names))}")
        lines.append("")
    return "\n".join([*lines, "Made by:", "", "```sh", command, "```"]) + "\n"


def latex(ledger: pd.DataFrame) -> str:
    """A longtable for each paper and kind. Needs \\usepackage{booktabs,longtable}."""
    lines = ["% Needs \\usepackage{booktabs,longtable}.", f"% {escape(summary(ledger))}"]
    for i, (title, rows) in enumerate(sections(ledger)):
        lines += ["", r"\begin{longtable}{@{}p{0.42\linewidth}lrrl@{}}",
                  rf"  \caption{{{escape(title)}.}}\label{{tab:claims-{i + 1}}}\\", r"  \toprule",
                  r"  Statement & Claimed & $\theta$ & $p$ (Holm) & Verdict \\",
                  r"  \midrule", r"  \endhead"]  # fmt: skip
        for row in rows:
            cells = [row["statement"], row["claimed"], found(row), chance(row["p_holm"]), row["verdict"]]
            lines.append("  " + " & ".join(escape(str(cell)) for cell in cells) + r" \\")
        lines += [r"  \bottomrule", r"\end{longtable}"]
    return "\n".join([*lines, "", f"% {escape(LEGEND)}", ""])


def write(ledger: pd.DataFrame, folder: Path | str, name: str, command: str) -> list[Path]:
    """Write name.md, .csv and .tex into the folder, each whole or not at all."""
    contents = {
        "md": markdown(ledger, command).encode(),
        "csv": ledger.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode(),
        "tex": latex(ledger).encode(),
    }
    return write_all(folder, name, contents)
