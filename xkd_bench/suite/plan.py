"""The plan of many runs and what is measured of them, checked before the first is begun: what is there, what they
share, how long it takes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from xkd_bench.runner import Runner
from xkd_bench.spec import FORMAT, RunSpec, digest
from xkd_bench.stages.student import student_key
from xkd_bench.stages.teacher import source_key, teacher_key
from xkd_bench.store import Store
from xkd_bench.suite.asked import Asked, Work, measurements
from xkd_bench.suite.graph import is_taught_first, make_jobs
from xkd_bench.suite.measure import key_of
from xkd_bench.suite.times import Times


@dataclass(frozen=True)
class Stage:
    """Distinct artefacts of a kind that the runs share: how many they need, and how many of these are in the store."""

    needed: int
    there: int


@dataclass(frozen=True)
class Plan:
    """Distinct runs by their keys, in order; which are in the store; what they share; what is measured of them.

    labels: names that tell runs and measurements apart.
    seconds: what is missing takes, one after another, by the times of the like in the store; untimed: how many runs and
    measurements have no like there for something that they need, which is not counted in it.
    measured: by (stage, key), in order; there_measured: those that are in the store.
    """

    runs: dict[str, RunSpec]
    there: frozenset[str]
    teachers: Stage
    students: Stage
    labels: dict[Work, str]
    seconds: float
    untimed: int
    measured: dict[tuple[str, str], Asked] = field(default_factory=dict)
    there_measured: frozenset[tuple[str, str]] = frozenset()

    def missing(self) -> list[Work]:
        """The runs that are not in the store, in order, then the measurements."""
        runs = [spec for key, spec in self.runs.items() if key not in self.there]
        return [*runs, *(asked for name, asked in self.measured.items() if name not in self.there_measured)]

    def present(self, store: Store) -> list[str]:
        """Keys of the runs that are in the store by now."""
        return [key for key in self.runs if key in self.there or store.has("runs", key)]

    def left(self, store: Store) -> int:
        """Runs and measurements that are not in the store by now."""
        undone = [name for name in self.measured if name not in self.there_measured and not store.has(*name)]
        return len(self.runs) - len(self.present(store)) + len(undone)

    def measurements(self) -> dict[str, Stage]:
        """Gaps and bounds, those of the two that there are."""
        kinds = {"gaps": [name for name in self.measured if name[0] == "gaps"]}
        kinds |= {"bounds": [name for name in self.measured if name[0] == "bounds"]}
        return {
            kind: Stage(len(names), sum(name in self.there_measured for name in names))
            for kind, names in kinds.items()
            if names
        }

    def facts(self) -> list[tuple[str, str]]:
        """What is to be done, in words."""
        time = "unknown: nothing like it was timed yet"
        if self.seconds or not self.missing():
            time = f"about {duration(self.seconds)} one after another, by like runs in the store"
            if self.untimed:
                things = "runs or measurements" if self.measured else "runs"
                time += f"; without {self.untimed} {things} that have no like there"
        runs = Stage(len(self.runs), len(self.there))
        trained = {"teachers": self.teachers, "students": self.students}
        told = [("runs", "do", runs), *((name, "train", stage) for name, stage in trained.items())]
        told += [(name, "measure", stage) for name, stage in self.measurements().items()]
        words = [(name, f"{one.needed - one.there} to {verb}, {one.there} in the store") for name, verb, one in told]
        return [*words, ("time", time)]


def duration(seconds: float) -> str:
    """'40 s', '12 min', '3.5 h': a length of time as one says it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def make_plan(runner: Runner, specs: Iterable[RunSpec], checked: bool = True, measure: Sequence[str] = ()) -> Plan:
    """Plan these runs. Every missing one is checked (UsageError) against its data, and nothing is trained.

    measure: what is measured of them afterwards: gap, bound."""
    runs: dict[str, RunSpec] = {}
    for spec in specs:
        runs.setdefault(runner.key(spec), spec)
    store = runner.store
    there = frozenset(key for key in runs if store.has("runs", key))
    absent = [spec for key, spec in runs.items() if key not in there]
    measured = {(one.stage, key_of(runner, one)): one for one in measurements(list(runs.values()), measure)}
    if checked:
        for spec in absent:
            runner.check(spec)
    there_measured = frozenset(name for name in measured if store.has(*name))
    missing: list[Work] = [*absent, *(one for name, one in measured.items() if name not in there_measured)]
    students = {key for spec in runs.values() for key, _ in students_of(runner, spec)}
    teachers = {key for spec in runs.values() for key in _teachers(runner, spec)}
    seconds, untimed = Times(store).of(make_jobs(runner, missing), runner)
    return Plan(
        runs, there, _stage(store, "teachers", teachers), _stage(store, "students", students),
        named(list(runs.values()), list(measured.values())), seconds, untimed, measured, there_measured,
    )  # fmt: skip


def students_of(runner: Runner, spec: RunSpec) -> list[tuple[str, float]]:
    """Keys of the students that a run distils before it is scored, with their fractions of the pairs."""
    run = runner.context(spec)
    before = run.method.distils and is_taught_first(run)
    return [(student_key(run, f), f) for f in run.protocol.pair_fractions] if before else []


def _teachers(runner: Runner, spec: RunSpec) -> list[str]:
    """Keys of the networks that are trained on the source side for a run: those whose key holds a recipe."""
    run = runner.context(spec)
    made = [teacher_key(run)] if run.method.uses_pairs else []
    made += [source_key(run)] if run.init == "source" else []
    return [digest({"format": FORMAT, **fields}) for fields in made if "recipe" in fields]


def _stage(store: Store, name: str, keys: set[str]) -> Stage:
    return Stage(len(keys), sum(store.has(name, key) for key in keys))


def named(specs: Sequence[RunSpec], measured: Sequence[Asked]) -> dict[Work, str]:
    """A name for each run and each measurement."""
    found = labels(specs)
    return found | {one: one.label if one.encoders else f"bound of {found[one.spec]}" for one in measured}


SAID = ("method", "seed", "pairs", "options")  # by a run's own label, or below
UNSAID = {"None", "none", "random"}


def labels(specs: Sequence[RunSpec]) -> dict[Work, str]:
    """A name for each run: its label, with what else differs between them."""
    fields = {spec: spec.model_dump(mode="json") for spec in specs}
    varying = []
    for name in type(specs[0]).model_fields:
        values = {str(one[name]) for one in fields.values() if name in one} - UNSAID
        if name not in SAID and len(values) > 1:
            varying.append(name)
    names: dict[Work, str] = {}
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
