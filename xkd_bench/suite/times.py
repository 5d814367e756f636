"""How long jobs take, by the times of like ones in a store."""

import json
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from xkd_bench import methods
from xkd_bench.runner import Runner
from xkd_bench.stages.oracle import oracle_networks
from xkd_bench.stages.teacher import trained_network
from xkd_bench.store import Store
from xkd_bench.suite.asked import Asked
from xkd_bench.suite.graph import Job

Kind = tuple[Any, ...]
UNTIMED = ("features", "statistics")
"""Stages that take little, beside what they are for: left out."""


class Times:
    """Times of what is in a store: medians over those of one kind."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.found: dict[Kind, list[float]] = {}
        for record in store.records():
            spec = record["spec"]
            self._note(_scoring(spec), sum(score["seconds"] for score in record["scores"]))
            for fraction, key in record["students"].items():
                told = self._history("students", key)
                for kind in _distilling(spec, float(fraction)):
                    self._note(kind, told.get("seconds") if told.get("loss") else None)  # else it is not distilled
        for stage in ("teachers", "oracles"):
            for folder in store.folder(stage, "").glob("*/"):
                told = self._history(stage, folder.name)
                self._note((stage, *(told.get(name) for name in ("task", "budget", "network"))), told.get("seconds"))
        for gap in store.measured("gaps"):
            self._note(("gaps", *(gap[name] for name in ("task", "budget", "encoders"))), gap.get("seconds"))
        for bound in store.measured("bounds"):
            self._note(_bounding(bound["spec"]), bound.get("seconds"))

    def of(self, jobs: Iterable[Job], runner: Runner) -> tuple[float, int]:
        """Seconds that these jobs take one after another; how many runs and measurements are not all in it, for the
        store has no like of something that they need."""
        total, untimed = 0.0, set()
        for job in jobs:
            kinds = _kinds(job, runner)
            seconds = self._like(kinds)
            if kinds and seconds is None:
                untimed.add(job.work)
            total += seconds or 0.0
        return total, len(untimed)

    def _note(self, kind: Kind, seconds: float | None) -> None:
        if seconds is not None:
            self.found.setdefault(kind, []).append(seconds)

    def _like(self, kinds: Sequence[Kind]) -> float | None:
        """The median of the first of these kinds that was timed."""
        return next((median(self.found[kind]) for kind in kinds if kind in self.found), None)

    def _history(self, stage: str, key: str) -> dict[str, Any]:
        """How a training went; empty if it is no longer there."""
        try:
            told: dict[str, Any] = json.loads((self.store.folder(stage, key) / "history.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return told


def _kinds(job: Job, runner: Runner) -> list[Kind]:
    """Kinds that a job is one of, the narrowest first; none for what takes next to no time."""
    spec = job.spec.model_dump()
    place = spec["task"], spec["budget"]
    if job.stage in UNTIMED:
        return []
    if job.stage == "students":
        return _distilling(spec, job.fraction) if methods.get(job.spec.method).distils else []
    if job.stage == "teachers":
        return [("teachers", *place, trained_network(runner.context(job.spec)))]
    if job.stage in ("runs", "tuned-scores"):
        return [_scoring(spec)]
    assert isinstance(job.work, Asked)
    if job.stage == "oracles":
        assert job.work.oracle is not None
        return [("oracles", *place, oracle_networks(runner.context(job.spec), job.work.oracle))]
    return [("gaps", *place, job.work.encoders)] if job.work.encoders else [_bounding(spec)]


def _scoring(spec: dict[str, Any]) -> Kind:
    return ("scores", *(spec[name] for name in ("task", "budget", "student", "protocol")))


def _bounding(spec: dict[str, Any]) -> Kind:
    return ("bounds", *(spec[name] for name in ("task", "budget", "student")))


def _distilling(spec: dict[str, Any], fraction: float) -> list[Kind]:
    """By this method, by any."""
    shared = ("student", *(spec[name] for name in ("task", "budget", "student")), fraction)
    return [(*shared, spec["method"]), shared]
