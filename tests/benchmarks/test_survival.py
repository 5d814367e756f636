"""A small suite survives what the survival benchmark does to it; and the benchmark sees what does not survive."""

import json
import random
import shutil

import pytest

from xkd_bench.benchmarks import Options, survival
from xkd_bench.benchmarks.survival import DAMAGES, Ended, NotSurvivedError, Suite
from xkd_bench.store import Store

GRID = """
summary = "one student of vectors"
budget = "smoke"
[[grid]]
task = "twin-gaussian:items=200"
method = ["cmd", "ssl"]
protocol = "linear-eval"
controls = false
"""


@pytest.fixture(scope="module")
def suite(tmp_path_factory):
    return Suite(tmp_path_factory.mktemp("survival"), GRID)


@pytest.fixture
def copy(suite, tmp_path):
    """The undisturbed store, to be harmed."""
    shutil.copytree(suite.scratch / "undisturbed", tmp_path / "copy")
    return tmp_path / "copy"


def test_killed_and_restarted(suite):
    told = []
    assert survival.killed(suite, random.Random(0), 3, told.append).startswith("3 kills over ")
    assert told[-1] == 3


def test_interrupted(suite):
    assert "130" in survival.interrupted(suite, random.Random(0), 1)


def test_full_disk(suite):
    assert "as the undisturbed one" in survival.full_disk(suite, [0.3])


def test_full_disk_where_nothing_may_be_mounted(suite, monkeypatch):
    monkeypatch.setattr(survival, "_mount", lambda *words: False)
    shutil.rmtree(suite.scratch / "full-0", ignore_errors=True)
    assert "RLIMIT_FSIZE" in survival.full_disk(suite, [0.3])


def test_read_only(suite):
    found = survival.read_only(suite)
    assert "as the undisturbed one" in found or "not tried" in found


@pytest.mark.parametrize("kind", ["students", "runs"])
def test_corrupt(suite, kind):
    damage = random.Random(kind).choice(DAMAGES)
    assert survival.damaged(suite, kind, damage, random.Random(0)).startswith("noticed")


def test_two_at_once(suite):
    assert survival.at_once(suite, random.Random(0), 2, False) == "the undisturbed store"


# --- what it must see -------------------------------------------------------------------------------------------------


def test_the_undisturbed_store_is_itself_and_holds_something(suite, copy):
    suite.check(copy)
    assert len(suite.expected["scores"]) == len(suite.expected["items"]) == 2
    assert (
        len(suite.expected["whole folders"]) == 8
    )  # a teacher, its features, and of each run a student, scores, a record


def change_a_score(root):
    folder = next((root / "runs").iterdir())
    record = json.loads((folder / "record.json").read_text())
    record["scores"][0]["value"] += 0.01
    (folder / "record.json").write_text(json.dumps(record))
    seal(folder)


def seal(folder):
    from xkd_bench.store import _seal

    (folder / "checksums.json").unlink()
    _seal(folder)


HARMS = {
    "scores": change_a_score,
    "items": lambda root: swap_items(root),
    "files": lambda root: (root / "tables" / ".left.tmp").write_text(""),
    "whole folders": lambda root: next((root / "artefacts").rglob("*.safetensors")).write_bytes(b""),
}


def swap_items(root):
    import numpy as np

    folder = next((root / "runs").iterdir())
    with np.load(folder / "correct.npz") as arrays:
        found = dict(arrays)
    np.savez_compressed(folder / "correct.npz", **(found | {"packed": ~found["packed"]}))
    seal(folder)


@pytest.mark.parametrize("what", HARMS)
def test_a_store_that_differs_is_seen(suite, copy, what):
    HARMS[what](copy)
    with pytest.raises(NotSurvivedError, match=what):
        suite.check(copy)


@pytest.mark.parametrize("damage", DAMAGES)
def test_damages_do_damage(copy, damage):
    folder = next((copy / "runs").iterdir())
    file = folder / ("checksums.json" if damage == "broken checksums" else "record.json")
    survival.hurt(file, damage, random.Random(0))
    assert not Store(copy).has("runs", folder.name)


ONE = "xkd-bench: cannot write to results: No space left on device"


@pytest.mark.parametrize(
    ("code", "err"),
    [
        (0, ONE),
        (1, "Traceback (most recent call last):\n" + ONE),
        (2, ""),
        (-9, ONE),
        (1, "xkd-bench: 1 of 2 runs failed\n  cmd: out of memory"),
    ],
)
def test_a_refusal_that_is_not_clear_is_seen(tmp_path, code, err):
    survival.refused(tmp_path, Ended(2, ONE))
    with pytest.raises(NotSurvivedError):
        survival.refused(tmp_path, Ended(code, err))


def test_what_is_half_written_is_seen(copy):
    (copy / "runs" / "half").mkdir()
    with pytest.raises(NotSurvivedError, match="half-written: runs/half"):
        survival.refused(copy, Ended(2, ONE))


def test_what_does_not_survive_is_a_row_that_says_so(monkeypatch):
    def cases(suite, kills, rng, tick):
        yield "good", 1, lambda: "as before"
        yield "bad", 2, lambda: survival.refused(suite.scratch, Ended(0, ""))

    monkeypatch.setattr(survival, "Suite", lambda folder: type("Suite", (), {"scratch": folder}))
    monkeypatch.setattr(survival, "cases", cases)
    found = survival.run(Options(quick=True))
    assert found.frame["survived"].tolist() == [True, False]
    assert found.shown is not None
    assert found.shown["survived"].tolist() == ["yes", "**no**"]
    assert "ended with 0" in found.shown["outcome"][1]
