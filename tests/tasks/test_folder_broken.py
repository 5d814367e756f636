"""folder: everything that is wrong is said in one line that names the place."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tasks.folders import HEADER, manifest, pairs, picture
from xkd_bench import tasks
from xkd_bench.errors import UsageError


def message(name: str, seed: int = 0) -> str:
    """What the user is told: one line."""
    with pytest.raises(UsageError) as caught:
        tasks.get(name).load(8, 8).split(seed)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rows_with(*more: str, header: str = HEADER, n: int = 12) -> Callable[[Path], str]:
    """A good manifest with some rows after it."""
    blanks = "," * (header.count(",") - HEADER.count(","))
    return lambda root: manifest(root, [*(row + blanks for row in pairs(n)), *more], header=header)


def raw(content: bytes, name: str = "manifest.csv") -> Callable[[Path], str]:
    """A good manifest, overwritten."""

    def make(root: Path) -> str:
        task = manifest(root, pairs(12))
        (root / "manifest.csv").unlink()
        (root / name).write_bytes(content)
        return task

    return make


SPLIT = f"{HEADER},split"
GROUP = f"{HEADER},group,split"
CASES: dict[str, tuple[Callable[[Path], str], str]] = {
    "no folder": (lambda root: f"folder:{root / 'nowhere'}", r"nowhere' does not exist"),
    "a file": (lambda root: (picture(root / "x.png"), f"folder:{root / 'x.png'}")[1], r"x\.png' is no folder"),
    "an empty folder": (lambda root: f"folder:{root}", r"neither manifest\.csv"),
    "only source/": (lambda root: (picture(root / "source/a/0.png"), f"folder:{root}")[1], r"neither manifest\.csv"),
    "no path": (lambda root: "folder:", r"needs a path"),
    "an empty file": (raw(b""), r"lacks the column pair_id, source, target, label: its header has nothing"),
    "only a header": (raw(HEADER.encode() + b"\n"), r"has no rows"),
    "a column missing": (raw(b"pair_id,source,label\np,s/0.png,a\n"), r"lacks the column target"),
    "a column twice": (raw(f"{HEADER},label\n".encode()), r"column label twice"),
    "Latin-1": (raw(f"{HEADER}\np,s/0.png,t/0.png,Bär\n".encode("latin-1")), r"not UTF-8 text \(byte \d+\)"),
    "UTF-16": (raw(f"{HEADER}\n".encode("utf-16")), r"not UTF-8 text"),
    "a ragged row": (rows_with("x,s/0.png,t/0.png"), r"line 14: 3 fields where the header has 4"),
    "an open quote": (rows_with('x,"s/0.png,t/0.png,a'), r"not valid CSV"),
    "no Parquet": (raw(b"PAR1 or so", "manifest.parquet"), r"no readable Parquet"),
    "a blank pair_id": (rows_with(",s/0.png,t/0.png,a"), r"line 14: pair_id is blank"),
    "two blank sides": (rows_with("x,,,a"), r"line 14: source and target are both blank"),
    "no target at all": (lambda root: manifest(root, [f"p{i},s/{i}.png,,{'ab'[i % 2]}" for i in range(9)]),
                         r"names no target item"),
    "an unknown split": (lambda root: manifest(root, [f"{row},training" for row in pairs(9)], header=SPLIT),
                         r"line 2: unknown split 'training': use train, val or test"),
    "some splits blank": (rows_with("x,s/x.png,t/x.png,a,test", header=SPLIT), r"line 2: split is blank"),
    "labels in conflict": (rows_with("p0,s/0.png,t/x.png,b"), r"line 14: pair_id 'p0' is labelled 'b', but 'a' at"),
    "a file in two pairs": (rows_with("x,s/x.png,t/0.png,a"), r"target 't/0\.png' is in pair 'x', but in pair 'p0'"),
    "out of the folder": (rows_with("x,s/0.png,s/../../secret.png,a"), r"'\.\./secret\.png' leads out"),
    "an absolute path": (rows_with("x,/etc/passwd,t/0.png,a"), r"'/etc/passwd' leads out"),
    "one class": (lambda root: manifest(root, pairs(9, classes="a")), r"has 1 class"),
    "no pair": (lambda root: manifest(root, [f"p{i},,t/{i}.png,{'ab'[i % 2]}" for i in range(9)] + ["q,s/q.png,,a"]),
                r"has no pair"),
    "a class too small": (rows_with("x,s/x.png,t/x.png,c"), r"class 'c' has 1 independent"),
    "a class without test": (
        lambda root: manifest(root, [f"{row},{'train' if i % 2 else ('train', 'test')[i // 2 % 2]}"
                                     for i, row in enumerate(pairs(12))], header=SPLIT),
        r"class 'b' has no target item in test"),
    "a group in two splits": (
        lambda root: manifest(root, [f"{row},g{i % 5},{('train', 'test')[i // 6]}" for i, row in enumerate(pairs(12))],
                              header=GROUP), r"group 'g\d' is in train \(line \d+\) and in test \(line \d+\)"),
    "a pair in two splits": (
        lambda root: manifest(root, [*(f"{row},{('train', 'test')[i // 6]}" for i, row in enumerate(pairs(12))),
                                     "p0,,t/x.png,a,test"], header=SPLIT), r"pair_id 'p0' is in train .* and in test"),
    "two classes paired by class": (
        lambda root: manifest(root, [f"{c},s/{c}{i}.png,t/{c}{i}.png,{c}" for c in "ab" for i in range(5)]),
        r"pairs by class .* takes 3 classes or more, not 2"),
    "a file among classes": (
        lambda root: (picture(root / "source/a/0.png"), picture(root / "target/0.png"), f"folder:{root}")[2],
        r"0\.png' is a file where a folder named after a class is due"),
    "about.toml": (lambda root: (manifest(root, pairs(12)), (root / "about.toml").write_text("origin = 'dreamt'"))[0],
                   r"origin: input should be 'real', 'rendered' or 'simulated' \(not 'dreamt'\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=list(CASES))
def test_one_clear_line(tmp_path, case):
    make, said = CASES[case]
    assert re.search(said, message(make(tmp_path))), message(make(tmp_path))


def test_the_manifest_is_checked_before_anything_is_read(tmp_path):
    name = manifest(tmp_path, pairs(12, classes="a"))
    with pytest.raises(UsageError):
        tasks.get(name)


def spoil(root: Path) -> str:
    """Six bad files, one for each way of being bad."""
    name = manifest(root, pairs(20))
    whole = (root / "s/1.png").read_bytes()
    (root / "s/0.png").unlink()
    (root / "s/1.png").write_bytes(whole[: len(whole) // 2])
    (root / "t/2.png").write_text("no image at all")
    (root / "t/3.png").write_bytes(b"")
    (root / "t/4.png").unlink()
    (root / "t/4.png").mkdir()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(root / "t/5.tiff")
    (root / "t/5.tiff").rename(root / "t/5.png")
    return name


def test_all_bad_images_are_listed_together(tmp_path):
    said = message(spoil(tmp_path))
    assert said.startswith(f"6 of 40 images in '{tmp_path}' cannot be read: ")
    said_of_each = ["s/0.png (not found)", "s/1.png (truncated)", "t/2.png (no image)", "t/3.png (empty)"]
    for part in (*said_of_each, "t/4.png (a folder)", "t/5.png (broken: its pixels are fractions"):
        assert part in said
    assert message(f"folder:{tmp_path}") == said, "a failed load is not cached"


def test_bad_images_can_be_left_out(tmp_path, caplog):
    name = spoil(tmp_path)
    data = tasks.get(f"{name}+skip-bad").load(8, 8)
    assert set(data.skipped) == {"s/0.png", "s/1.png", "t/2.png", "t/3.png", "t/4.png", "t/5.png"}
    assert (len(data.source), len(data.target)) == (18, 16)
    assert "6 files that cannot be read are left out (first: s/0.png)" in caplog.text
    assert len(data.split(0).pairs_source) == len(data.split(0).pairs_target), "a pair without a side is none"
    assert tasks.get(f"{name}@noise=0.2+skip-bad").load(8, 8).skipped == data.skipped
    message(name)


def test_many_bad_images_are_counted(tmp_path):
    name = manifest(tmp_path, pairs(30))
    for i in range(25):
        (tmp_path / f"t/{i}.png").write_text("no")
    said = message(name)
    assert said.startswith("25 of 60 images")
    assert said.count("(no image)") == 10
    assert said.endswith("and 15 more")


def test_mended_images_are_read(tmp_path):
    name = spoil(tmp_path)
    message(name)
    (tmp_path / "t/4.png").rmdir()
    for file in ("s/0.png", "s/1.png", "t/2.png", "t/3.png", "t/4.png", "t/5.png"):
        picture(tmp_path / file)
    assert tasks.get(name).load(8, 8).target.data.shape == (20, 3, 8, 8)
