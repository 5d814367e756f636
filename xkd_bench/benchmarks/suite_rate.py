"""Runs a minute: a suite of small runs, several at once on Ray against one after another, on one machine.

The same runs are carried out by both engines in turns, each time into a new results folder, with one thread a run, and
their scores are compared. On a GPU it is a suite of 100, four at once, each with a quarter of it: a small network
leaves most of a GPU idle. On CPUs it is 12 for each core, as many at once as there are cores, so that both sides and
all rounds take less than an hour. Ray and its workers have started before the first round.

    python -m xkd_bench.benchmarks.suite_rate [--quick] [--device cuda]
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from xkd_bench.benchmarks import Options, Result, Target
from xkd_bench.benchmarks.timing import SPREAD, in_turns, ratio
from xkd_bench.cli.clusters import Start
from xkd_bench.cli.runs import Machine
from xkd_bench.runner import Runner
from xkd_bench.spec import RunSpec
from xkd_bench.store import Store
from xkd_bench.suite import ray_cluster
from xkd_bench.suite.engine import Engine, SerialEngine, carry_out
from xkd_bench.suite.plan import make_plan

ON_A_GPU = 4
"""Runs that share one."""
SUITE = 100
"""Runs of a round on a GPU."""
A_CORE = 12
"""Runs of a round on CPUs, for each core."""
SHARE = 0.75
"""Of perfect scaling: what the rate on CPUs is held to, and that on a GPU to any gain at all."""
Scores = list[list[float]]


def runs_of(budget: str, number: int) -> list[RunSpec]:
    """Small runs of as many seeds: SimCLR on vectors, and linear evaluation."""
    return [
        RunSpec.make(task="twin-gaussian", method="ssl", protocol="linear-eval", budget=budget, seed=seed)
        for seed in range(number)
    ]


def number_of(device: str, places: int) -> int:
    """Runs of a round."""
    return SUITE if device == "cuda" else A_CORE * places


def scores(engine: Engine, runner: Runner, runs: list[RunSpec]) -> Scores:
    """Carry the runs out, and what each scored."""
    plan = make_plan(runner, runs)
    for outcome in carry_out(plan, engine, lambda spec: None, lambda outcome: None):
        raise RuntimeError(outcome.reason())
    return [[score["value"] for score in runner.store.record(key)["scores"]] for key in plan.runs]


def one_after_another(machine: Machine, runs: list[RunSpec]) -> Scores:
    """In this process, into a new folder."""
    with TemporaryDirectory() as folder:
        runner = machine.runner(Store(folder))
        return scores(SerialEngine(runner), runner, runs)


def at_once(machine: Machine, runs: list[RunSpec], gpus: float) -> Scores:
    """On the Ray cluster that this process drives, into a new folder."""
    from xkd_bench.suite.ray_engine import RayEngine

    with TemporaryDirectory() as folder, ray_cluster.shared_folder(Path(folder)) as mark:
        planner = Machine("cpu", threads=1).runner(Store(folder))
        return scores(RayEngine(planner, Start(machine, Path(folder)), mark, gpus=gpus), planner, runs)


def measure(options: Options, places: int) -> tuple[dict[str, list[float]], dict[str, Scores], int]:
    """Seconds of each side in each round, the scores of its last one, and how many runs a round has."""
    machine = Machine(options.device, threads=1)
    budget, rounds = ("smoke", 2) if options.quick else ("laptop", 6)
    runs = runs_of(budget, places if options.quick else number_of(options.device, places))
    gpus = 1 / places if options.device == "cuda" else 0.0
    found: dict[str, Scores] = {}

    def kept(name: str, work: Callable[[], Scores]) -> Callable[[], None]:
        return lambda: found.update({name: work()})

    works = {
        "one after another": kept("one after another", lambda: one_after_another(machine, runs)),
        f"{places} at once": kept(f"{places} at once", lambda: at_once(machine, runs, gpus)),
    }
    with ray_cluster.cluster("local", threads=1):
        seconds = in_turns(works, rounds, clock=time.perf_counter, tick=options.tick)
    return seconds, found, len(runs)


def run(options: Options) -> Result:
    """See the module."""
    places = ON_A_GPU if options.device == "cuda" else os.cpu_count() or 1
    seconds, found, number = measure(options, places)
    (alone, slow), (several, fast) = seconds.items()
    gain = ratio(slow, fast)
    rows = [
        {
            "engine": name,
            "runs": number,
            "runs a minute": 60 * number / statistics.median(s),
            "times": t,
            "lowest": low,
            "highest": high,
        }
        for name, s, (t, low, high) in ((alone, slow, (1.0, 1.0, 1.0)), (several, fast, gain[:3]))
    ]
    bound = 1.0 if options.device == "cuda" else SHARE * places
    same = found[alone] == found[several]
    words = (
        f"A suite of {number} runs of SimCLR on twin-gaussian with linear evaluation, each with one thread, into a new "
        f"results folder each time{'' if options.device == 'cuda' else f' (on a GPU it is one of {SUITE})'}; wall "
        f"time, in turns, {gain.n} rounds. {SPREAD} The scores of both engines are "
        f"{'equal to the last bit' if same else 'NOT equal'}."
    )
    target = Target(f"runs a minute, {several} / {alone}", gain.value, bound, False, gain.low, gain.high, gain.n)
    return Result("Runs a minute, several at once and one after another", words, pd.DataFrame(rows), targets=(target,))


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("suite-rate")
