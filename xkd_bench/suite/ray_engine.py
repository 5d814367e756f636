"""Runs and measurements on a Ray cluster: each job of their graph is a task, done again if its worker or node is lost.

Ray keeps the order: a task begins when those that it needs have ended. It is told of ends alone; what is made lies in
the results folder, which all nodes see. A task that is done again goes on from the last checkpoint, as any run does.
"""

import os
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from xkd_bench import __version__
from xkd_bench.errors import TrainingError, UsageError
from xkd_bench.runner import Runner
from xkd_bench.stages.context import Report
from xkd_bench.suite.asked import Asked, Work
from xkd_bench.suite.board import Board
from xkd_bench.suite.engine import ElsewhereError, LeftOutError, Outcome, RunTimeoutError, until
from xkd_bench.suite.graph import Job, do, make_jobs
from xkd_bench.suite.ray_cluster import check_place, most_gpus

RETRIES = 3
"""How often a task is begun again whose worker or node was lost."""
EVERY_S = 0.5
"""Between two looks at what is under way, and between two lines of a job about it."""
GRACE_S = 10.0
"""For tasks that are given up: to clear away what is half written."""

Follow = Callable[[Work, str, int, int, str], None]
"""Told of a run or a measurement: (which, stage, steps done, steps in all, note)."""
ASKED_FOR = ("runs", "gaps", "bounds")
"""Stages that have outcomes of their own."""


@dataclass(frozen=True)
class Ended:
    """How a job ended. seconds: of each job that it rests on and that was done for it, and its own, by their names."""

    seconds: Mapping[str, float]
    error: Exception | None = None


@dataclass(frozen=True)
class Place:
    """What a job needs to know of where it is done.

    start: makes the runner, once in each worker process; equal ones make equal runners. mark: see `shared_folder`.
    """

    start: Callable[[], Runner]
    mark: Path
    board: Any
    folder: str = field(default_factory=os.getcwd)
    timeout: float | None = None


class RayEngine:
    """Jobs on the cluster that this process drives (see `ray_cluster`), as many at once as there is room for.

    runner: plans, here. start: as in `Place`. cpus, gpus: of each job. timeout: seconds a run or a measurement may
    take, with all that it needs and that was not there, other runs left out. follow: told how they get on.
    """

    def __init__(
        self,
        runner: Runner,
        start: Callable[[], Runner],
        mark: Path,
        *,
        cpus: int = 1,
        gpus: float = 0,
        timeout: float | None = None,
        follow: Follow = lambda *news: None,
    ) -> None:
        self.runner, self.follow = runner, follow
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        board = ray.remote(num_cpus=0, max_restarts=-1, scheduling_strategy=here)(Board).remote()
        self._asked: Any = None
        self.place = Place(start, mark, board, timeout=timeout)
        # A process sees one GPU for good: it may do another job only where that can be on no other GPU.
        calls = 1 if gpus and most_gpus() > 1 else 0
        self.task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, max_calls=calls)(carry_out_job)

    def run(self, works: Sequence[Work], begin: Callable[[Work], None]) -> Iterator[Outcome]:
        """See `Engine.run`."""
        jobs = {job.name: job for job in make_jobs(self.runner, works)}
        refs: dict[str, Any] = {}
        for job in jobs.values():
            before = [refs[name] for name in (*job.needs, *job.after)]
            refs[job.name] = self.task.options(name=job.name).remote(job, self.place, *before)
        running = {refs[job.name]: job for job in jobs.values() if job.stage in ASKED_FOR}
        begun: set[Work] = set()
        waited_for = {job.work for job in running.values()}
        try:
            for work in works:
                if work not in waited_for:  # done since the plan was made
                    _begin_once(work, begun, begin)
                    yield Outcome(work, 0.0)
            while running:
                over, _ = ray.wait(list(running), num_returns=len(running), timeout=EVERY_S)
                for name, news in self._news().items():
                    if name in jobs and jobs[name].work in waited_for and _is_told_of(jobs[name]):
                        _begin_once(jobs[name].work, begun, begin)
                        self.follow(jobs[name].work, *news)
                for ref in over:
                    outcome = _outcome(running.pop(ref), ref)
                    waited_for.discard(outcome.work)
                    if not isinstance(outcome.error, LeftOutError):
                        _begin_once(outcome.work, begun, begin)
                    yield outcome
        finally:
            _give_up(list(refs.values()))

    def _news(self) -> Mapping[str, Any]:
        """What came since the last time, without waiting for it: the board may only just be starting."""
        if self._asked is None:
            self._asked = self.place.board.read.remote()
        if not ray.wait([self._asked], timeout=0)[0]:
            return {}
        answer, self._asked = self._asked, None
        try:
            return ray.get(answer)
        except RayError:  # it is started again: some lines are lost, and no run
            return {}


