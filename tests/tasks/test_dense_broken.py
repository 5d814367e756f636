"""Segmentation by a manifest: everything that is wrong is said in one line that names the place."""

from pathlib import Path

import numpy as np
import pytest

from tests.tasks.dense_scenes import HIGH, WIDE, label, load, message, rows, scenes
from tests.tasks.folders import picture
from xkd_bench import tasks
from xkd_bench.errors import UsageError


def lone_class(root: Path) -> str:
    name = scenes(root, rows(20, ("train", "val", "test")), n_classes=2)
    label(root / "y/0.png", np.full((HIGH, WIDE), 2))
    return name


def test_a_class_that_cannot_be_tested(tmp_path):
    name = lone_class(tmp_path)
    assert message(name) == "class 'class 2' has no pixel in train or none in test: merge it, or say it is absent"
    (tmp_path / "about.toml").write_text('classes = ["a", "b", "c"]\nabsent = ["c"]\n')
    assert load(name).split(0).absent == ("c",)


CASES = {
    "a side blank": (["x,,t/0.png,y/0.png,g,train"], r"line 22: source is blank"),
    "a pair twice": (["p0,s/x.png,t/x.png,y/x.png,g,train"], r"line 22: pair_id 'p0' is at line 2 too"),
    "a label out of the folder": (["x,s/0.png,t/0.png,../y.png,g,train"], r"line 22: '\.\./y\.png' leads out"),
    "a label that is a name": (["x,s/x.png,t/x.png,crop,g,train"], r"line 22: label 'crop' is no image"),
    "a group in train and test": (
        ["x,s/x.png,t/x.png,y/x.png,g0,test"], r"group 'g0' is in train \(line 2\) and in test \(line 22\)"),
    "a file in train and test": (["x,s/0.png,t/x.png,y/x.png,gx,test"], r"in train \(line 2\) and in test \(line 22\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_clear_line_before_anything_is_read(tmp_path, case):
    more, said = CASES[case]
    scenes(tmp_path, rows(20, ("train", "val", "test")))
    (tmp_path / "manifest.csv").open("a").write("\n".join(more) + "\n")
    with pytest.raises(UsageError, match=said):
        tasks.get(f"folder:{tmp_path}")


@pytest.mark.parametrize(("about", "said"), [
    ("classes = ['a']", "2 to 255 different names"),
    ("classes = ['a', 'b']\npalette = [[0, 0, 0]]", "1 colours in palette for 2 classes"),
    ("classes = ['a', 'b']\nabsent = ['c']", "absent names 'c'"),
    ("target_range = [3, 3]", r"\[lowest, highest\]"),
    ("ignore_label = 'no'", "ignore_label: input should be a valid integer"),
    ("clases = []", "clases: extra inputs are not permitted: known are title"),
])  # fmt: skip
def test_one_clear_line_on_about(tmp_path, about, said):
    scenes(tmp_path, rows())
    (tmp_path / "about.toml").write_text(about)
    with pytest.raises(UsageError, match=said):
        tasks.get(f"folder:{tmp_path}")


def spoil(root: Path) -> str:
    """Six files, each no good in a way of its own, in five scenes."""
    name = scenes(root, rows(40))
    (root / "about.toml").write_text('classes = ["a", "b", "c"]\n')
    (root / "s/0.png").unlink()
    whole = (root / "t/1.png").read_bytes()
    (root / "t/1.png").write_bytes(whole[: len(whole) // 2])
    label(root / "y/2.png", np.pad(np.zeros((HIGH - 1, WIDE)), ((0, 0), (0, 0))))
    label(root / "y/3.png", np.where(np.arange(HIGH * WIDE).reshape(HIGH, WIDE) == 2 * WIDE + 5, 7, 1))
    picture(root / "t/4.png", 1, size=(WIDE + 1, HIGH), mode="L")
    (root / "y/4.png").write_text("no image")
    return name


def test_all_that_is_wrong_is_listed_together(tmp_path):
    said = message(spoil(tmp_path))
    assert said.startswith(f"6 of 120 files in '{tmp_path}' cannot be read: ")
    for part in (
        "s/0.png (not found)",
        "t/1.png (truncated)",
        f"y/2.png ({WIDE} × {HIGH - 1}, but s/2.png is {WIDE} × {HIGH})",
        "y/3.png (broken: its label 7 (row 2, column 5) is out of range)",
        f"t/4.png ({WIDE + 1} × {HIGH}, but s/4.png is",
        "y/4.png (no image)",
    ):
        assert part in said


def test_bad_files_can_be_skipped(tmp_path):
    task = tasks.get(spoil(tmp_path))
    task.skip_bad = True
    for _ in range(2):  # read, then from the cache
        data = task.load((HIGH, WIDE), (HIGH, WIDE))
        assert set(data.skipped) == {"s/0.png", "t/1.png", "y/2.png", "y/3.png", "t/4.png", "y/4.png"}
        used = [*data.split(0).pairs_target, *data.split(0).val, *data.split(0).test]
        assert sorted(used) == list(range(5, 40))
