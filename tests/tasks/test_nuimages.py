"""nuImages: tables and run-length masks."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tasks.layouts import HIGH, WIDE, nuimages, run_lengths
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks._rle import decode

SIZE = (HIGH, WIDE)


def drawn(i: int) -> np.ndarray:
    """What `layouts.nuimages` draws: road (2), animal (1), truck (25), by the order of the classes."""
    out = np.zeros(SIZE, int)
    out[: HIGH // 2] = 2
    out[4:8, 3:9] = 1
    out[6:9, 5 : 7 + i % 3] = 25
    return out


def test_surfaces_below_objects_above(tmp_path):
    nuimages(tmp_path)
    task = tasks.get(f"nuimages:{tmp_path}")
    data = task.load(SIZE, SIZE)
    for i in range(12):
        assert np.array_equal(data.maps.data[i], drawn(i))
    split = data.split(0)
    assert [len(part) for part in (split.train, split.val, split.test)] == [10, 2, 4]
    assert "vehicle.bicycle" in split.absent
    assert "vehicle.truck" not in split.absent
    assert len(set(data.target.group[split.val].tolist())) == 1, "a whole log validates"
    assert task.check() == ["train: 12 items, published are 67,279", "test: 4 items, published are 16,445"]


def test_mini_is_drawn_by_log(tmp_path):
    nuimages(tmp_path, (("mini", 24),))
    split = tasks.get(f"nuimages:{tmp_path}:mini").load(SIZE, SIZE).split(0)
    assert len(split.train) + len(split.val) + len(split.test) == 24
    with pytest.raises(UsageError, match=r"lacks v1\.0-train, v1\.0-val: task 'nuimages' reads"):
        tasks.get(f"nuimages:{tmp_path}")


def test_every_table_counts_for_the_cache(tmp_path):
    nuimages(tmp_path)
    load = lambda: tasks.get(f"nuimages:{tmp_path}").load(SIZE, SIZE)  # noqa: E731
    digest = load().digest
    assert load().digest == digest
    (tmp_path / "v1.0-train/surface_ann.json").write_text("[]")
    assert load().digest != digest
    assert load().maps.pixels[:12, 2].sum() == 0


def test_what_is_broken(tmp_path):
    nuimages(tmp_path)
    table = tmp_path / "v1.0-train/object_ann.json"
    rows = json.loads(table.read_text())
    rows[0]["mask"]["counts"] = rows[0]["mask"]["counts"][:-4]
    rows[3]["mask"]["size"] = [HIGH, WIDE + 1]
    table.write_text(json.dumps(rows))
    (tmp_path / "samples/CAM_FRONT/val-1.jpg").unlink()
    with pytest.raises(UsageError) as caught:
        tasks.get(f"nuimages:{tmp_path}").load(SIZE, SIZE)
    said = str(caught.value)
    assert said.startswith(f"3 of 32 files in '{tmp_path}'")
    assert "v1.0-train/object_ann.json#train-d0 (broken: its mask is not of" in said
    assert f"v1.0-train/object_ann.json#train-d1 (broken: a mask is {WIDE + 1} × {HIGH}" in said
    assert "samples/CAM_FRONT/val-1.jpg (not found)" in said
    (tmp_path / "v1.0-val/sample.json").write_text('[{"token": "s0"}]')
    with pytest.raises(UsageError, match=r"val/sample\.json' has a row without key_camera_token, log_token"):
        tasks.get(f"nuimages:{tmp_path}").load(SIZE, SIZE)
    table.write_text("[{")
    with pytest.raises(UsageError, match=r"object_ann\.json' cannot be read: no JSON"):
        tasks.get(f"nuimages:{tmp_path}").load(SIZE, SIZE)


def test_masks_as_coco_writes_them():
    """Three masks that pycocotools 2.0 encodes to these bytes."""
    assert decode(b"04", 2, 2).all()
    assert not decode(b"4", 2, 2).any()
    assert decode(b"2111", 2, 3).tolist() == [[False, True, True], [False, False, True]]
    assert np.array_equal(decode(b"01X1" + b"0" * 77, 40, 40), np.eye(40, dtype=bool))


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_masks_survive(high, wide, seed, share):
    mask = np.random.default_rng(seed).random((high, wide)) < share
    assert np.array_equal(decode(run_lengths(mask), high, wide), mask)
