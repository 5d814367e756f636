"""Rendered scenes, kept in the cache folder in blocks: made by several processes, resumed after any interruption.

cache_dir()/rendered/tabletop-1/scenes-000050.npz      scenes 50 to 99: an array for each plane, and the facts (JSON)

A scene depends on its number alone, so blocks can be made in any order, and serve tasks of any number of scenes.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import cache_dir
from xkd_bench.tasks._packages import Report
from xkd_bench.tasks._rasterise import count

Planes = dict[str, NDArray[Any]]
Facts = dict[str, Any]
"""What JSON can hold."""
Render = Callable[[int], tuple[Planes, Facts]]
"""The scene of a number."""

_FACTS, _KEPT, _LONGEST_REASON = "facts", 4, 160
_reading = Lock()


@dataclass(frozen=True)
class Blocks:
    """name: of the folder, with the version of what is rendered. worker: a module that, run as a command, `serve`s."""

    name: str
    worker: str
    size: int = 50

    @property
    def folder(self) -> Path:
        """Where they are."""
        return cache_dir() / "rendered" / self.name

    def files(self, scenes: int) -> list[Path]:
        """The blocks that hold scenes 0 to `scenes` - 1."""
        return [self._file(first) for first in range(0, scenes, self.size)]

    def ready(self, scenes: int) -> bool:
        """Whether all are there; reads none."""
        return all(file.is_file() for file in self.files(scenes))

    def damage(self, scenes: int) -> list[str]:
        """A line for each block that is missing or damaged. Reads every byte (archives hold checksums)."""
        lines = []
        for file in self.files(scenes):
            try:
                _load(file)
            except FileNotFoundError:
                lines.append(f"'{file}' is missing")
            except Exception as error:  # zipfile, zlib, numpy and json each have their own
                lines.append(
                    f"'{file}' is damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
                )
        return lines

    def read(self, number: int) -> tuple[Planes, Facts]:
        """A scene. Reading the scenes of one block in turn reads it once."""
        file = self._file(number - number % self.size)
        with _reading:
            planes, facts = _recent(file, file.stat().st_mtime_ns)
        return {name: plane[number % self.size] for name, plane in planes.items()}, facts[number % self.size]

    def make(self, scenes: int, report: Report) -> None:
        """Render what is not there and whole, a block at a time in each of as many processes as there are cores.

        Raises UsageError with one line if rendering fails or nothing can be written; finished blocks stay.
        """
        from filelock import FileLock

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                for left in self.folder.glob("*.tmp"):  # of a process that was killed
                    left.unlink()
                self._make([file for file in self.files(scenes) if not _whole(file)], scenes, report)
        except OSError as error:
            raise UsageError(f"scenes cannot be kept in '{self.folder}': {error.strerror or error}") from None

    def _make(self, files: Sequence[Path], scenes: int, report: Report) -> None:
        total = len(self.files(scenes)) * self.size
        add = count(total, lambda done, of: report("rendering", done, of))
        add(total - len(files) * self.size)
        running: list[subprocess.Popen[str]] = []
        with ThreadPoolExecutor(max(1, min(_cores(), len(files)))) as pool:
            waits = [pool.submit(self._block, file, add, running) for file in files]
            try:
                for wait in waits:
                    wait.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(running):
                    process.kill()
                raise

    def _block(self, file: Path, add: Callable[[int], None], running: list[subprocess.Popen[str]]) -> None:
        """Let a process of its own render a block; it says a line for each scene."""
        first = int(file.stem.rpartition("-")[2])
        paths = os.pathsep.join(path for path in sys.path if path)
        with subprocess.Popen(
            [sys.executable, "-m", self.worker, str(file), str(first), str(self.size)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        ) as process:  # fmt: skip
            running.append(process)
            assert process.stdout is not None
            assert process.stderr is not None
            for _ in process.stdout:
                add(1)
            said = [line for line in process.stderr.read().splitlines() if line.strip()]
        if process.returncode:
            reason = said[-1].strip()[:_LONGEST_REASON] if said else f"exit code {process.returncode}"
            raise UsageError(f"scenes {first} to {first + self.size - 1} could not be rendered ({reason})")

    def _file(self, first: int) -> Path:
        return self.folder / f"scenes-{first:06d}.npz"


def serve(render: Render, told: TextIO, arguments: Sequence[str] | None = None) -> None:
    """The worker's side: FILE FIRST COUNT are the arguments; scenes go to the file, a line a scene to `told`."""
    path, first, size = sys.argv[1:] if arguments is None else arguments
    scenes = []
    for number in range(int(first), int(first) + int(size)):
        scenes.append(render(number))
        print(number, file=told, flush=True)
    planes = {name: np.stack([one[name] for one, _ in scenes]) for name in scenes[0][0]}
    facts = np.frombuffer(json.dumps([facts for _, facts in scenes]).encode(), np.uint8)
    file = Path(path)
    rough = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        with rough.open("wb") as out:
            np.savez_compressed(out, **planes, **{_FACTS: facts})  # type: ignore[arg-type]
        os.replace(rough, file)
    finally:
        with suppress(OSError):
            rough.unlink()


def _load(file: Path) -> tuple[Planes, list[Facts]]:
    with np.load(file, allow_pickle=False) as archive:
        planes = {name: archive[name] for name in archive.files}
    return planes, json.loads(planes.pop(_FACTS).tobytes())


@lru_cache(maxsize=_KEPT)
def _recent(file: Path, changed: int) -> tuple[Planes, list[Facts]]:
    """The last few blocks; `changed` so that a file made anew is read anew."""
    return _load(file)


def _whole(file: Path) -> bool:
    try:
        _load(file)
    except Exception:
        return False
    return True


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
