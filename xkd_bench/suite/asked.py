"""What a sweep may ask for: runs, and measurements of them: gaps of their tasks, bounds of those that have one."""

from collections.abc import Sequence
from dataclasses import dataclass

from xkd_bench.errors import UsageError
from xkd_bench.spec import RunSpec
from xkd_bench.stages.bound import check_bound
from xkd_bench.stages.oracle import KINDS, Kind, check_oracle, usual

KINDS_OF_MEASURE = ("gap", "bound")
ENCODERS = ("oracle", *(f"oracle-{kind}" for kind in KINDS), "raw", "teacher")
SWEPT = ("oracle", "raw")
"""Encoders whose gaps a sweep measures."""


@dataclass(frozen=True)
class Asked:
    """A measurement: of a run's bound (spec), or of the gap of its task, seed and budget (encoders)."""

    spec: RunSpec
    encoders: str = ""

    @property
    def stage(self) -> str:
        """Where it is kept in a store."""
        return "gaps" if self.encoders else "bounds"

    @property
    def label(self) -> str:
        """A name for progress and messages."""
        if self.encoders:
            return f"gap of {self.spec.task}, {self.encoders}, seed {self.spec.seed}"
        return f"bound of {self.spec.label()}, {self.spec.task}"

    @property
    def oracle(self) -> Kind | None:
        """Which oracle it takes, None if none."""
        if self.encoders in ("", "oracle"):
            return usual(self.spec.task)
        return next((kind for kind in KINDS if self.encoders == f"oracle-{kind}"), None)


Work = RunSpec | Asked
"""A run or a measurement."""


def gap_spec(task: str, seed: int, budget: str, precision: str = "32") -> RunSpec:
    """The run whose data, split and networks a gap is measured with: it trains nothing before the labels."""
    return RunSpec.make(
        task=task, method="sup-ft", protocol="linear-eval", budget=budget, seed=seed, precision=precision
    )


def measurements(specs: Sequence[RunSpec], measure: Sequence[str]) -> list[Asked]:
    """What is to be measured of these runs: gaps of their tasks, seeds and budgets, and bounds of those that have one.

    Raises:
        UsageError: a kind of measurement that does not exist, a task that has no gap, or runs of which none has a
            bound.
    """
    if unknown := sorted(set(measure) - set(KINDS_OF_MEASURE)):
        raise UsageError(f"measure is of {', '.join(KINDS_OF_MEASURE)}, not '{unknown[0]}'")
    asked: dict[Asked, None] = {}
    if "gap" in measure:
        for spec in specs:
            check_oracle(spec.task, usual(spec.task))
            for encoders in SWEPT:
                asked[Asked(gap_spec(spec.task, spec.seed, spec.budget, spec.precision), encoders)] = None
    if "bound" in measure:
        fit = [spec for spec in specs if _has_bound(spec)]
        if not fit:
            check_bound(specs[0])
        asked |= dict.fromkeys(Asked(spec) for spec in fit)
    return sorted(asked, key=lambda one: (one.spec.task, one.spec.seed))  # they share what is of the task


def _has_bound(spec: RunSpec) -> bool:
    try:
        check_bound(spec)
    except UsageError:
        return False
    return True
