"""The sweep that `survival` disturbs, as a process of its own, and its undisturbed store to hold others against."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from xkd_bench.store import Store

GRID = """
summary = "two methods, few-shot: a teacher, features, statistics, students, heads and fine-tunings"
budget = "smoke"
[[grid]]
task = "twin-gaussian:items=200,render=image"
method = ["socket", "cmd"]
teacher = "simclr"
controls = false
"""
EPOCHS = 6
KINDS = ("teachers", "features", "statistics", "students", "linear-scores", "tuned-scores", "runs")
"""Folders of the store, each made of those before it."""
LOADED = (
    "xkd_bench.cli", "xkd_bench.suite.engine", "xkd_bench.progress", "xkd_bench.report",
    "xkd_bench.analysis.compare", "torchmetrics.functional.classification", "matplotlib.pyplot",
)  # fmt: skip
SLOWEST = 600.0


class NotSurvivedError(AssertionError):
    """What was left is neither the undisturbed store nor one line."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code (negative: the signal that killed it) and what it wrote as errors."""

    code: int
    err: str


def _program(words: Sequence[str], err: str, largest: int | None) -> None:
    """Become xkd-bench with these words. largest: bytes that no file may grow past, as a full disk would have it."""
    for number, target in ((1, os.devnull), (2, err)):
        os.dup2(os.open(target, os.O_WRONLY | os.O_CREAT), number)
    from xkd_bench import spec, training
    from xkd_bench.cli import main

    if largest is not None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background do not listen to it
    training.CHECKPOINT_EVERY_S = -1.0
    spec.load_budget = _longer(spec.load_budget)  # type: ignore[assignment]
    sys.argv = ["xkd-bench", *words]
    _ready(Path(err)).touch()
    main()


def _ready(err: Path) -> Path:
    """The file that says that the program with these errors has begun."""
    return err.with_suffix(".ready")


def _longer(real: Callable[..., Any]) -> Callable[..., Any]:
    """Budgets with more epochs, so that there is something to be interrupted in."""

    def load_budget(*names: str) -> Any:
        plan = real(*names)
        longer = {name: getattr(plan, name).model_copy(update={"epochs": EPOCHS}) for name in ("pretrain", "distil")}
        return plan.model_copy(update=longer)

    return load_budget


class Suite:
    """The sweep as a command, its undisturbed store, and how long that took."""

    def __init__(self, scratch: Path, grid: str = GRID) -> None:
        self.scratch = scratch
        self.file = scratch / "survival.toml"
        self.file.write_text(grid, encoding="utf-8")
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(list(LOADED))
        self._count = 0
        self.ended(self.begin(scratch / "none", "--dry-run"))  # waits for the imports
        started = time.time()
        found = self.ended(self.begin(scratch / "undisturbed"))
        if found.code:
            raise NotSurvivedError(f"the undisturbed sweep failed: {found.err}")
        self.expected = contents(scratch / "undisturbed")
        # Until the last record, and some of the time that the tables take.
        records = (scratch / "undisturbed" / "runs").glob("*/record.json")
        self.seconds = 1.2 * (max(file.stat().st_mtime for file in records) - started)

    def begin(self, out: Path, *words: str, largest: int | None = None) -> tuple[BaseProcess, Path]:
        """Start the command over this store."""
        self._count += 1
        err = self.scratch / f"{self._count}.err"
        given = ["sweep", str(self.file), "--device", "cpu", "--quiet", "--out", str(out), *words]
        process = self._context.Process(target=_program, args=(given, str(err), largest))
        process.start()
        return process, err

    def ended(self, begun: tuple[BaseProcess, Path], after: float | None = None, by: int = signal.SIGKILL) -> Ended:
        """Wait for its end; send it this signal so many seconds after its begin."""
        process, err = begun
        while after is not None and process.exitcode is None and not _ready(err).exists():
            time.sleep(0.01)
        process.join(SLOWEST if after is None else after)
        if process.exitcode is None and after is not None:
            os.kill(process.pid or 0, by)
            process.join(SLOWEST)
        if process.exitcode is None:
            process.kill()
            raise NotSurvivedError(f"it did not end within {SLOWEST:.0f} s")
        said = err.read_text(encoding="utf-8", errors="replace") if err.exists() else ""
        return Ended(process.exitcode, said)

    def finish(self, out: Path) -> None:
        """Ask for the rest, and hold what is there then against the undisturbed store."""
        found = self.ended(self.begin(out))
        if found.code:
            raise NotSurvivedError(f"asked again it ended with {found.code}: {found.err.strip()[-300:]}")
        self.check(out)

    def check(self, out: Path) -> None:
        """Raise NotSurvivedError where a store is not the undisturbed one."""
        found = contents(out)
        for what, mine in self.expected.items():
            if found[what] != mine:
                raise NotSurvivedError(f"{what} are not those of the undisturbed store")


def contents(root: Path) -> dict[str, Any]:
    """What must come out the same, whatever happened on the way: records with their scores, items, the other folders
    of the store, and every file's name, so that nothing is left over."""
    import numpy as np

    store = Store(root)
    records = store.records()
    whole = {f"{kind}/{f.name}": store.has(kind, f.name) for kind in KINDS for f in sorted(folders(root, kind))}
    names = {str(f.relative_to(root)) for f in root.rglob("*") if f.is_file() and "locks" not in f.parts}
    rows = {
        record["key"]: [{k: v for k, v in row.items() if k != "seconds"} for row in record["scores"]]
        for record in records
    }
    items = {key: np.asarray(store.correct(key)).tobytes() for key in rows}
    return {"scores": rows, "items": items, "whole folders": whole, "files": names}


def folders(root: Path, kind: str) -> Iterator[Path]:
    folder = Store(root).folder(kind, "")
    yield from (f for f in folder.iterdir() if f.is_dir()) if folder.is_dir() else ()
