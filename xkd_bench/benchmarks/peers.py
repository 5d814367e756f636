"""The same work by this project and by other libraries: time, memory, and whether the values agree."""

from __future__ import annotations

import gc
import importlib.util
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from xkd_bench.benchmarks import Options, Target
from xkd_bench.benchmarks.contrastive_memory import own_pages_from
from xkd_bench.benchmarks.estimator_speed import reset_peak, status
from xkd_bench.benchmarks.timing import in_turns, ratio, repeated, short

OURS = "ours"
ROUND = 0.1
"""Seconds that a contender's part of a round takes at least: what is shorter is repeated."""
Work = Callable[[], float]
"""Does the work once and returns its value."""


@dataclass(frozen=True)
class Case:
    """One piece of work. works: by contender; `ours` among them. bare: contenders that nothing is held against."""

    what: str
    works: Mapping[str, Work]
    rounds: int = 5
    bare: tuple[str, ...] = ()


def installed(package: str) -> bool:
    """Whether a peer can be imported here."""
    return importlib.util.find_spec(package) is not None


def missing(packages: Sequence[str]) -> tuple[str, ...]:
    """A note on peers that are not here, if any."""
    absent = [name for name in packages if not installed(name)]
    return (f"Not installed here, so not compared: {', '.join(absent)} (pip install 'xkd-bench[bench]').",) * bool(
        absent
    )


def compare(cases: Sequence[Case], options: Options) -> pd.DataFrame:
    """A row for each contender of each case: seconds, how many times ours it takes, its peak and its value."""
    rows: list[dict[str, Any]] = []
    for number, case in enumerate(cases):
        options.tick(number, len(cases), case.what)
        peaks, values, first = zip(*(_peak(work) for work in case.works.values()), strict=True)  # the warm-up as well
        times = [max(1, math.ceil(ROUND / max(once, 1e-4))) for once in first]
        works = {name: repeated(work, n) for (name, work), n in zip(case.works.items(), times, strict=True)}
        timed = in_turns(works, 2 if options.quick else case.rounds, warm_up=0).items()
        seconds = {name: [s / n for s in found] for (name, found), n in zip(timed, times, strict=True)}
        base = values[list(case.works).index(OURS)]
        for name, peak, value in zip(case.works, peaks, values, strict=True):
            found = ratio(seconds[name], seconds[OURS])
            rows.append(
                {"what": case.what, "contender": name, "seconds": statistics.median(seconds[name])}
                | {"times_ours": found.value, "low": found.low, "high": found.high, "rounds": found.n}
                | {"peak_mb": peak, "value": value, "difference": abs(value - base), "bare": name in case.bare}
            )
    options.tick(len(cases), len(cases), "")
    return pd.DataFrame(rows)


def _peak(work: Work) -> tuple[float, float, float]:
    """Growth of the process's peak memory in MB, freed blocks given back at once; the value; and CPU seconds."""
    gc.collect()
    own_pages_from(2**16)
    reset_peak()
    before = status("VmRSS")
    start = time.process_time()
    value = work()
    took = time.process_time() - start
    grown = status("VmHWM") - before
    own_pages_from(2**25)
    return grown, value, took


def shown(frame: pd.DataFrame) -> pd.DataFrame:
    """The table for people."""
    return pd.DataFrame(
        {
            "what": r["what"],
            "contender": r["contender"],
            "CPU, ms": short(1000 * r["seconds"]),
            "times ours": f"{short(r['times_ours'])} ({short(r['low'])} to {short(r['high'])}, {r['rounds']})",
            "peak, MB": f"{r['peak_mb']:,.0f}",
            "value": "" if r["value"] != r["value"] else f"{r['value']:.6f}",
        }
        for r in frame.to_dict("records")
    )


def targets(frame: pd.DataFrame, bounds: Mapping[str, float] | None = None) -> tuple[Target, ...]:
    """Never slower than a peer, or so many times faster than the one of this name. A bare computation is no peer."""
    peers = frame[(frame["contender"] != OURS) & ~frame["bare"].astype(bool)]
    found = []
    for r in peers.to_dict("records"):
        bound = (bounds or {}).get(r["contender"], 1.0)
        what = f"{r['contender']} over ours: {r['what']}"
        found.append(Target(what, r["times_ours"], bound, False, r["low"], r["high"], r["rounds"]))
    return tuple(found)
