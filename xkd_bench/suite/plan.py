"""The plan of many runs, checked before the first is begun: what is there, what they share, how long it takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xkd_bench.runner import Runner
from xkd_bench.spec import FORMAT, RunSpec, digest
from xkd_bench.stages.student import student_key
from xkd_bench.stages.teacher import source_key, teacher_key
from xkd_bench.store import Store
from xkd_bench.suite.times import Times


@dataclass(frozen=True)
class Stage:
    """Distinct artefacts of a kind that the runs share: how many they need, and how many of these are in the store."""

    needed: int
    there: int


@dataclass(frozen=True)
class Plan:
    """Distinct runs by their keys, in order; which are in the store; what they share.

    labels: names of the runs that tell them apart.
    seconds: what the missing runs take, by the times of like runs in the store; untimed: how many of them have no like
    there, and are not counted in it.
    """

    runs: dict[str, RunSpec]
    there: frozenset[str]
    teachers: Stage
    students: Stage
    labels: dict[RunSpec, str]
    seconds: float
    untimed: int

    def missing(self) -> list[RunSpec]:
        """The runs that are not in the store, in order."""
        return [spec for key, spec in self.runs.items() if key not in self.there]

    def present(self, store: Store) -> list[str]:
        """Keys of the runs that are in the store by now."""
        return [key for key in self.runs if key in self.there or store.has("runs", key)]

    def facts(self) -> list[tuple[str, str]]:
        """What is to be done, in words."""
        time = "unknown: nothing like it was timed yet"
        if self.seconds or not self.missing():
            time = f"about {duration(self.seconds)}, by like runs in the store"
            if self.untimed:
                time += f"; without {self.untimed} runs that have no like there"
        return [
            ("runs", f"{len(self.missing())} to do, {len(self.there)} in the store"),
            *(
                (name, f"{stage.needed - stage.there} to train, {stage.there} in the store")
                for name, stage in (("teachers", self.teachers), ("students", self.students))
            ),
            ("time", time),
        ]


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h': a length of time as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def make_plan(runner: Runner, specs: Iterable[RunSpec], checked: bool = True) -> Plan:
    """Plan these runs. Every missing one is checked (UsageError) against its data, and nothing is trained."""
    runs: dict[str, RunSpec] = {}
    for spec in specs:
        runs.setdefault(runner.key(spec), spec)
    there = frozenset(key for key in runs if runner.store.has("runs", key))
    missing = [spec for key, spec in runs.items() if key not in there]
    if checked:
        for spec in missing:
            runner.check(spec)
    students = {key for spec in runs.values() for key, _ in students_of(runner, spec)}
    teachers = {key for spec in runs.values() for key in _teachers(runner, spec)}
    seconds, untimed = Times(runner.store).of((spec, students_of(runner, spec)) for spec in missing)
    return Plan(
        runs, there, _stage(runner.store, "teachers", teachers), _stage(runner.store, "students", students),
        labels(list(runs.values())), seconds, untimed,
    )  # fmt: skip


def students_of(runner: Runner, spec: RunSpec) -> list[tuple[str, float]]:
    """Keys of the students that a run distils, with their fractions of the pairs."""
    run = runner.context(spec)
    return [(student_key(run, f), f) for f in run.protocol.pair_fractions] if run.method.distils else []


def _teachers(runner: Runner, spec: RunSpec) -> list[str]:
    """Keys of the networks that are trained on the source side for a run: those whose key holds a recipe."""
    run = runner.context(spec)
    made = [teacher_key(run)] if run.method.uses_pairs else []
    made += [source_key(run)] if run.init == "source" else []
    return [digest({"format": FORMAT, **fields}) for fields in made if "recipe" in fields]


def _stage(store: Store, name: str, keys: set[str]) -> Stage:
    return Stage(len(keys), sum(store.has(name, key) for key in keys))


SAID = ("method", "seed", "pairs", "options")  # by a run's own label, or below
UNSAID = {"None", "none", "random"}


def labels(specs: Sequence[RunSpec]) -> dict[RunSpec, str]:
    """A name for each run: its label, with what else differs between them."""
    fields = {spec: spec.model_dump(mode="json") for spec in specs}
    varying = []
    for name in type(specs[0]).model_fields:
        values = {str(one[name]) for one in fields.values() if name in one} - UNSAID
        if name not in SAID and len(values) > 1:
            varying.append(name)
    names = {}
    for spec, mine in fields.items():
        # A run's own label names its teacher, unless that is the default one.
        told = UNSAID | ({spec.teacher} if "teacher" in spec.label() else set())
        words = [str(mine[name]) for name in varying if name in mine and str(mine[name]) not in told]
        rivals = [one["options"] for one in fields.values() if one["method"] == spec.method]
        words += [
            f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}"
            for k, v in spec.options.items()
            if any(other.get(k) != v for other in rivals)
        ]
        names[spec] = " · ".join([spec.label(), *words])
    return names
