"""Killed at any moment, or run by two at once, the same command gives the numbers of an undisturbed run."""

import random
import time
from pathlib import Path

import numpy as np
import pytest

from tests.cli.program import command, xkd
from tests.runs import numbers
from xkd_bench.store import Store

RUN = ("run", "--task", "toy", "--budget", "smoke", "--device", "cpu", "--protocol", "few-shot", "--alone", "--json")

# Six epochs of distillation with a checkpoint after each, so that there is something to be interrupted in.
LONGER = """
from xkd_bench import spec, training
real = spec.load_budget
def longer(*names):
    plan = real(*names)
    return plan.model_copy(update={"distil": plan.distil.model_copy(update={"epochs": 6, "batch": 14})})
spec.load_budget = longer
training.CHECKPOINT_EVERY_S = -1.0
"""


@pytest.fixture(scope="module")
def undisturbed(loaded, tmp_path_factory):
    """The store of a run that nothing disturbed, and how many seconds it took."""
    out = tmp_path_factory.mktemp("undisturbed")
    loaded.run("pass")  # waits for the server's imports
    started = time.monotonic()
    ended = xkd(loaded, *RUN, "--out", str(out), prelude=LONGER)
    assert ended.code == 0, ended.err
    return Store(out), time.monotonic() - started


def assert_whole_and_equal(out: Path, expected: Store) -> None:
    store = Store(out)
    (mine,), (theirs,) = store.records(), expected.records()
    assert mine["key"] == theirs["key"]
    assert numbers(mine) == numbers(theirs)
    assert np.array_equal(store.correct(mine["key"]), expected.correct(mine["key"]))
    folders = {str(f.relative_to(out)) for f in out.rglob("*") if f.is_dir()}
    assert folders == {str(f.relative_to(expected.root)) for f in expected.root.rglob("*") if f.is_dir()}
    assert not [name for name in folders if name.endswith(".work") or "/." in name]


def test_killed_before_every_third_rename_until_it_is_done(loaded, undisturbed, tmp_path):
    # A rename is how a checkpoint or a stage becomes visible: the worst moment is just before.
    deadly = f"{LONGER}\nprogram.die_at_rename(3)"
    deaths = 0
    while (ended := xkd(loaded, *RUN, "--out", str(tmp_path), prelude=deadly)).code == -9:
        deaths += 1
        assert deaths < 40, "it gets no further"
        visible = [f for f in tmp_path.glob("*/**/*") if (f / "checksums.json").is_file() and f.name[0] != "."]
        assert all(Store(tmp_path).has(f.parent.name, f.name) for f in visible), "what is seen is whole"
    assert ended.code == 0, ended.err
    assert deaths > 4
    assert_whole_and_equal(tmp_path, undisturbed[0])


@pytest.mark.parametrize("seed", [0, 1])
def test_killed_at_random_moments(loaded, undisturbed, tmp_path, seed):
    expected, seconds = undisturbed
    rng = random.Random(seed)
    program = command([*RUN, "--out", str(tmp_path)], LONGER)
    for _ in range(4):
        (ended,) = loaded.run(program, kill_after=rng.uniform(0.05, 0.8) * seconds)
        assert ended.code in (-9, 0), ended.err
    assert loaded.run(program)[0].code == 0
    assert_whole_and_equal(tmp_path, expected)


def test_two_at_once_share_the_work_and_agree(loaded, undisturbed, tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    counting = f"""{LONGER}
from xkd_bench import evaluation
from xkd_bench.stages import student
def counted(module, name, real):
    def fit(*args, **options):
        with open({str(log)!r}, "a") as file:
            file.write(name + "\\n")
        return real(*args, **options)
    module.fit = fit
counted(student, "distilled", student.fit)
counted(evaluation, "tuned", evaluation.fit)
"""
    one, two = loaded.run(command([*RUN, "--out", str(out)], counting), copies=2)
    assert (one.code, two.code) == (0, 0), one.err + two.err
    assert one.out == two.out
    assert sorted(log.read_text().split()) == ["distilled"] + ["tuned"] * 6
    assert_whole_and_equal(out, undisturbed[0])
