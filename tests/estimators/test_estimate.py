import dataclasses
import math
import subprocess
import sys

import pytest

import estimators
from estimators import Estimate, TestResult
from estimators.estimate import plain, undefined

GOOD = {"value": 0.4, "low": 0.3, "high": 1.0, "confidence": 0.95, "n": 10, "kind": "lower bound", "name": "x"}


def test_is_frozen_and_prints_one_line():
    estimate = Estimate(**GOOD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        estimate.value = 0.5
    assert repr(estimate) == "x: 0.4, at least 0.3 (95% lower bound, n = 10)"
    assert repr(Estimate(**GOOD | {"kind": "upper bound"})) == "x: 0.4, at most 1 (95% upper bound, n = 10)"
    assert repr(Estimate(**GOOD | {"kind": "interval"})) == "x: 0.4, in [0.3, 1] (95% interval, n = 10)"
    assert repr(plain(0.4, 3, "x")) == "x: 0.4 (plug-in, n = 3)"
    assert repr(undefined("x", 3, "why")) == "x: nan (plug-in, n = 3; undefined: why)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "guess"}, "kind must be"),
        ({"name": ""}, "needs a name"),
        ({"n": 0}, "positive whole"),
        ({"n": 2.5}, "positive whole"),
        ({"low": 0.5}, "outside"),
        ({"high": 0.35}, "outside"),
        ({"low": 1.2, "high": 1.1}, "is above high"),
        ({"confidence": 1.0}, "between 0 and 1"),
        ({"low": math.nan}, "together"),
        ({"confidence": math.nan}, "together"),
        ({"low": math.nan, "high": math.nan, "confidence": math.nan}, "needs low and high"),
        ({"value": math.nan}, "needs a note"),
    ],
)
def test_contradictions_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        Estimate(**GOOD | change)


def test_a_p_value_is_a_probability():
    with pytest.raises(ValueError, match="p_value"):
        TestResult(plain(0.1, 3, "x"), 1.5, "permutation", "none", 9)


def test_every_public_name_loads_and_is_documented():
    for name in estimators.__all__:
        assert getattr(estimators, name).__doc__, name
    assert set(estimators.__all__) == set(estimators._HOME)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = estimators.nonsense


def test_import_is_light_and_stands_alone():
    code = (
        "import sys, estimators; assert not {'torch', 'sklearn', 'numpy'} & set(sys.modules), 'heavy import';"
        "[getattr(estimators, n) for n in estimators.__all__];"
        "assert not {'sklearn', 'pandas', 'matplotlib', 'xkd_bench'} & set(sys.modules), set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
