"""`xkd-bench bench`: speed, memory and survival, measured on this machine."""

from pathlib import Path
from typing import Annotated

import typer

from xkd_bench.benchmarks import BENCHMARKS

NAMES = ", ".join(name if entry.by_default else f"{name} (only by name)" for name, entry in BENCHMARKS.items())


def bench(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help=f"{NAMES}. All, if none is given.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quick: Annotated[bool, typer.Option("--quick", help="Seconds each, to see that they run; to OUT/quick.")] = False,
    out: Annotated[Path, typer.Option("--out", help="Folder of the tables.")] = Path("results/benchmarks"),
) -> None:
    """Measure speed and memory against bare computations and other libraries, as ratios in one run.

    Each benchmark writes its table as it ends. A target that is missed says so in its table; the exit code stays 0.
    """
    from functools import partial

    from rich.console import Console

    from xkd_bench.benchmarks import Options, load
    from xkd_bench.benchmarks.result import device_of, measured, terminal
    from xkd_bench.progress import progress

    wanted = list(dict.fromkeys(names or [name for name, entry in BENCHMARKS.items() if entry.by_default]))
    for name in wanted:
        load(name)  # before the first begins: all names are known
    where = device_of(device)
    console = Console()
    with progress(quiet=False) as bar:
        bar.expect(len(wanted))
        for name in wanted:
            bar.begin(name)
            options = Options(where, quick, partial(bar.report, name))
            result, files = measured(name, options, out)
            bar.end(name)
            console.print(terminal(result))
            console.print("written: " + "  ".join(str(f) for f in files) + "\n", style="dim", highlight=False)
