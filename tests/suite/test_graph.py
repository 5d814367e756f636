"""The graph of jobs: what is shared is made once, before what needs it, and no job makes what another is for."""

import pytest

from tests.runs import numbers, runner, spec
from xkd_bench.errors import UsageError
from xkd_bench.runner import Runner
from xkd_bench.store import Store
from xkd_bench.suite.engine import SerialEngine, carry_out
from xkd_bench.suite.graph import do, make_jobs
from xkd_bench.suite.plan import make_plan


def silent(*_):
    return


def shape(jobs):
    """Jobs as `stage method seed`, each with those that it needs."""
    names = {job.name: f"{job.stage} {job.spec.method} {job.spec.seed}" for job in jobs}
    return {names[job.name]: [names[need] for need in job.needs] for job in jobs}


def test_a_student_that_two_protocols_share_is_one_job_before_both(toy, tmp_path):
    specs = [spec(method="cmc", protocol=name) for name in ("linear-eval", "fine-tune")]
    jobs = make_jobs(runner(tmp_path), specs)
    assert [job.stage for job in jobs] == ["features", "students", "runs", "runs"]
    features, student, *runs = jobs
    assert student.needs == (features.name,)
    assert [(run.spec, run.needs) for run in runs] == [(one, (student.name,)) for one in specs]


def test_what_a_teacher_is_to_its_students(toy, tmp_path):
    methods = [{"method": "cmc"}, {"method": "cmd"}, {"method": "pressl"}, {"method": "sup-ft"}]
    specs = [spec(**one, **({"teacher": "simclr"} if "c" in one["method"] else {})) for one in methods]
    assert shape(make_jobs(runner(tmp_path), specs)) == {
        "teachers cmc 0": [],
        "features cmc 0": ["teachers cmc 0"],
        "students cmc 0": ["teachers cmc 0", "features cmc 0"],
        "runs cmc 0": ["students cmc 0"],
        "students cmd 0": ["teachers cmc 0", "features cmc 0"],
        "runs cmd 0": ["students cmd 0"],
        "students pressl 0": ["teachers cmc 0"],  # it starts from the same Step 1
        "runs pressl 0": ["students pressl 0"],
        "students sup-ft 0": [],
        "runs sup-ft 0": ["students sup-ft 0"],
    }


def test_seeds_share_a_teacher_that_is_ready_made_and_no_other(toy, tmp_path):
    def features(teacher):
        jobs = make_jobs(runner(tmp_path), [spec(teacher=teacher, seed=seed) for seed in (0, 1, 2)])
        return sum(job.stage == "features" for job in jobs)

    assert features("efficientnet-lite0") == 1
    assert features("random") == 3


def test_methods_that_see_as_many_maps_share_their_statistics(toy, tmp_path):
    specs = [spec(method="socket"), spec(method="cmkd"), spec(method="cmkd", options={"levels": "1"})]
    jobs = make_jobs(runner(tmp_path), specs)
    found = {job.name: job for job in jobs if job.stage == "statistics"}
    needed = [[name for name in job.needs if name in found] for job in jobs if job.stage == "students"]
    assert all(len(names) == 1 for names in needed)
    assert needed[2] != needed[1]
    assert len(found) == len({*map(tuple, needed)})


def test_fractions_of_the_pairs_are_jobs_of_their_own(toy, tmp_path):
    jobs = make_jobs(runner(tmp_path), [spec(method="ssl", protocol="reduced-pair")])
    assert sorted(job.fraction for job in jobs if job.stage == "students") == [0.05, 0.1, 0.2, 0.3, 0.5, 1.0]
    assert len(jobs[-1].needs) == 6


def test_runs_that_share_scores_go_one_after_the_other_and_others_do_not(toy, tmp_path):
    names = ("linear-eval", "few-shot", "reduced-pair", "fine-tune")
    jobs = make_jobs(runner(tmp_path), [spec(method="ssl", protocol=name) for name in names])
    linear, *others = [job for job in jobs if job.stage == "runs"]
    assert [job.after for job in others] == [(), (linear.name,), ()]


def test_what_the_store_has_is_no_job_nor_is_what_only_that_needs(toy, tmp_path):
    ours = runner(tmp_path)
    ours.run(spec(method="cmc", teacher="random"))
    assert make_jobs(ours, [spec(method="cmc", teacher="random")]) == []
    (run,) = make_jobs(ours, [spec(method="cmc", teacher="random", protocol="fine-tune")])
    assert (run.stage, run.needs) == ("runs", ())
    # Another student of the same teacher finds its features there.
    assert [job.stage for job in make_jobs(ours, [spec(method="cmd", teacher="random")])] == ["students", "runs"]