def _is_told_of(job: Job) -> bool:
    """Whether what the job is done for is under way with it: a bound is not before its run, which may fail, is over."""
    return job.stage == "bounds" or not isinstance(job.work, Asked) or job.work.stage == "gaps"


def _begin_once(work: Work, begun: set[Work], begin: Callable[[Work], None]) -> None:
    if work not in begun:
        begun.add(work)
        begin(work)


def _outcome(job: Job, ref: Any) -> Outcome:
    try:
        ended: Ended = ray.get(ref)
    except RayError as error:  # of Ray, not of the run: a run's own errors are in `Ended`
        why = (str(error).strip().splitlines() or ["no reason given"])[0]
        lost = ElsewhereError(f"its worker was lost {RETRIES + 1} times ({type(error).__name__}: {why})")
        return Outcome(job.work, 0.0, lost)
    return Outcome(job.work, sum(ended.seconds.values()), ended.error)


def _give_up(refs: list[Any]) -> None:
    """End what is not over yet: what runs is interrupted and clears up, what does not listen is killed."""
    _, left = ray.wait(refs, num_returns=len(refs), timeout=0) if refs else ([], [])
    for force, patience in ((False, GRACE_S), (True, 0.0)):
        for ref in left:
            with suppress(RayError, ValueError):
                ray.cancel(ref, force=force)
        if left:
            _, left = ray.wait(left, num_returns=len(left), timeout=patience)


# --- in a worker process --------------------------------------------------------------------------------------------

_runners: dict[Callable[[], Runner], Runner] = {}
"""One for each way to start, so that data are loaded once a process and not once a task."""


def carry_out_job(job: Job, place: Place, *before: Ended) -> Ended:
    """Do one job, or fail as one did that it needs."""
    needed = dict(zip(job.needs, before, strict=False))
    of_runs = [needed.pop(name) for name in job.needs if name.startswith("runs/")]  # they have had time of their own
    seconds = {name: spent for ended in needed.values() for name, spent in ended.seconds.items()}
    if any(ended.error is not None for ended in of_runs):
        return Ended(seconds, LeftOutError())
    for ended in needed.values():
        if ended.error is not None:
            return Ended(seconds, ended.error)
    started = time.monotonic()
    error = None
    try:
        tell = until(_teller(place.board, job.name), started - sum(seconds.values()), place.timeout)
        tell(job.stage, 0, 1, "")
        do(_runner(place), job, tell)
    except Exception as caught:  # whatever it is, the other jobs go on
        error = _portable(job.work, caught)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()  # for others on this GPU, while this process waits for its next job
    return Ended(seconds | {job.name: time.monotonic() - started}, error)


def _runner(place: Place) -> Runner:
    if place.start not in _runners:
        if problem := check_place(place.mark, __version__):  # a node that joined later
            raise UsageError(problem)
        with suppress(OSError):  # paths of a user's own data may be relative; where they are not there, it says so
            os.chdir(place.folder)
        _runners[place.start] = place.start()
    return _runners[place.start]


def _teller(board: Any, name: str) -> Report:
    """Tells the board how a job gets on, not too often."""
    last = ("", 0.0)

    def tell(stage: str, done: int, total: int, note: str) -> None:
        nonlocal last
        if stage != last[0] or time.monotonic() - last[1] > EVERY_S:
            last = (stage, time.monotonic())
            board.tell.remote(name, stage, done, total, note)

    return tell


def _portable(work: Work, error: Exception) -> Exception:
    """The error as another process can have it: those that a user can mend as they are, others in words."""
    if isinstance(error, UsageError | TrainingError | RunTimeoutError):
        return type(error)(str(error))
    told = ElsewhereError(Outcome(work, 0.0, error).reason())
    told.add_note("".join(traceback.format_exception(error)))
    return told
