"""The same spec in two fresh stores: the same scores, items and weights, to the bit, for the same number of threads."""

from pathlib import Path
from typing import Any

import pytest

from xkd_bench.store import Store

CMC: dict[str, Any] = {"task": "toy", "method": "cmc", "protocol": "few-shot"}
DENSE: dict[str, Any] = {"task": "toy-dense", "method": "cirkd", "protocol": "linear-eval"}


def made(loaded: Any, root: Path, fields: dict[str, Any], threads: int = 1, deterministic: bool = False) -> str:
    """The key of this run, made in a process of its own with so many threads."""
    code = f"""
from pathlib import Path
from tests.cli.program import know_toy, know_toy_dense
from xkd_bench.machine import make_fabric, set_up
from xkd_bench.runner import Runner
from xkd_bench.spec import RunSpec
from xkd_bench.store import Store
know_toy()
know_toy_dense()
set_up({threads}, {deterministic})
runner = Runner(Store({str(root)!r}), make_fabric("cpu"))
print(runner.run(RunSpec.make(budget="smoke", **{fields!r})))
"""
    (ended,) = loaded.run(code)
    assert ended.code == 0, ended.err
    return ended.out.strip()


def content(store: Store, key: str) -> dict[str, Any]:
    """What a run came to: scores without times, what each item was worth, the weights of all students and teachers."""
    scores = [{k: v for k, v in s.items() if k != "seconds"} for s in store.record(key)["scores"]]
    weights = {str(f.relative_to(store.root)): f.read_bytes() for f in store.root.rglob("*.safetensors")}
    assert weights
    return {"scores": scores, "items": store.correct(key).tobytes(), **weights}


@pytest.mark.parametrize("fields", [CMC, DENSE], ids=["cmc", "cirkd"])
def test_twice_the_same_is_the_same_to_the_bit(loaded, tmp_path, fields):
    keys = [made(loaded, tmp_path / name, fields) for name in "ab"]
    assert keys[0] == keys[1]
    assert content(Store(tmp_path / "a"), keys[0]) == content(Store(tmp_path / "b"), keys[0])


def test_two_threads_are_the_same_as_two_threads_and_are_recorded(loaded, tmp_path):
    # Nothing is claimed of two threads against one: sums are split otherwise, and the last bits may differ.
    keys = [made(loaded, tmp_path / name, CMC, threads=2) for name in "ab"]
    a, b = (Store(tmp_path / name) for name in "ab")
    assert content(a, keys[0]) == content(b, keys[0])
    assert a.record(keys[0])["environment"]["threads"] == 2
    assert keys[0] == made(loaded, tmp_path / "c", CMC)  # threads are in no key


@pytest.mark.parametrize("fields", [CMC, DENSE], ids=["cmc", "cirkd"])
def test_on_a_cpu_deterministic_changes_nothing_and_is_recorded(loaded, tmp_path, fields):
    key = made(loaded, tmp_path / "a", fields, deterministic=True)
    assert key == made(loaded, tmp_path / "b", fields)
    asked, plain = Store(tmp_path / "a"), Store(tmp_path / "b")
    assert content(asked, key) == content(plain, key)
    assert [s.record(key)["environment"]["deterministic"] for s in (asked, plain)] == [True, False]
