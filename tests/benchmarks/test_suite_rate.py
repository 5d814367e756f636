"""The benchmark of the rate carries out the same runs on both sides, and says so where their scores differ."""

import importlib.util

import pytest

from xkd_bench.benchmarks import Options, suite_rate
from xkd_bench.cli.runs import Machine

SECONDS = {"one after another": [40.0, 60.0, 50.0], "2 at once": [25.0, 30.0, 20.0]}


def test_rates_are_runs_a_minute_and_ratios_of_the_same_round(monkeypatch):
    found = {name: [[0.5], [0.75]] for name in SECONDS}
    monkeypatch.setattr(suite_rate, "measure", lambda options, places: (SECONDS, found, 10))
    monkeypatch.setattr(suite_rate.os, "cpu_count", lambda: 2)
    result = suite_rate.run(Options())
    assert result.frame["runs"].tolist() == [10, 10]
    assert result.frame["runs a minute"].tolist() == [12.0, 24.0]
    assert result.frame.iloc[1][["times", "lowest", "highest"]].tolist() == [2.0, 1.6, 2.5]
    (target,) = result.targets
    assert (target.value, target.bound, target.verdict) == (2.0, 1.5, "met")
    assert "equal to the last bit" in result.words
    assert result.words.startswith("A suite of 10 runs of SimCLR")
    assert "on a GPU it is one of 100" in result.words

    found["2 at once"] = [[0.5], [0.76]]
    assert "NOT equal" in suite_rate.run(Options()).words


def test_on_a_gpu_it_is_a_suite_of_a_hundred_and_on_cpus_as_many_for_each_core():
    assert suite_rate.number_of("cuda", suite_rate.ON_A_GPU) == 100
    assert [suite_rate.number_of("cpu", cores) for cores in (1, 2)] == [12, 24]


def test_a_suite_is_as_many_seeds_into_a_new_folder_and_a_failure_ends_it(monkeypatch):
    runs = suite_rate.runs_of("smoke", 2)
    assert [run.seed for run in runs] == [0, 1]
    first = suite_rate.one_after_another(Machine("cpu", threads=1), runs)
    assert len(first) == 2
    assert suite_rate.one_after_another(Machine("cpu", threads=1), runs) == first

    def broken(*args):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("xkd_bench.stages.student._train", broken)
    with pytest.raises(RuntimeError, match="ZeroDivisionError: oh"):
        suite_rate.one_after_another(Machine("cpu", threads=1), runs)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: [cluster]")
def test_both_sides_are_measured_and_give_the_same_scores():
    seconds, found, number = suite_rate.measure(Options(quick=True), 2)
    assert list(seconds) == ["one after another", "2 at once"]
    assert all(len(times) == 2 and min(times) > 0 for times in seconds.values())
    assert number == len(found["2 at once"]) == 2
    assert found["2 at once"] == found["one after another"]
