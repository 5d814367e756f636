"""The plan: distinct runs, what is there, what is shared, how long it takes."""

import json

import pytest

from tests.runs import runner, spec
from xkd_bench.errors import UsageError
from xkd_bench.suite.plan import Stage, duration, labels, make_plan


def test_a_run_that_is_given_twice_is_one_and_what_is_shared_is_counted_once(toy, tmp_path):
    ours = runner(tmp_path)
    one, two = spec(method="cmc"), spec(method="cmc", protocol="fine-tune")
    plan = make_plan(ours, [one, two, spec(method="sup-ft"), one])
    assert plan.missing() == [one, two, spec(method="sup-ft")]
    assert plan.students == Stage(1, 0)  # both protocols share it; sup-ft distils none
    assert plan.teachers == Stage(0, 0)  # the default one is ready-made
    assert (plan.seconds, plan.untimed) == (0, 3)
    assert ("time", "unknown: nothing like it was timed yet") in plan.facts()


def test_teachers_that_are_trained_are_counted_with_starts_from_the_source(toy, tmp_path):
    ours = runner(tmp_path)
    taught = [spec(method="cmc", teacher="simclr", seed=seed) for seed in (0, 1)]
    assert make_plan(ours, taught, checked=False).teachers == Stage(2, 0)
    # The start of PreSSL is the same Step 1 as the teacher of that seed.
    assert make_plan(ours, [*taught, spec(method="pressl")], checked=False).teachers == Stage(2, 0)
    assert make_plan(ours, [spec(method="pressl")], checked=False).teachers == Stage(1, 0)


def test_fractions_of_the_pairs_are_students_of_their_own(toy, tmp_path):
    plan = make_plan(runner(tmp_path), [spec(method="ssl", protocol="reduced-pair")], checked=False)
    assert plan.students == Stage(6, 0)


def test_students_that_learn_from_labels_and_teacher_at_once_are_runs_and_no_stage_before(toy_dense, tmp_path):
    ours = runner(tmp_path)
    at_once = spec(task=toy_dense, method="kd", protocol="fine-tune")
    assert make_plan(ours, [at_once], checked=False).students == Stage(0, 0)
    both = [at_once, spec(task=toy_dense, method="kd", protocol="linear-eval")]
    assert make_plan(ours, both, checked=False).students == Stage(1, 0)


def test_what_is_there_is_told_and_times_what_is_like_it(toy, tmp_path):
    ours = runner(tmp_path)
    done = spec(method="ssl")
    key = ours.run(done)
    record = ours.store.record(key)
    (student,) = record["students"].values()
    history = json.loads((ours.store.folder("students", student) / "history.json").read_text())
    scoring = sum(score["seconds"] for score in record["scores"])

    plan = make_plan(ours, [done, spec(method="ssl", seed=1), spec(method="cmc"), spec(method="cmc", seed=2)])
    assert plan.there == {key}
    assert plan.students == Stage(4, 1)
    # Three students and three evaluations; CMC was never timed, but another method on the same data and network was.
    assert plan.seconds == pytest.approx(3 * (history["seconds"] + scoring))
    assert plan.untimed == 0
    assert plan.present(ours.store) == [key]

    # Fine-tuning was not timed: its student is known, and is there already.
    plan = make_plan(ours, [spec(method="ssl", protocol="fine-tune")])
    assert (plan.seconds, plan.untimed) == (0, 1)
    # Another network was not timed at all.
    assert make_plan(ours, [spec(method="ssl", student="conv4-w16")]).untimed == 1
    # Nothing to do takes no time.
    assert ("time", "about 0 s one after another, by like runs in the store") in make_plan(ours, [done]).facts()


def test_one_that_cannot_run_refuses_them_all(toy, tmp_path):
    with pytest.raises(UsageError, match="batch 1000 is larger than"):
        make_plan(runner(tmp_path), [spec(method="cmc"), spec(method="cmc", batch=1000)])
    assert not list(tmp_path.iterdir())


def test_labels_say_what_differs_and_nothing_else(toy):
    runs = [
        spec(method="cmc", options={"tau": "0.2"}),
        spec(method="cmc"),
        spec(method="cmc", teacher="random"),
        spec(method="ssl", protocol="fine-tune"),
    ]
    assert [labels(runs)[run] for run in runs] == [
        "cmc · seed 0 · linear-eval · tau=0.2",
        "cmc · seed 0 · linear-eval · tau=0.1",
        "cmc · random teacher · seed 0 · linear-eval · tau=0.1",
        "ssl · seed 0 · fine-tune",
    ]
    taught = [spec(method="cmc"), spec(method="cmc", teacher="simclr"), spec(method="cmc", teacher="random")]
    assert list(labels(taught).values()) == [
        "cmc · seed 0 · efficientnet-lite0",
        "cmc · SimCLR teacher · seed 0",
        "cmc · random teacher · seed 0",
    ]
    alike = [spec(method="cmc"), spec(method="ssl", seed=3)]
    assert list(labels(alike).values()) == ["cmc · seed 0", "ssl · seed 3"]


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (89.6, "90 s"), (90, "2 min"), (600, "10 min"), (5400, "1.5 h")]
)
def test_a_length_of_time_in_words(seconds, words):
    assert duration(seconds) == words
