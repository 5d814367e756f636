"""Is reading ever what training waits for? Shuffled batches of 64-pixel images against the default student's work.

Images lie in a memory-mapped cache file, as the tasks' do. One side reads batches of random items as pair batches do
(shuffle, copy out of the map, to float, without augmentation); the other is the bare forward and backward pass of the
laptop budget's student on a batch that is there already. Both in turns, one thread; ratios are of CPU time in the same
round, and of wall time, which a busy disk adds to. `cold` drops the file from the system's memory first, where the
system lets us. Writes speed.md to `results/tasks/`.

    python -m xkd_bench.benchmarks.data_speed [--items 20000] [--batch 256] [--rounds 5]
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import numpy as np
import pandas as pd
import torch

from protocols import load_budget
from xkd_bench.batches import PairBatches
from xkd_bench.benchmarks import Options, Result, Target
from xkd_bench.benchmarks.timing import SPREAD, ratio
from xkd_bench.models.encoders import build_encoder
from xkd_bench.sampling import PairSampler
from xkd_bench.tasks._cache import Allocate, Array, cached

SIZE, CHANNELS = 64, 3


@dataclass(frozen=True)
class Timed:
    """Seconds a batch."""

    cpu: float
    wall: float


def timed(work: Callable[[], int]) -> Timed:
    """Time a batch of `work`, which returns how many batches it went through."""
    cpu, wall = time.process_time(), time.perf_counter()
    batches = work()
    return Timed((time.process_time() - cpu) / batches, (time.perf_counter() - wall) / batches)


def images(items: int) -> Array:
    """Random images in the cache, mapped."""

    def build(allocate: Allocate) -> Array:
        rng, out = np.random.default_rng(0), allocate((items, CHANNELS, SIZE, SIZE))
        for start in range(0, items, 1000):
            block = out[start : start + 1000]
            block[:] = rng.integers(0, 256, block.shape, np.uint8)
        return out

    return cached("data-speed", str(items), build)[0]


def reader(data: Array, batch: int) -> Callable[[], int]:
    """An epoch of pair batches of one view."""
    ids = np.arange(len(data))
    sampler = PairSampler(ids, ids, {}, batch, "all", 0)
    batches = PairBatches(torch.device("cpu"), data, ids, sampler, "none", views=1)
    epoch = iter(range(1 << 30))
    return lambda: sum(1 for _ in batches(next(epoch)))


def trainer(batch: int, steps: int) -> Callable[[], int]:
    """Forward and backward passes of the default student on a batch in memory."""
    student = build_encoder(load_budget("laptop").student, CHANNELS, SIZE).train()
    x = torch.rand(batch, CHANNELS, SIZE, SIZE)

    def work() -> int:
        for _ in range(steps):
            student.zero_grad()
            student(x).square().mean().backward()
        return steps

    return work


def forget(data: Array) -> None:
    """Let the system drop the file's pages from memory."""
    if hasattr(os, "posix_fadvise") and isinstance(data, np.memmap) and data.filename:
        with open(data.filename, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(items: int, batch: int, rounds: int) -> dict[str, list[Timed]]:
    """Times of each side in each round."""
    data = images(items)
    read, train = reader(data, batch), trainer(batch, steps=max(2, items // batch // 4))
    train()
    times: dict[str, list[Timed]] = {"read, cold": [], "read, warm": [], "student": []}
    for _ in range(rounds):
        forget(data)
        for name, work in (("read, cold", read), ("read, warm", read), ("student", train)):
            times[name].append(timed(work))
    return times


def table(times: dict[str, list[Timed]]) -> str:
    """Medians over the rounds, and medians of the ratios to the student in the same round."""
    lines = [
        "| a batch | CPU, ms | of the student's | wall, ms | of the student's |",
        "| :-- | --: | --: | --: | --: |",
    ]
    for name, rounds in times.items():
        cells = []
        for clock in ("cpu", "wall"):
            mine = [getattr(t, clock) for t in rounds]
            ratios = [m / getattr(t, clock) for m, t in zip(mine, times["student"], strict=True)]
            cells += [f"{1000 * statistics.median(mine):.2f}", f"{100 * statistics.median(ratios):.1f} %"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def run(options: Options) -> Result:
    """What `xkd-bench bench reading` measures."""
    items, batch, rounds = (64, 16, 1) if options.quick else (8000, 256, 3)
    options.tick(0, 1, "reading and training")
    with TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"XKD_BENCH_CACHE": folder}):
        times = measure(items, batch, rounds)
    rows = []
    for name, spent in times.items():
        share = ratio([t.cpu for t in spent], [t.cpu for t in times["student"]])
        cpu, wall = (statistics.median(getattr(t, clock) for t in spent) for clock in ("cpu", "wall"))
        rows.append(
            {"a batch": name, "CPU, ms": 1000 * cpu, "wall, ms": 1000 * wall, "share of the student's CPU": share.value}
            | {"lowest": share.low, "highest": share.high, "rounds": share.n}
        )
    warm = next(r for r in rows if r["a batch"] == "read, warm")
    held = Target("reading a batch over the student's step", warm["share of the student's CPU"], 0.1)
    words = (
        f"One thread. Read: shuffled batches of {batch} of {items:,} images ({CHANNELS} × {SIZE} × {SIZE}) from the "
        f"memory-mapped cache. Student: a bare forward and backward pass of {load_budget('laptop').student} on such a "
        f"batch. Shares are of the same round, medians. {SPREAD}"
    )
    return Result("Reading images, against training on them", words, pd.DataFrame(rows), None, (held,))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("results/tasks"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        os.environ["XKD_BENCH_CACHE"] = folder
        times = measure(given.items, given.batch, given.rounds)
    page = (
        f"# Reading images, against training on them\n\n{table(times)}\n\n"
        f"Medians of {given.rounds} rounds, one thread. Read: shuffled batches of {given.batch} of {given.items:,} "
        f"images ({CHANNELS} × {SIZE} × {SIZE}) from the memory-mapped cache. Student: a bare forward and backward "
        f"pass of {load_budget('laptop').student} on such a batch.\n"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "speed.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
