"""Writing a report's files, each whole or not at all."""

import os
import re
from pathlib import Path

import pandas as pd

from xkd_bench.errors import UsageError
from xkd_bench.report import plots, tables


def write(df: pd.DataFrame, folder: Path | str, name: str, selection_rule: str, command: str) -> list[Path]:
    """Write `folder/name`.md, .csv, .tex, .png and .svg; return their paths in this order.

    Everything is made before anything is written, and each file is written under a temporary name, then renamed: a
    reader, or a process killed on the way, never sees half a file. The Markdown embeds the PNG and `command`.
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
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [_replace(folder / f"{name}.{ending}", content) for ending, content in contents.items()]


def _replace(path: Path, content: bytes) -> Path:
    """Write `content` to `path` atomically."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
