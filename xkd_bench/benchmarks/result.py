"""What a benchmark found, for the terminal and as files: Markdown with the machine, CSV with all digits, the figure."""

from __future__ import annotations

import os
import platform
from math import isnan
from pathlib import Path

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from xkd_bench.benchmarks import BENCHMARKS, Options, Result, Target, load
from xkd_bench.benchmarks.timing import short
from xkd_bench.errors import UsageError
from xkd_bench.report import plots
from xkd_bench.report.atomic import write_all

OUT = Path("results/benchmarks")


def machine(device: str = "cpu") -> str:
    """Processor, threads, versions and how busy it is, in one sentence."""
    import torch

    load = (
        f", load average {os.getloadavg()[0]:.1f} (what others do on it included)" if hasattr(os, "getloadavg") else ""
    )
    gpu = f"; {torch.cuda.get_device_name(0)}" if device == "cuda" else ""
    return (
        f"{_processor()}, {os.cpu_count()} cores{gpu}; torch {torch.__version__} with {torch.get_num_threads()} "
        f"thread{'s' * (torch.get_num_threads() != 1)}, Python {platform.python_version()}, {platform.system()}{load}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def shown(result: Result) -> pd.DataFrame:
    """The table for people: strings."""
    if result.shown is not None:
        return result.shown
    frame = result.frame.copy()
    for name in frame.columns:
        if pd.api.types.is_float_dtype(frame[name]):
            frame[name] = frame[name].map(lambda x: "" if isnan(x) else short(x))
        elif pd.api.types.is_integer_dtype(frame[name]):
            frame[name] = frame[name].map("{:,}".format)
    return frame.astype(str)


def targets(given: tuple[Target, ...]) -> pd.DataFrame:
    """Targets with what was measured and whether it is enough, as strings."""
    return pd.DataFrame(
        {
            "what": t.what,
            "measured": "—" if isnan(t.value) else short(t.value),
            "range (rounds)": "" if isnan(t.low) else f"{short(t.low)} to {short(t.high)} ({t.n})",
            "target": f"{'≤' if t.at_most else '≥'} {short(t.bound)}",
            "verdict": t.verdict,
        }
        for t in given
    )


def terminal(result: Result) -> RenderableType:
    """Title, table, targets and notes."""
    blocks: list[RenderableType] = [Text(result.title, style="bold"), _rich(shown(result))]
    if result.targets:
        blocks += [Text(), _rich(targets(result.targets), verdict=True)]
    return Group(*blocks, *(Text(note, style="dim") for note in result.notes), Text())


def _rich(frame: pd.DataFrame, verdict: bool = False) -> Table:
    table = Table(*map(str, frame.columns), box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column, right in zip(table.columns, _right(frame), strict=True):
        column.justify = "right" if right else "left"
    for row in frame.astype(str).to_numpy():
        style = None if not verdict or not row[-1].startswith("missed") else "yellow"
        table.add_row(*map(Text, row), style=style)
    return table


def _right(frame: pd.DataFrame) -> list[bool]:
    """Columns of numbers: most cells that are not empty begin with one."""

    def numeric(cell: str) -> bool:
        return cell[:1].isdigit() or cell[:1] in "-−+—≤≥±"

    cells = [[c for c in frame[name].astype(str) if c] for name in frame.columns]
    return [bool(column) and sum(map(numeric, column)) > len(column) / 2 for column in cells]


def markdown(result: Result, name: str, options: Options) -> str:
    """The page."""
    command = f"xkd-bench bench {name}" + " --device cuda" * (options.device == "cuda") + " --quick" * options.quick
    lines = [
        f"# {result.title}",
        "",
        f"Made by `{command}`. {result.words}",
        "",
        f"Machine: {machine(options.device)}.",
    ]
    if options.quick:
        lines += ["", "**A quick run: it shows that everything works; its figures mean little.**"]
    lines += ["", *_grid(shown(result))]
    if result.targets:
        lines += ["", *_grid(targets(result.targets))]
    if result.figure is not None:
        lines += ["", f"![{result.title}]({name}.png)"]
    for note in result.notes:
        lines += ["", note]
    return "\n".join([*lines, ""])


def _grid(frame: pd.DataFrame) -> list[str]:
    def row(cells: object) -> str:
        return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"  # type: ignore[attr-defined]

    aligned = ["--:" if right else ":--" for right in _right(frame)]
    return [row(frame.columns), row(aligned), *map(row, frame.astype(str).to_numpy())]


def write(result: Result, folder: Path, name: str, options: Options) -> list[Path]:
    """Write folder/name .md, .csv and, with a figure, .png and .svg, each whole or not at all."""
    contents = {
        "md": markdown(result, name, options).encode(),
        "csv": result.frame.to_csv(index=False, float_format="%.6g").encode(),
    }
    if result.figure is not None:
        contents |= {"png": plots.png(result.figure), "svg": plots.svg(result.figure)}
    return write_all(folder, name, contents)


def device_of(asked: str) -> str:
    """`cpu` or `cuda`; UsageError where there is no such device here."""
    import torch

    if asked not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device '{asked}' is not known: use auto, cpu or cuda")
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise UsageError("device 'cuda' was asked for, but torch sees no CUDA device here: use --device cpu or auto")
    return "cuda" if there and asked == "auto" else asked.replace("auto", "cpu")


def measured(name: str, options: Options, folder: Path) -> tuple[Result, list[Path]]:
    """Run a benchmark with one thread (of one, CPU time on a busy machine is that of an idle one) and write what it
    found; the result and its files. What `--quick` found goes to a folder of its own, never over what was measured."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = load(name)(options)
        return result, write(result, folder / "quick" if options.quick else folder, name, options)
    finally:
        torch.set_num_threads(before)


def program(name: str) -> None:
    """A benchmark's module as a program: `python -m xkd_bench.benchmarks.MODULE [--quick] [--device cuda]`."""
    import argparse

    parser = argparse.ArgumentParser(description=BENCHMARKS[name].summary)
    parser.add_argument("--quick", action="store_true", help="seconds, to see that it runs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    result, files = measured(name, Options(device_of(given.device), given.quick), given.out)
    Console().print(terminal(result))
    for path in files:
        print(path)
