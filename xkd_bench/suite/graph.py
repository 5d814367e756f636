"""Runs and measurements as a graph of jobs: what several of them need is a job of its own, made once, before what
needs it.

    teachers ─► features, statistics ─► students ─► runs ─► bounds
    oracles ─► gaps, bounds            a fine-tuning on all labels ─► bounds

A job is a stage that is missing in the store. Each can be done by any process that sees the store, as soon as those
that it needs are done; jobs done at the same time never make the same thing, so that none waits for another's lock.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from xkd_bench.errors import UsageError
from xkd_bench.runner import Runner
from xkd_bench.segmentation import draw_images
from xkd_bench.spec import FORMAT, RunSpec, digest
from xkd_bench.stages.bound import taught, tuned
from xkd_bench.stages.context import Context, Report
from xkd_bench.stages.dense_student import label_free_student, learns_pairs_first
from xkd_bench.stages.dense_teacher import dense_teacher
from xkd_bench.stages.maps import levels_key, teacher_levels
from xkd_bench.stages.oracle import oracle, oracle_key
from xkd_bench.stages.scores import scores, tuned_key
from xkd_bench.stages.student import distilled_student, seen_levels, student_key
from xkd_bench.stages.teacher import features_key, pretrained, source_key, teacher_features, teacher_key
from xkd_bench.suite.asked import Asked, Work
from xkd_bench.suite.measure import key_of, measure


@dataclass(frozen=True)
class Job:
    """A stage to be made: by its name and key in the store, as the first that needs it would make it.

    spec: of what it is made. work: the run or measurement that it is made for. data: the digest of the data that the
    key was made of. fraction: of the pairs, for a student.
    needs: jobs that have to be done well before it; where one failed, it fails with it. after: runs that have to be
    over before it, however they ended, for it shares scores with them.
    """

    stage: str
    key: str
    spec: RunSpec
    work: Work
    data: str
    fraction: float = 1.0
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What it is known by in `needs` and `after`."""
        return f"{self.stage}/{self.key}"


def make_jobs(runner: Runner, works: Sequence[Work]) -> list[Job]:
    """The jobs that these are made of and the store does not have, each after those that it needs.

    Runs come before what is measured of them, all in their order; what is in the store is left out.
    """
    graph = _Graph(runner)
    for work in works:
        graph.add(work)
    return list(graph.jobs.values())


