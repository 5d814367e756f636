"""How long runs take, by the times of like runs in a store."""

import json
from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any

from xkd_bench.spec import RunSpec
from xkd_bench.store import Store

Kind = tuple[Any, ...]


class Times:
    """Times of the trainings and evaluations in a store: medians over runs of one kind."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.found: dict[Kind, list[float]] = {}
        for record in store.records():
            spec = record["spec"]
            self._note(_scoring(spec), sum(score["seconds"] for score in record["scores"]))
            for fraction, key in record["students"].items():
                seconds = self._distilling(key)
                for kind in _training(spec, float(fraction)):
                    self._note(kind, seconds)

    def of(self, missing: Iterable[tuple[RunSpec, Sequence[tuple[str, float]]]]) -> tuple[float, int]:
        """Seconds that these runs take together; how many of them cannot be told, which are left out.

        missing: the runs, each with the keys of its students and their fractions of the pairs. A student that several
        runs share is counted once, and one that is in the store not at all.
        """
        total, untimed, counted = 0.0, 0, set()
        for spec, students in missing:
            fields = spec.model_dump()
            parts = [self._like([_scoring(fields)])]
            for key, fraction in students:
                if key not in counted and not self.store.has("students", key):
                    counted.add(key)
                    parts.append(self._like(_training(fields, fraction)))
            known = [part for part in parts if part is not None]
            untimed += len(known) < len(parts)
            total += sum(known)
        return total, untimed

    def _note(self, kind: Kind, seconds: float | None) -> None:
        if seconds is not None:
            self.found.setdefault(kind, []).append(seconds)

    def _like(self, kinds: Sequence[Kind]) -> float | None:
        """The median of the first of these kinds that was timed."""
        return next((median(self.found[kind]) for kind in kinds if kind in self.found), None)

    def _distilling(self, key: str) -> float | None:
        """What it took to distil a student; None for those that are not distilled, or no longer there."""
        try:
            report = json.loads((self.store.folder("students", key) / "history.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        seconds: float = report["seconds"]
        return seconds if report["loss"] else None


def _scoring(spec: dict[str, Any]) -> Kind:
    return ("scores", *(spec[name] for name in ("task", "budget", "student", "protocol")))


def _training(spec: dict[str, Any], fraction: float) -> list[Kind]:
    """Kinds that a distillation is one of, the narrowest first: by this method, by any."""
    shared = ("student", *(spec[name] for name in ("task", "budget", "student")), fraction)
    return [(*shared, spec["method"]), shared]
