"""Carries runs out, and what is measured of them: an engine takes them and gives outcomes, in whatever order they end.
Here is the serial one; `ray_engine` has the other."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from xkd_bench.errors import TrainingError, UsageError
from xkd_bench.runner import Runner
from xkd_bench.stages.context import Report
from xkd_bench.suite.asked import Asked, Work
from xkd_bench.suite.measure import measure
from xkd_bench.suite.plan import Plan


class RunTimeoutError(RuntimeError):
    """A run took longer than it may. What it had done is kept, and the same command goes on from there."""


class ElsewhereError(RuntimeError):
    """What went wrong with a run in another process, in one line that says all; its note is the traceback there."""


class LeftOutError(RuntimeError):
    """A measurement was not begun, for the run that it is of failed."""


PLAIN = (UsageError, TrainingError, RunTimeoutError, ElsewhereError)
"""Errors whose text says all."""


@dataclass(frozen=True)
class Outcome:
    """How one run or measurement ended: with a record, or with an error."""

    work: Work
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

    def run(self, works: Sequence[Work], begin: Callable[[Work], None]) -> Iterator[Outcome]:
        """An outcome for each run or measurement, as it ends. begin: told when one begins.

        An error is an outcome and ends nothing else, but that what is measured of a run that failed is not begun
        (`LeftOutError`); a KeyboardInterrupt ends all. Closing the iterator gives up what is left.
        """


class SerialEngine:
    """One after another, in order, in this process.

    timeout: seconds that each may take; it is stopped at its next step that reports, with its checkpoints kept.
    """

    def __init__(self, runner: Runner, timeout: float | None = None) -> None:
        self.runner, self.timeout = runner, timeout

    def run(self, works: Sequence[Work], begin: Callable[[Work], None]) -> Iterator[Outcome]:
        """See `Engine.run`."""
        failed: set[Work] = set()
        for work in works:
            if isinstance(work, Asked) and not work.encoders and work.spec in failed:
                yield Outcome(work, 0.0, LeftOutError())
                continue
            begin(work)
            started = time.monotonic()
            error = None
            try:
                self._do(work, until(self.runner.report, started, self.timeout))
            except Exception as caught:  # whatever it is, the others go on
                error = caught
                failed.add(work)
            yield Outcome(work, time.monotonic() - started, error)

    def _do(self, work: Work, report: Report) -> None:
        if isinstance(work, Asked):
            measure(self.runner, work, report)
        else:
            self.runner.run(work, report)


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
    begin: Callable[[Work], None],
    end: Callable[[Outcome], None],
    max_failures: int | None = None,
) -> list[Outcome]:
    """Do what is missing of a plan; the outcomes that failed. It ends early at `max_failures` of them.

    begin, end: told of what begins and ends; of what is left out, neither.
    """
    failed: list[Outcome] = []
    for outcome in engine.run(plan.missing(), begin):
        if isinstance(outcome.error, LeftOutError):
            continue
        end(outcome)
        if outcome.error is not None:
            failed.append(outcome)
            if len(failed) == max_failures:
                break
    return failed
