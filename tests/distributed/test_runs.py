"""Whole runs by two processes: the records of one, one writer, and no waiting for ever."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from xkd_bench.store import Store


@pytest.fixture(scope="module")
def made(loaded, tmp_path_factory):
    """(store of two processes, store of one, keys of the runs in both)."""
    root = tmp_path_factory.mktemp("results")
    (ended,) = loaded.run(
        f"from pathlib import Path\nfrom tests.distributed.runs import both_and_one\nboth_and_one(Path({str(root)!r}))"
    )
    assert ended.code == 0, ended.err
    return Store(root / "two"), Store(root / "one"), ended.out.split()


def test_two_processes_give_the_records_of_one(made):
    two, one, keys = made
    assert len(keys) == 4
    for key in keys:  # the number of processes is in no key
        a, b = two.record(key), one.record(key)
        assert (a["environment"]["devices"], b["environment"]["devices"]) == (2, 1)
        assert a["students"] == b["students"]
        for x, y in zip(a["scores"], b["scores"], strict=True):
            assert x["n_test"] == y["n_test"]
            assert x["value"] == pytest.approx(y["value"], abs=1.5 / 24)  # an item near the border may cross it
        if a["spec"]["task"] == "toy":
            assert np.mean(two.correct(key) == one.correct(key)) > 0.9


def test_students_are_those_of_one_up_to_rounding(made):
    two, one, keys = made
    for key in keys:
        (student,) = two.record(key)["students"].values()
        found, expected = (load_file(s.folder("students", student) / "student.safetensors") for s in (two, one))
        assert set(found) == set(expected)
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=2e-2, atol=2e-3, msg=lambda m, n=name: f"{n}: {m}")


def test_the_store_holds_what_one_process_would_have_written(made):
    two, one, _ = made
    names = [sorted(str(f.relative_to(s.root)) for f in s.root.rglob("*") if f.is_file()) for s in (two, one)]
    assert names[0] == names[1]
    assert all(two.has("runs", key) for key in made[2])
