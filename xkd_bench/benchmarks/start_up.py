"""How long does the command line take to say something? Against importing typer, which it is made with, alone.

Each command is a process of its own; its CPU time (user and system) is what is compared, the wall time is shown.

    python -m xkd_bench.benchmarks.start_up [--quick]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from resource import RUSAGE_CHILDREN, getrusage

import pandas as pd

from xkd_bench.benchmarks import Options, Result, Target
from xkd_bench.benchmarks.timing import SPREAD, ratio
from xkd_bench.errors import UsageError

PYTHON = (sys.executable,)
EMPTY = "import typer; app = typer.Typer(rich_markup_mode='rich'); app.command()(lambda: None); app()"
COMMANDS: dict[str, Sequence[str]] = {
    "import typer": (*PYTHON, "-c", "import typer"),
    "--help of an empty typer app": (*PYTHON, "-c", EMPTY, "--help"),
    "xkd-bench --help": (*PYTHON, "-m", "xkd_bench.cli", "--help"),
    "xkd-bench list methods": (*PYTHON, "-m", "xkd_bench.cli", "list", "methods"),
    "xkd-bench list tasks": (*PYTHON, "-m", "xkd_bench.cli", "list", "tasks"),
    "xkd-bench --version": (*PYTHON, "-m", "xkd_bench.cli", "--version"),
}
BASE, MOST = "import typer", 2.5
HELD = ("xkd-bench --help", "xkd-bench list methods", "xkd-bench list tasks")


def ended(command: Sequence[str]) -> tuple[float, float]:
    """(CPU, wall) seconds of a process to its end."""
    before, start = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wall, after = time.perf_counter() - start, getrusage(RUSAGE_CHILDREN)
    if done.returncode:
        raise UsageError(
            f"{' '.join(command[1:])} ended with {done.returncode}: {done.stderr.strip().splitlines()[-1:]}"
        )
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def run(options: Options) -> Result:
    """Measure."""
    rounds = 2 if options.quick else 11
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for command in COMMANDS.values():
        ended(command)  # bytecode and disk
    for done in range(rounds):
        for name in list(COMMANDS)[:: -1 if done % 2 else 1]:
            options.tick(done, rounds, name)
            spent = ended(COMMANDS[name])
            cpu[name].append(spent[0])
            wall[name].append(spent[1])
    rows, targets = [], []
    for name in COMMANDS:
        found = ratio(cpu[name], cpu[BASE])
        rows.append(
            {"command": name, "cpu_s": statistics.median(cpu[name]), "wall_s": statistics.median(wall[name])}
            | {"ratio": found.value, "ratio_low": found.low, "ratio_high": found.high, "rounds": found.n}
        )
        if name in HELD:
            targets.append(Target(f"{name} over {BASE}", found.value, MOST, True, found.low, found.high, found.n))
    frame = pd.DataFrame(rows)
    shown = pd.DataFrame(
        {
            "command": r["command"],
            "CPU, s": f"{r['cpu_s']:.2f}",
            "wall, s": f"{r['wall_s']:.2f}",
            "over import typer": f"{r['ratio']:.2f} ({r['ratio_low']:.2f} to {r['ratio_high']:.2f}, {r['rounds']})",
        }
        for r in frame.to_dict("records")
    )
    words = (
        "Each is a process of its own, from its start to its end, in turns; ratios are of CPU time (user and system) "
        f"in the same round, their median. {SPREAD} No command here imports torch: a test has that. The help of an "
        "app without commands is what Typer and Rich take to draw a help page."
    )
    return Result("Start-up: the command line against typer alone", words, frame, shown, tuple(targets))


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("start-up")
