"""Writing a report's files, each whole or not at all."""

import re
from pathlib import Path

import pandas as pd

from xkd_bench.errors import UsageError
from xkd_bench.report import plots, tables
from xkd_bench.report.atomic import write_all


def write(df: pd.DataFrame, folder: Path | str, name: str, selection_rule: str, command: str) -> list[Path]:
    """Write `folder/name`.md, .csv, .tex, .png and .svg; return their paths in this order.

    Everything is made before anything is written. The Markdown embeds the PNG and `command`.
    """
    if not re.fullmatch(r"\w[\w.+-]*", name):
        raise UsageError(f"'{name}' is no name for files: use letters, digits, '.', '_', '+' and '-'")
    figure = plots.figure(df)
    contents = {
        "md": tables.markdown(df, selection_rule, image=f"{name}.png", command=command).encode(),
        "csv": tables.csv(df, selection_rule).encode(),
        "tex": tables.latex(df, selection_rule, label=name).encode(),
        "png": plots.png(figure),
        "svg": plots.svg(figure),
    }
    return write_all(folder, name, contents)
