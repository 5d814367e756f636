"""Two processes learn what one learns: loss curves, weights, statistics and memories, for every kind of method.

Batches are such that two processes cannot halve them, but for one case. In float64, where rounding is not seen.
"""

import re

import pytest

from tests.distributed.curves import CASES

QUICK = (
    ("cmc-queue", "cmd-queue", "crd"),
    ("cmc-images", "cmst"),
    ("ssl", "socket"),
    ("kd", "kd-unmoved", "cirkd-label-free", "csk-net"),
    ("dropout", "one-item"),
)
REST = tuple(name for name in CASES if name not in sum(QUICK, ()))


def agree(loaded, names):
    code = f"from tests.distributed.curves import main\nmain({list(names)!r})"
    (ended,) = loaded.run(code)
    assert ended.code == 0, ended.err
    said = re.findall(r"^(\S+): (\d+) steps, loss moved (\S+), apart (\S+)$", ended.out, re.MULTILINE)
    assert [name for name, *_ in said] == list(names)
    for name, steps, moved, apart in said:
        assert int(steps) >= 5, name
        assert float(moved) > 0.1, f"{name} learns nothing"
        assert float(apart) < 1e-7, f"{name}: {apart} apart"


@pytest.mark.parametrize("names", QUICK, ids=["memories", "maps", "alone", "dense", "draws"])
def test_two_processes_are_one(loaded, names):
    agree(loaded, names)


@pytest.mark.slow
def test_two_processes_are_one_for_all_other_kinds(loaded):
    agree(loaded, REST)
