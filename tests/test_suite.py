"""What a comparison is made of: methods, their controls, references, and nothing twice."""

import pytest

from xkd_bench.errors import UsageError
from xkd_bench.suite import comparison, run_all

NAMES = {"task": "toy", "protocol": "linear-eval", "budget": "smoke"}


def what(specs):
    return [(s.method, s.teacher, s.pairs, s.seed) for s in specs]


def test_a_method_comes_with_its_controls_and_the_references_for_each_seed(toy):
    one = [
        ("cmc", "efficientnet-lite0", "true"),
        ("cmc", "random", "true"),
        ("cmc", "efficientnet-lite0", "shuffled"),
        ("ssl", "none", "true"),
        ("sup-ft", "none", "true"),
    ]
    assert what(comparison(["cmc"], [0, 7], **NAMES)) == [(*run, seed) for seed in (0, 7) for run in one]


def test_alone_means_the_methods_and_nothing_else(toy):
    assert [s.method for s in comparison(["cmc", "cmd"], [3], alone=True, **NAMES)] == ["cmc", "cmd"]


@pytest.mark.parametrize("form", [{"teacher": "random"}, {"pairs": "shuffled"}])
def test_what_is_a_control_already_gets_none(toy, form):
    specs = comparison(["cmc"], [0], **form, **NAMES)
    assert [s.method for s in specs] == ["cmc", "ssl", "sup-ft"]


def test_a_reference_that_is_asked_for_is_not_run_twice(toy):
    assert [s.method for s in comparison(["ssl"], [0], **NAMES)] == ["ssl", "sup-ft"]


def test_options_go_to_the_methods_and_not_to_the_references(toy):
    specs = comparison(["cmc"], [0], options={"tau": "0.3"}, **NAMES)
    assert {s.options["tau"] for s in specs if s.method == "cmc"} == {0.3}
    assert {s.options["tau"] for s in specs if s.method == "ssl"} == {0.2}


class Counting:
    """A runner that only counts: key 'a' is in its store."""

    def __init__(self, bad: bool = False) -> None:
        self.calls, self.bad, self.store = [], bad, self

    def has(self, stage, key):
        return key == "a"

    def key(self, spec):
        return spec

    def check(self, spec):
        self.calls.append(("check", spec))
        if self.bad and spec == "c":
            raise UsageError("c cannot run")

    def run(self, spec):
        self.calls.append(("run", spec))
        return spec


class Named(str):
    def label(self):
        return str(self)


def test_all_that_is_missing_is_checked_before_anything_runs():
    runner, begun = Counting(), []
    done = list(run_all(runner, [Named(c) for c in "abc"], begun.append))
    assert runner.calls == [("check", "b"), ("check", "c"), ("run", "a"), ("run", "b"), ("run", "c")]
    assert [d.was_there for d in done] == [True, False, False]
    assert begun == ["a", "b", "c"]


def test_nothing_runs_where_one_cannot():
    runner = Counting(bad=True)
    with pytest.raises(UsageError, match="c cannot run"):
        list(run_all(runner, [Named(c) for c in "abc"], lambda label: None))
    assert not [call for call in runner.calls if call[0] == "run"]
