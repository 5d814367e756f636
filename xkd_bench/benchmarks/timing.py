"""Times of contenders for the same work, in turns, and what is said of them."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Work = Callable[[], object]
Clock = Callable[[], float]
SPREAD = "The spread is the lowest and the highest of the rounds: of six or more, they enclose the true median in 97 %."


class Ratio(NamedTuple):
    """The median of the rounds' ratios, the lowest, the highest, and how many rounds."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{short(self.value)} ({short(self.low)} to {short(self.high)}, {self.n})"


def in_turns(
    works: Mapping[str, Work],
    rounds: int,
    *,
    warm_up: int = 1,
    clock: Clock = time.process_time,
    tick: Callable[[int, int, str], None] = lambda done, total, note: None,
) -> dict[str, list[float]]:
    """Seconds of each work in each round. Every other round goes backwards, so that none is always the first; the
    garbage collector waits meanwhile.

    clock: CPU time of this process by default, which a busy machine hardly changes with one thread.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        for _ in range(warm_up):
            work()
    gc.collect()
    was = gc.isenabled()
    gc.disable()
    try:
        for done in range(rounds):
            for name in list(works)[:: -1 if done % 2 else 1]:
                tick(done, rounds, name)
                start = clock()
                works[name]()
                seconds[name].append(clock() - start)
            gc.collect()
    finally:
        if was:
            gc.enable()
    tick(rounds, rounds, "")
    return seconds


def ratio(above: Sequence[float], below: Sequence[float]) -> Ratio:
    """Of the same rounds."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), len(ratios))


def repeated(work: Work, times: int) -> Work:
    """The work, so many times: what takes microseconds is timed by the hundred."""

    def again() -> None:
        for _ in range(times):
            work()

    return again


def short(x: float) -> str:
    """Three significant digits, whole from 100 on."""
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"
