"""The papers' sets for classification, each read from a tiny copy in its published layout."""

from pathlib import Path

import numpy as np
import pytest

from tests.tasks.layouts import sketchy, tu_berlin
from xkd_bench import tasks
from xkd_bench.errors import UsageError


def test_sketchys_photos_are_groups_and_all_their_sketches_pairs(tmp_path):
    sketchy(tmp_path)
    task = tasks.get(f"sketchy:{tmp_path}")
    data = task.load(8, 8)
    assert (len(data.source), len(data.target)) == (30, 60)
    split = data.split(0)
    assert split.classes == ("airplane", "hot-air_balloon", "zebra")
    names = {data.concept_names[c] for c in data.target.concept[split.test]}
    assert names == {f"{name}/n0{c}_{i}" for c, name in enumerate(split.classes) for i in (8, 9)}
    assert len(split.pairs_target) == 2 * len(split.pairs_source)
    assert len(split.train) + len(split.val) == 48
    assert task.check() == ["photos: 30 items, published are 12,500", "sketches: 60 items, published are 75,481"]


def test_sketchy_without_the_list_is_drawn_by_photo(tmp_path):
    sketchy(tmp_path, "rendered_256x256/256x256/")
    (tmp_path / "info/testset.txt").unlink()
    data = tasks.get(f"sketchy:{tmp_path}").load(8, 8)
    tests = [data.split(seed).test for seed in (0, 1)]
    assert not np.array_equal(*tests)
    for test in tests:
        concepts, counts = np.unique(data.target.concept[test], return_counts=True)
        assert (counts == 2).all()
        assert len(concepts) == pytest.approx(7.5, abs=2)


def both(root: Path) -> str:
    (root / "tu").mkdir()
    (root / "sketchy").mkdir()
    tu_berlin(root / "tu")
    sketchy(root / "sketchy")
    return f"tu-berlin:{root / 'tu'},{root / 'sketchy'}"


def test_tu_berlin_distils_sketchy_and_scores_its_own(tmp_path):
    task = tasks.get(both(tmp_path))
    data = task.load(8, 8)
    split = data.split(0)
    assert split.classes == ("airplane", "alarm clock", "angel")
    assert [len(part) for part in (split.train, split.val, split.test)] == [3 * 51, 3 * 9, 3 * 20]
    assert (len(split.pairs_source), len(split.pairs_target)) == (30, 60)
    assert (split.label[split.pairs_target] == -1).all()
    assert all(data.concept_names[c].startswith("sketchy/") for c in data.target.concept[split.pairs_target])
    assert split.test.tolist() == data.split(5).test.tolist()
    assert task.check() == ["classes: 3 items, published are 250", "sketches: 240 items, published are 20,000"]


def test_tu_berlin_says_that_it_needs_sketchy(tmp_path):
    with pytest.raises(UsageError, match=r"no pairs of its own: tu-berlin:.*,SKETCHY"):
        tasks.get(f"tu-berlin:{tmp_path}")
    with pytest.raises(UsageError, match="task 'tu-berlin' needs a path"):
        tasks.get("tu-berlin")


def test_an_empty_folder_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"holds nothing of 'sketchy': it reads 256x256/"):
        tasks.get(f"sketchy:{tmp_path}").load(8, 8)
    assert len(tasks.get(f"sketchy:{tmp_path}").check()) == 1


def test_broken_sketches_are_listed_together_or_skipped(tmp_path):
    sketchy(tmp_path)
    photo = tmp_path / "256x256/photo/tx_000000000000/zebra/n02_3.jpg"
    photo.write_bytes(photo.read_bytes()[:200])
    sketch = tmp_path / "256x256/sketch/tx_000000000000/zebra/n02_4-1.png"
    sketch.write_text("no picture")
    task = tasks.get(f"sketchy:{tmp_path}")
    bad = [path.relative_to(tmp_path).as_posix() for path in (photo, sketch)]
    with pytest.raises(UsageError) as caught:
        task.load(8, 8)
    for file in bad:
        assert f"{file} (" in str(caught.value)
        assert any(line.startswith(f"{file}: ") for line in task.check())
    task.skip_bad = True
    data = task.load(8, 8)
    assert list(data.skipped) == bad
    assert (len(data.source), len(data.target)) == (29, 59)
    split = data.split(0)
    paired = set(data.source.concept[split.pairs_source].tolist())
    assert paired == set(data.target.concept[split.pairs_target].tolist())
