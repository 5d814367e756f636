"""Carries runs out: an engine takes runs and gives outcomes, in whatever order they end. Here is the serial one;
`ray_engine` has the other."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xkd_bench.errors import TrainingError, UsageError
from xkd_bench.runner import Runner
from xkd_bench.spec import RunSpec
from xkd_bench.stages.context import Report
from xkd_bench.suite.plan import Plan


class RunTimeoutError(RuntimeError):
    """A run took longer than it may. What it had done is kept, and the same command goes on from there."""


class ElsewhereError(RuntimeError):
    """What went wrong with a run in another process, in one line that says all; its note is the traceback there."""


PLAIN = (UsageError, TrainingError, RunTimeoutError, ElsewhereError)
"""Errors whose text says all."""


@dataclass(frozen=True)
class Outcome:
    """How one run ended: with a record, or with an error."""

    spec: RunSpec
    seconds: float
    error: Exception | None = None

    def reason(self) -> str:
        """The error in one line; where it came up, if it is none of those that a user can mend."""
        text = " ".join(str(self.error).split()) or "no message"
        if self.error is None or isinstance(self.error, PLAIN):
            return text
        trace = self.error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        place = f" ({Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno})" if trace else ""
        return f"{type(self.error).__name__}: {text}{place}"


class Engine(Protocol):
    """What carries runs out: here one after another; elsewhere in several processes or on several machines."""

    def run(self, specs: Sequence[RunSpec], begin: Callable[[RunSpec], None]) -> Iterator[Outcome]:
        """An outcome for each run, as it ends. begin: told when a run begins.

        An error of a run is its outcome and ends no other run; a KeyboardInterrupt ends all. Closing the iterator
        gives up the runs that are left.
        """


class SerialEngine:
    """One run after another, in order, in this process.

    timeout: seconds a run may take; it is stopped at its next step that reports, with its checkpoints kept.
    """

    def __init__(self, runner: Runner, timeout: float | None = None) -> None:
        self.runner, self.timeout = runner, timeout

    def run(self, specs: Sequence[RunSpec], begin: Callable[[RunSpec], None]) -> Iterator[Outcome]:
        """See `Engine.run`."""
        for spec in specs:
            begin(spec)
            started = time.monotonic()
            error = None
            try:
                self.runner.run(spec, until(self.runner.report, started, self.timeout))
            except Exception as caught:  # whatever it is, the other runs go on
                error = caught
            yield Outcome(spec, time.monotonic() - started, error)


def until(report: Report, started: float, timeout: float | None) -> Report:
    """The report, which stops what it is told of when its time is over."""

    def told(stage: str, done: int, total: int, note: str) -> None:
        if timeout is not None and time.monotonic() - started > timeout:
            raise RunTimeoutError(
                f"stopped after {timeout:g} s in '{stage}' at {done} of {total}: give it more with --timeout"
            )
        report(stage, done, total, note)

    return told


def carry_out(
    plan: Plan,
    engine: Engine,
    begin: Callable[[RunSpec], None],
    end: Callable[[Outcome], None],
    max_failures: int | None = None,
) -> list[Outcome]:
    """Do what is missing of a plan; the outcomes that failed. It ends early at `max_failures` of them."""
    failed: list[Outcome] = []
    for outcome in engine.run(plan.missing(), begin):
        end(outcome)
        if outcome.error is not None:
            failed.append(outcome)
            if len(failed) == max_failures:
                break
    return failed
