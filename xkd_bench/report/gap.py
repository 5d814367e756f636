"""The table of modality-gap estimates: for the terminal, as Markdown and as CSV, and its forest plot."""

import math
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xkd_bench.report import plots
from xkd_bench.report.atomic import write_all
from xkd_bench.report.forest import TITLES, forest

Explain = Callable[[str], str]


def terminal(estimates: pd.DataFrame, title: str, explain: bool) -> RenderableType:
    """A table a panel; with `explain`, two lines under each estimate say what it means."""
    blocks: list[RenderableType] = [Text(title, style="bold")]
    for panel, part in estimates.groupby("panel", sort=False):
        table = Table(box=None, header_style="bold", padding=(0, 1))
        table.add_column(Text(TITLES.get(str(panel), str(panel)), style="italic"))
        for name in ("value", "range", "n"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("kind", no_wrap=True)
        for row in part.to_dict("records"):
            label = Text(str(row["name"]))
            if explain:
                label.append("\n" + str(row["explain"]), style="dim")
            elif row["note"]:
                label.append(f"\n{row['note']}", style="dim")
            table.add_row(label, number(row["value"]), spread(row), f"{row['n']:,}", str(row["kind"]))
        blocks += [Text(), table]
    blocks += [Text(f"left out: {name}: {why}", style="dim") for name, why in left_out(estimates).items()]
    return Group(*blocks)


def left_out(estimates: pd.DataFrame) -> dict[str, str]:
    """Estimators that cannot apply to the features, and why."""
    return dict(estimates.attrs.get("left_out", {}))


def number(value: float) -> str:
    """Three significant digits; an em dash where a value is undefined."""
    return "—" if math.isnan(value) else f"{value:.3g}"


def spread(row: dict[Hashable, Any]) -> str:
    """The range of an estimate as text, one-sided where only one side is certified."""
    low, high = row["low"], row["high"]
    if math.isnan(low) and math.isnan(high):
        return "—"
    if row["kind"] == "lower bound":
        return f"≥ {number(low)}"
    if row["kind"] == "upper bound":
        return f"≤ {number(high)}"
    return f"[{number(low)}, {number(high)}]"


def markdown(estimates: pd.DataFrame, title: str, command: str, image: str) -> str:
    """The table as a page with its plot and the command that made it."""
    confidence = f"{estimates['confidence'].max():.0%}" if len(estimates) else "95%"
    lines = [f"# {title}", "", f"Made by `{command}`. Ranges hold at {confidence} each, not jointly.", ""]
    lines += [f"![forest plot]({image})", ""]
    for panel, part in estimates.groupby("panel", sort=False):
        lines += [f"## {TITLES.get(str(panel), str(panel))}", "", "| estimate | value | range | n | kind | meaning |"]
        lines += ["|---|---:|---:|---:|---|---|"]
        for row in part.to_dict("records"):
            meaning = " ".join(str(row["explain"]).split()) + (f" *{row['note']}*" if row["note"] else "")
            cells = (str(row["name"]), number(row["value"]), spread(row), str(row["n"]), str(row["kind"]), meaning)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    lines += [f"Left out: {name}: {why}." for name, why in left_out(estimates).items()]
    return "\n".join(lines).rstrip() + "\n"


def write(estimates: pd.DataFrame, folder: Path, name: str, title: str, words: str, command: str) -> list[Path]:
    """Write name.md, .csv, .png and .svg into the folder, each whole or not at all."""
    figure = forest(estimates, title, words)
    contents = {
        "md": markdown(estimates, title, command, f"{name}.png").encode(),
        "csv": estimates.to_csv(index=False).encode(),
        "png": plots.png(figure),
        "svg": plots.svg(figure),
    }
    return write_all(folder, name, contents)