class _Graph:
    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.jobs: dict[str, Job] = {}
        self._there: dict[str, bool] = {}
        self._scored: dict[tuple[str, str, int | None], str] = {}
        self._work: Work | None = None

    def add(self, work: Work) -> None:
        """A run or a measurement, with all that it needs."""
        self._work = work
        run = self.runner.context(work.spec if isinstance(work, Asked) else work)
        if isinstance(work, RunSpec):
            self._run(run)
        else:
            self._add(work.stage, key_of(self.runner, work), run, lambda: self._measured(run, work))

    def _measured(self, run: Context, asked: Asked) -> Iterable[str]:
        """What a gap or a bound is measured on."""
        if asked.oracle not in (None, "exact"):
            yield from self._add("oracles", oracle_key(run, asked.oracle), run)
        if asked.encoders:
            yield from self._teacher(taught(run)) if asked.encoders == "teacher" else ()
            return
        yield from self._add("runs", self.runner.key(run.spec), run)
        for one in (taught(run), run) if run.method.uses_pairs else (taught(run),):
            yield from self._features(one)
        yield from self._tuned(tuned(run))

    def _tuned(self, run: Context) -> Iterable[str]:
        """A run's scores without its record."""
        after = dict.fromkeys(self._scored[score] for score in _scores(run) if score in self._scored)
        (fraction,), (per_class,) = run.protocol.pair_fractions, run.protocol.label_counts()
        key = tuned_key(run, fraction, per_class, 0)
        return self._add("tuned-scores", key, run, lambda: self._student(run, fraction), tuple(after))

    def _run(self, run: Context) -> None:
        after = dict.fromkeys(self._scored[score] for score in _scores(run) if score in self._scored)

        def needs() -> Iterable[str]:
            fractions = run.protocol.pair_fractions if is_taught_first(run) else ()
            yield from (name for fraction in fractions for name in self._student(run, fraction))
            if run.data.maps is not None and "all" in run.protocol.trained:
                yield from self._teacher(run)  # beside the labels

        for name in self._add("runs", self.runner.key(run.spec), run, needs, tuple(after)):
            self._scored |= dict.fromkeys(_scores(run), name)

    def _student(self, run: Context, fraction: float) -> list[str]:
        def needs() -> Iterable[str]:
            yield from self._teacher(run)
            if run.data.maps is None and run.method.uses_pairs:
                yield from self._features(run)
                if levels := seen_levels(run):
                    yield from self._add("statistics", levels_key(run, levels), run, lambda: self._teacher(run))

        return self._add("students", student_key(run, fraction), run, needs, fraction=fraction)

    def _features(self, run: Context) -> Iterable[str]:
        return self._add("features", features_key(run), run, lambda: self._teacher(run))

    def _teacher(self, run: Context) -> Iterable[str]:
        """Networks that are trained on the source side for a student: those whose key holds a recipe."""
        shown = run.method.uses_pairs or not getattr(run.method, "trains_student", True)
        fields = [teacher_key(run)] if shown else []
        fields += [source_key(run)] if run.init == "source" else []
        keys = dict.fromkeys(digest({"format": FORMAT, **known}) for known in fields if "recipe" in known)
        return [name for key in keys for name in self._add("teachers", key, run)]

    def _add(
        self,
        stage: str,
        key: str,
        run: Context,
        needs: Callable[[], Iterable[str]] = tuple,
        after: tuple[str, ...] = (),
        fraction: float = 1.0,
    ) -> list[str]:
        """The name of the job that makes this, as a list; none if the store has it. needs: asked where it has not."""
        name = f"{stage}/{key}"
        if name not in self._there:
            self._there[name] = self.runner.store.has(stage, key)
            if not self._there[name]:
                wanted = tuple(dict.fromkeys(needs()))
                assert self._work is not None
                data = self.runner.data(run.spec).digest
                self.jobs[name] = Job(stage, key, run.spec, self._work, data, fraction, wanted, after)
        return [] if self._there[name] else [name]


def is_taught_first(run: Context) -> bool:
    """Whether students come before scores, as stages of their own; not those of dense tasks that learn from labels and
    teacher at once."""
    if run.data.maps is None:
        return True
    if "head" in run.protocol.trained:
        return run.method.distils
    drawn = (draw_images(run.data, run.split, n, seed=run.spec.seed, draw=0) for n in run.protocol.label_counts())
    return any(learns_pairs_first(run, rows) for rows in drawn)


def _scores(run: Context) -> list[tuple[str, str, int | None]]:
    """What tells apart scores that runs may share: students, what is trained on top of them, and from what labels."""
    students = [student_key(run, fraction) for fraction in run.protocol.pair_fractions]
    return list(product(students, run.protocol.trained, run.protocol.label_counts()))


def do(runner: Runner, job: Job, report: Report) -> None:
    """Make what a job is for; nothing happens if it is there by now."""
    found = runner.data(job.spec).digest
    if found != job.data:
        raise UsageError(
            f"{job.spec.task} is other data here ({found[:6]}) than where the runs were planned "
            f"({job.data[:6]}): all nodes need the same files, and the same versions of packages with data"
        )
    run = runner.context(job.spec, report)
    dense = run.data.maps is not None
    if isinstance(job.work, Asked) and job.stage == job.work.stage:
        measure(runner, job.work, report)
    elif job.stage == "runs":
        runner.run(job.spec, report)
    elif job.stage == "students":
        (label_free_student if dense else distilled_student)(run, job.fraction)
    elif job.stage == "features":
        teacher_features(run)
    elif job.stage == "statistics":
        teacher_levels(run, seen_levels(run))
    elif job.stage == "tuned-scores":
        list(scores(run))
    elif job.stage == "oracles":
        assert isinstance(job.work, Asked)
        oracle(run, job.work.oracle)
    else:
        (dense_teacher if dense else pretrained)(run)