class Diary(Store):
    """A store that writes down what is made in it."""

    def __init__(self, root):
        super().__init__(root)
        self.made = []

    def compute(self, stage, key, make):
        def noted(folder):
            self.made.append(f"{stage}/{key}")
            make(folder)

        return super().compute(stage, key, noted)


def assert_each_makes_its_own(specs, tmp_path):
    """Jobs one by one make the stages of their names, each its own; in the end there is what the runs alone make."""
    plain = runner(tmp_path / "plain")
    keys = [plain.run(one) for one in specs]
    diary = Diary(tmp_path / "jobs")
    ours = Runner(diary, plain.fabric)
    assert_each_by_itself(ours, make_jobs(ours, specs))
    for key in keys:
        assert numbers(diary.record(key)) == numbers(plain.store.record(key))
    assert_same_folders(plain.store.root, diary.root)


def assert_each_by_itself(ours, jobs):
    names = [job.name for job in jobs]
    for place, job in enumerate(jobs):
        assert set(job.needs) | set(job.after) <= set(names[:place])
        ours.store.made.clear()
        do(ours, job, silent)
        assert set(ours.store.made) & set(names) == {job.name}


def assert_same_folders(*roots):
    one, other = (sorted(str(f.relative_to(root)) for f in root.rglob("*") if f.is_dir()) for root in roots)
    assert one == other


def test_a_job_makes_what_it_is_for_and_nothing_that_another_is(toy, tmp_path):
    specs = [
        spec(method="cmc", teacher="simclr"),
        spec(method="cmkd", teacher="simclr", protocol="fine-tune"),
        spec(method="pressl", protocol="fine-tune"),
        spec(method="ssl"),
        spec(method="sup-ft", protocol="fine-tune"),
    ]
    assert_each_makes_its_own(specs, tmp_path)


def test_the_same_of_dense_runs(toy_dense, tmp_path):
    specs = [
        spec(task="toy-dense", method="kd", protocol="linear-eval"),
        spec(task="toy-dense", method="kd", protocol="fine-tune"),
        spec(task="toy-dense", method="teacher", protocol="fine-tune"),
    ]
    assert_each_makes_its_own(specs, tmp_path)


def test_other_data_than_planned_with_are_refused_in_one_line(toy, tmp_path):
    ours = runner(tmp_path)
    job = make_jobs(ours, [spec(method="sup-ft")])[0]
    ours.data(job.spec).digest = "something else"
    with pytest.raises(UsageError, match="toy is other data here"):
        do(ours, job, silent)
    assert not list(tmp_path.iterdir())


def test_what_is_measured_waits_for_its_run_and_shares_oracles_and_a_fine_tuning(toy, tmp_path):
    specs = [spec(method="cmc", teacher="simclr"), spec(method="ssl"), spec(method="sup-ft", protocol="fine-tune")]
    ours = runner(tmp_path)
    jobs = make_jobs(ours, make_plan(ours, specs, measure=("gap", "bound")).missing())
    found = {}
    for job in jobs:
        found.setdefault(job.stage, []).append(job)
    assert {stage: len(of) for stage, of in found.items()} == {
        "teachers": 1, "features": 2, "students": 3, "runs": 3, "oracles": 1, "gaps": 2, "tuned-scores": 1, "bounds": 2,
    }  # fmt: skip
    (oracles,), (tuned,) = found["oracles"], found["tuned-scores"]
    assert {job.work.encoders: job.needs for job in found["gaps"]} == {"oracle": (oracles.name,), "raw": ()}
    for bound in found["bounds"]:
        (run,) = [job for job in found["runs"] if job.spec == bound.spec]
        assert {run.name, oracles.name, tuned.name} <= set(bound.needs)
    # The sweep fine-tunes too: what it scores is not made twice at once.
    assert tuned.after == tuple(job.name for job in found["runs"] if job.spec.protocol == "fine-tune")


def test_each_job_of_a_measured_sweep_makes_its_own(toy, tmp_path):
    specs = [spec(method="cmc", teacher="random")]
    plain = runner(tmp_path / "plain")
    plan = make_plan(plain, specs, measure=("gap", "bound"))
    assert carry_out(plan, SerialEngine(plain), lambda work: None, lambda outcome: None) == []
    ours = Runner(Diary(tmp_path / "jobs"), plain.fabric)
    assert_each_by_itself(ours, make_jobs(ours, make_plan(ours, specs, measure=("gap", "bound")).missing()))
    assert_same_folders(plain.store.root, ours.store.root)
    for stage in ("gaps", "bounds"):
        theirs, mine = (
            [{k: v for k, v in one.items() if k != "seconds"} for one in store.measured(stage)]
            for store in (plain.store, ours.store)
        )
        assert theirs == mine
