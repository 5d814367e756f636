"""The contract of benchmarks: every name can be run, targets say whether they are met, tables say it all."""

import math

import pandas as pd
import pytest
from rich.console import Console

from xkd_bench.benchmarks import BENCHMARKS, Options, Result, Target, load
from xkd_bench.benchmarks.result import device_of, markdown, measured, shown, targets, terminal
from xkd_bench.benchmarks.timing import Ratio, in_turns, ratio, repeated
from xkd_bench.errors import UsageError

FRAME = pd.DataFrame({"what": ["a", "b|c"], "n": [1200, 3], "ms": [1.23456, math.nan]})


def printed(result: Result) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(terminal(result))
    return captured.get()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_name_can_be_run(name):
    assert callable(load(name))
    assert BENCHMARKS[name].summary


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(UsageError, match="unknown benchmark 'scalling': did you mean 'scaling'"):
        load("scalling")


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        (Target("x", 1.05, 1.1), "met"),
        (Target("x", 1.1, 1.1), "met"),
        (Target("x", 1.2, 1.1, low=1.15, high=1.3, n=3), "missed"),
        (Target("x", 1.05, 1.1, low=1.0, high=1.2, n=3), "met, but rounds lie on both sides"),
        (Target("x", 25.0, 20.0, at_most=False), "met"),
        (Target("x", 5.0, 20.0, at_most=False), "missed"),
        (Target("x", math.nan, 20.0), "not measured here"),
    ],
)
def test_a_target_is_judged_by_its_median(target, verdict):
    assert target.verdict == verdict


def test_targets_are_told_with_their_rounds_and_bounds():
    row = targets((Target("loop", 1.2345, 1.1, low=1.15, high=1.3, n=7), Target("b", 3.0, 2.0, False)))
    assert list(row["measured"]) == ["1.23", "3"]
    assert list(row["range (rounds)"]) == ["1.15 to 1.3 (7)", ""]
    assert list(row["target"]) == ["≤ 1.1", "≥ 2"]
    assert list(row["verdict"]) == ["missed", "met"]


def test_the_page_has_the_machine_the_command_the_words_and_both_tables():
    result = Result("A title", "How it was done.", FRAME, targets=(Target("t", 2.0, 1.0),), notes=("A note.",))
    page = markdown(result, "scaling", Options(quick=True))
    assert "`xkd-bench bench scaling --quick`. How it was done." in page
    assert "cores; torch " in page
    assert "its figures mean little" in page
    assert "| a | 1,200 | 1.23 |" in page
    assert "| b\\|c | 3 |  |" in page
    assert "| t | 2 |  | ≤ 1 | missed |" in page
    assert page.endswith("A note.\n")
    assert "little" not in markdown(result, "scaling", Options())


def test_the_terminal_says_what_the_page_says():
    text = printed(Result("A title", "", FRAME, targets=(Target("t", 2.0, 1.0),), notes=("A note.",)))
    for word in ("A title", "1,200", "b|c", "missed", "A note."):
        assert word in text


def test_a_table_of_strings_is_shown_as_it_is():
    strings = pd.DataFrame({"a": ["1", "2"]})
    assert shown(Result("t", "", FRAME, strings)) is strings


def test_what_was_measured_is_on_the_disk_with_all_digits(tmp_path, monkeypatch):
    monkeypatch.setattr("xkd_bench.benchmarks.result.load", lambda name: lambda options: Result("t", "w", FRAME))
    result, files = measured("scaling", Options(), tmp_path / "new")
    assert [f.name for f in files] == ["scaling.md", "scaling.csv"]
    assert pd.read_csv(files[1])["ms"][0] == 1.23456
    assert result.title == "t"


@pytest.mark.parametrize(("asked", "found"), [("cpu", "cpu"), ("auto", "cpu")])
def test_a_device_that_is_here_is_taken(asked, found, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device_of(asked) == found


@pytest.mark.parametrize("asked", ["cuda", "tpu"])
def test_a_device_that_is_not_here_is_one_line(asked, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match=f"device '{asked}'"):
        device_of(asked)


def test_contenders_take_turns_and_every_other_round_goes_backwards():
    calls, ticks = [], []
    works = {name: (lambda name=name: calls.append(name)) for name in "abc"}
    clock = iter(range(100))
    seconds = in_turns(works, 2, clock=lambda: float(next(clock)), tick=lambda *told: ticks.append(told))
    assert "".join(calls) == "abc" + "abc" + "cba"
    assert seconds == {"a": [1, 1], "b": [1, 1], "c": [1, 1]}
    assert ticks[0] == (0, 2, "a")
    assert ticks[-1] == (2, 2, "")


def test_ratios_are_of_the_same_round():
    # Twice as slow in each round, however busy the machine was in it.
    assert ratio([2.0, 20.0, 6.0], [1.0, 10.0, 2.0]) == (2.0, 2.0, 3.0, 3)
    assert str(Ratio(2.0, 1.5, 312.4, 3)) == "2 (1.5 to 312, 3)"


def test_work_is_repeated():
    done = []
    repeated(lambda: done.append(1), 5)()
    assert len(done) == 5
