"""What a comparison is made of: methods, their controls, references, and nothing twice."""

import pytest

from xkd_bench.suite.comparison import comparison

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
