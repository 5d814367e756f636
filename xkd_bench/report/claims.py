"""The claims ledger: for the terminal, as Markdown, LaTeX and CSV. Pure functions of the ledger's table; no dates."""

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
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


def terminal(ledger: pd.DataFrame, explain: bool = False) -> RenderableType:
    """A table for each paper and kind; `explain` adds under each claim what θ is, what it rests on, what is missing."""
    blocks: list[RenderableType] = [Text(summary(ledger), style="bold")]
    for title, rows in sections(ledger):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True, padding=(0, 1))
        table.add_column("claim", ratio=1)
        table.add_column("claimed", no_wrap=True)
        table.add_column("θ", justify="right", no_wrap=True)
        table.add_column("p Holm", justify="right", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        for row in rows:
            said = Text(row["statement"])
            if explain:
                said.append(f"\nθ is: {row['statistic']} ({row['source']}); {why(row)}", style="dim")
            table.add_row(said, row["claimed"].removesuffix(" points"), found(row), chance(row["p_holm"]),
                          Text(row["verdict"], style=STYLES[row["verdict"]]))  # fmt: skip
        blocks += [Text(), Text(title, style="italic"), table]
    return Group(*blocks, Text(), Text(LEGEND, style="dim"))


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
