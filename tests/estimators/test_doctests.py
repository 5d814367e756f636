import doctest
import importlib
import pkgutil

import pytest

import estimators

MODULES = ["estimators", *(m.name for m in pkgutil.walk_packages(estimators.__path__, "estimators."))]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
VALUES = {"Estimate", "TestResult", "GibbsDistance"}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    assert doctest.testmod(importlib.import_module(name), optionflags=FLAGS).failed == 0


@pytest.mark.parametrize("name", sorted(set(estimators.__all__) - VALUES))
def test_public_examples_run_as_they_stand(name):
    """With nothing imported but what the example imports: a reader can paste it."""
    found = doctest.DocTestFinder(recurse=False).find(getattr(estimators, name), name, globs={})
    assert sum(len(test.examples) for test in found) > 0
    for test in found:
        assert doctest.DocTestRunner(optionflags=FLAGS).run(test).failed == 0
