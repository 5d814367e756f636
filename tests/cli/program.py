"""The command line as a program for a process of its own; the toy task is known to it."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path

from tests.forks import Ended, Forks


def command(argv: Sequence[str], prelude: str = "") -> str:
    """Code that runs the command line with these arguments, after the prelude."""
    return f"""
from tests.cli import program
program.know_toy()
{prelude}
import sys
sys.argv = {["xkd-bench", *argv]!r}
from xkd_bench.cli import main
main()
"""


def xkd(forks: Forks, *argv: str, prelude: str = "", cwd: Path | None = None) -> Ended:
    """Run it once, to its end."""
    return forks.run(command(argv, prelude), cwd=cwd)[0]


def know_toy() -> None:
    from xkd_bench import registry

    point = EntryPoint("toy", "tests.toy:ToyTask", "xkd_bench.tasks")
    registry.entries("tasks")["toy"] = registry.Entry("toy", "shapes", "tests", "tasks", point)


def know_toy_dense() -> None:
    from xkd_bench import registry

    point = EntryPoint("toy-dense", "tests.toy_dense:ToyDenseTask", "xkd_bench.tasks")
    registry.entries("tasks")["toy-dense"] = registry.Entry("toy-dense", "shapes", "tests", "tasks", point)


def die_at_rename(nth: int) -> None:
    """From here on, the nth rename in the store kills the process before it is done. Tables are written whole."""
    real: Callable = os.replace
    calls = 0

    def deadly(*args, **options):
        nonlocal calls
        calls += "tables" not in Path(args[1]).parts
        if calls == nth:
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)

    os.replace = deadly
