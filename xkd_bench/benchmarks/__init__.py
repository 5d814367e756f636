"""Speed, memory and survival, measured: what `xkd-bench bench` runs.

A benchmark is a module of this folder with a function `run(options: Options) -> Result`, and a line in BENCHMARKS. It
compares two sides of the same work in one run, in turns (`timing`), so that a busy machine slows both; its table, CSV
and figure are written by `result.measured`, which adds the machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from math import isnan, nan
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Entry(NamedTuple):
    """Where a benchmark is, what it measures, and whether `bench` without names runs it (long ones are asked for)."""

    module: str
    summary: str
    by_default: bool = True


BENCHMARKS: dict[str, Entry] = {
    "distillation": Entry("distillation", "an epoch of the training loop against bare steps; what augmentation costs"),
    "losses": Entry("loss_speed", "contrastive and distillation losses against other libraries, values compared"),
    "chunks": Entry("contrastive_memory", "memory and time of contrastive losses in chunks, against the whole at once"),
    "estimators": Entry(
        "estimators_bench", "kernels, SVCCA, neighbours, retrieval and bootstrap against other libraries"
    ),
    "few-shot": Entry("few_shot", "batched linear heads of all draws against a loop over scikit-learn's"),
    "dense": Entry("dense", "step time and memory of every dense method against the plain student's"),
    "dense-large": Entry("dense_large", "the same on 512 × 512 pixels", False),
    "throughput": Entry("throughput", "images per second and peak memory of methods and networks"),
    "scaling": Entry("scaling", "cost against batch, candidates, resolution and pairs, with fitted exponents"),
    "reading": Entry("data_speed", "reading batches from the cache against training on them"),
    "start-up": Entry("start_up", "xkd-bench --help and list against importing typer alone"),
    "suite-rate": Entry("suite_rate", "small runs a minute: several at once on Ray against one after another"),
    "survival": Entry("survival", "a suite that is killed again and again ends with the same records", False),
}


def nothing(done: int, total: int, note: str) -> None:
    """No progress is shown."""


@dataclass(frozen=True)
class Options:
    """What a benchmark is told. device: `cpu` or `cuda`. quick: seconds, to see that it runs; its figures mean little.
    tick: to be told (steps done, steps in all, what is under way)."""

    device: str = "cpu"
    quick: bool = False
    tick: Callable[[int, int, str], None] = nothing


@dataclass(frozen=True)
class Target:
    """A bound that a measured number is held to. low, high: lowest and highest of n rounds. NaN: not measured here."""

    what: str
    value: float
    bound: float
    at_most: bool = True
    low: float = nan
    high: float = nan
    n: int = 1

    @property
    def verdict(self) -> str:
        """By the median; where rounds lie on both sides of the bound, it says so."""
        if isnan(self.value):
            return "not measured here"
        met = self.value <= self.bound if self.at_most else self.value >= self.bound
        crossed = self.low < self.bound < self.high
        return ("met" if met else "missed") + (", but rounds lie on both sides" if crossed else "")


@dataclass(frozen=True)
class Result:
    """What a benchmark found.

    title; words: what was done, on what, and what the spread is, in sentences. frame: every number, for the CSV. shown:
    the table for people, of strings; None shows the frame. targets: see `Target`. figure: drawn, or None.
    """

    title: str
    words: str
    frame: pd.DataFrame
    shown: pd.DataFrame | None = None
    targets: tuple[Target, ...] = ()
    figure: Figure | None = None
    notes: tuple[str, ...] = field(default=())


def load(name: str) -> Callable[[Options], Result]:
    """The `run` of a benchmark; an unknown name names the nearest."""
    from xkd_bench.errors import nearest

    if name not in BENCHMARKS:
        raise nearest("benchmark", name, list(BENCHMARKS))
    run: Callable[[Options], Result] = import_module(f"xkd_bench.benchmarks.{BENCHMARKS[name].module}").run
    return run
