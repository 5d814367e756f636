"""folder: what well formed folders mean."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tasks.folders import HEADER, manifest, pairs, picture
from xkd_bench import tasks
from xkd_bench.tasks.base import Split, TaskData


def load(name: str) -> TaskData:
    return tasks.get(name).load(8, 8)


def groups(data: TaskData, split: Split) -> list[set[int]]:
    return [set(data.target.group[part].tolist()) for part in (split.train, split.val, split.test)]


def test_a_manifest_of_pairs(tmp_path):
    data = load(manifest(tmp_path, pairs(40)))
    assert data.source.data.shape == (40, 3, 8, 8)
    assert data.target.data.shape == (40, 1, 8, 8), "all targets are grey"
    split = data.split(0)
    assert split.classes == ("a", "b")
    assert [len(part) for part in (split.train, split.val, split.test)] == [24, 6, 10]
    assert (split.pairs_target == split.train).all()
    assert (data.source.concept[split.pairs_source] == data.target.concept[split.pairs_target]).all()
    assert not np.array_equal(split.test, data.split(1).test)


def test_pixels_and_labels_belong_to_their_rows(tmp_path):
    data = load(manifest(tmp_path, pairs(12)))
    split = data.split(0)
    for i in range(12):
        with Image.open(tmp_path / f"s/{i}.png") as image:
            assert abs(np.asarray(image).mean() - data.source.data[i].mean()) < 12
        assert split.classes[split.label[i]] == "ab"[i % 2]


def test_folders_named_after_classes(tmp_path):
    for i in range(12):
        picture(tmp_path / f"source/{'cat' if i % 2 else 'dog'}/{i // 2}.jpg", i)
        picture(tmp_path / f"target/{'cat' if i % 2 else 'dog'}/{i // 2}.png", i + 50)
    picture(tmp_path / "target/cat/alone.png", 99)
    (tmp_path / "source/.DS_Store").write_text("litter")
    (tmp_path / "source/cat/Thumbs.db").write_text("litter")
    data = load(f"folder:{tmp_path}")
    split = data.split(0)
    assert split.classes == ("cat", "dog")
    assert (len(data.source), len(data.target)) == (12, 13)
    assert data.target.data.shape[1] == 3
    assert len(set(data.source.concept.tolist())) == 12, "0.jpg of cat and 0.jpg of dog are two concepts"


def test_groups_stay_together(tmp_path):
    rows = [f"{row},g{i // 4}" for i, row in enumerate(pairs(80))]
    data = load(manifest(tmp_path, rows, header=f"{HEADER},group"))
    for seed in range(20):
        train, val, test = groups(data, data.split(seed))
        assert len(train | val | test) == len(train) + len(val) + len(test) == 20
    assert len(set(data.target.group.tolist())) == 20


def test_pairs_and_groups_chain(tmp_path):
    """p0 and p1 share a group, p1's items are in two rows: all three rows are one."""
    rows = [
        *pairs(20, more=","),
        "x,s/x.png,t/x.png,a,g",
        "y,s/y.png,t/y.png,b,g",
        "y,s/y2.png,,b,h",
        "z,s/z.png,t/z.png,a,h",
    ]
    data = load(manifest(tmp_path, rows, header=f"{HEADER},group"))
    assert len(set(data.target.group[-3:].tolist())) == 1


def test_several_items_of_a_pair(tmp_path):
    """As in Sketchy: one photo, several sketches; the photo is listed again and again, and is one item."""
    rows = [f"p{i},s/{i}.png,t/{i}_{k}.png,{'ab'[i % 2]}" for i in range(16) for k in range(3)]
    data = load(manifest(tmp_path, rows))
    assert (len(data.source), len(data.target)) == (16, 48)
    split = data.split(0)
    assert len(split.pairs_target) == 3 * len(split.pairs_source)
    assert tasks.get(f"folder:{tmp_path}").card.pairing == "instance"


def test_unpaired_and_unlabelled_items(tmp_path):
    rows = [*pairs(20), *(f"u{i},,t/u{i}.png,{'ab'[i % 2]}" for i in range(20)), "lone,s/lone.png,,a"]
    rows += [f"n{i},s/n{i}.png,t/n{i}.png," for i in range(20)]
    data = load(manifest(tmp_path, rows))
    split = data.split(0)
    paired = {data.concept_names[c] for c in data.target.concept[split.pairs_target].tolist()}
    assert not any(name.startswith("u") for name in paired)
    assert any(name.startswith("n") for name in paired)
    trained = {data.concept_names[c] for c in data.target.concept[split.train].tolist()}
    assert any(name.startswith("u") for name in trained)
    assert not any(name.startswith("n") for name in trained)
    assert "lone" not in {data.concept_names[c] for c in data.source.concept[split.pairs_source].tolist()}


def given(n: int = 40, words: tuple[str, ...] = ("train", "train", "val", "test")) -> list[str]:
    return [f"p{i},s/{i}.png,t/{i}.png,{'ab'[i % 2]},{words[i // 2 % len(words)]}" for i in range(n)]


def test_given_splits_hold_for_every_seed(tmp_path):
    data = load(manifest(tmp_path, given(), header=f"{HEADER},split"))
    for seed in (0, 1):
        split = data.split(seed)
        assert split.train.tolist() == [i for i in range(40) if i // 2 % 4 < 2]
        assert split.val.tolist() == [i for i in range(40) if i // 2 % 4 == 2]
        assert (split.pairs_target == split.train).all()


def test_without_val_some_of_train_validates(tmp_path):
    data = load(manifest(tmp_path, given(words=("train", "Train ", "TRAIN", "test")), header=f"{HEADER},split"))
    split, other = data.split(0), data.split(1)
    assert split.test.tolist() == other.test.tolist() == [i for i in range(40) if i // 2 % 4 == 3]
    assert len(split.val) == pytest.approx(0.15 * 30, abs=1)
    assert split.val.tolist() != other.val.tolist()
    assert not set(split.val.tolist()) & set(split.pairs_target.tolist())


def test_pairs_by_class_part_the_classes(tmp_path):
    rows = [f"{c},s/{c}{i}.png,t/{c}{i}.png,{c}" for c in "abcde" for i in range(20)]
    name = manifest(tmp_path, rows)
    assert tasks.get(name).card.pairing == "class"
    data = load(name)
    for seed in range(10):
        split = data.split(seed)
        paired = {data.concept_names[c] for c in data.target.concept[split.pairs_target].tolist()}
        assert len(paired) == 3
        assert paired | set(split.classes) == set("abcde")
        assert not paired & set(split.classes)
        assert [len(part) for part in (split.train, split.val, split.test)] == [20, 4, 16]
        assert len(split.pairs_target) == 60


def test_pairs_by_class_with_given_splits(tmp_path):
    words = ("train", "train", "val", "test")
    rows = [f"{c},s/{c}{i}.png,t/{c}{i}.png,{c},{words[i % 4]}" for c in "abcde" for i in range(20)]
    split = load(manifest(tmp_path, rows, header=f"{HEADER},split")).split(0)
    assert [len(part) for part in (split.train, split.val, split.test)] == [20, 10, 10]
    assert len(split.pairs_target) == 30, "only train rows of the distilled classes"


@pytest.mark.parametrize("encode", [
    lambda text: text.encode("utf-8-sig"),
    lambda text: text.replace("\n", "\r\n").encode(),
    lambda text: text.replace(",", ";").encode(),
    lambda text: text.replace(",", "\t").encode(),
    lambda text: text.replace("pair_id", " Pair_ID ").encode(),
    lambda text: text.replace("\n", "\n\n").encode(),
    lambda text: text.replace("pair_id,", '"pair_id",').encode(),
])  # fmt: skip
def test_dialects_of_csv_are_the_same_manifest(tmp_path, encode):
    name = manifest(tmp_path, pairs(12))
    digest = load(name).digest
    (tmp_path / "manifest.csv").write_bytes(encode((tmp_path / "manifest.csv").read_text()))
    assert load(name).digest == digest


def test_parquet_is_the_same_manifest(tmp_path):
    import pandas as pd

    name = manifest(tmp_path, [f"{row}," for row in pairs(12)], header=f"{HEADER},group")
    digest = load(name).digest
    pd.read_csv(tmp_path / "manifest.csv").to_parquet(tmp_path / "manifest.parquet")
    (tmp_path / "manifest.csv").unlink()
    assert load(name).digest == digest


def test_other_columns_are_left_alone(tmp_path):
    data = load(manifest(tmp_path, [f"{row},note" for row in pairs(12)], header=f"{HEADER},remark"))
    assert len(data.target) == 12


def special_target(root: Path, image: Image.Image, ending: str = "png") -> np.ndarray:
    """The pixels of the first target [c, 8, 8] when it is this image and all others are grey."""
    name = manifest(root, pairs(12))
    (root / "t/0.png").unlink()
    file = f"t/0.{ending}"
    image.save(root / file)
    text = (root / "manifest.csv").read_text().replace("t/0.png", file)
    (root / "manifest.csv").write_text(text)
    return np.asarray(load(name).target.data[0])


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    deep = np.full((16, 16), 0x80FF, np.uint16)
    assert (special_target(tmp_path, Image.fromarray(deep)) == 0x80).all()


def test_transparency_is_laid_on_white(tmp_path):
    pixels = special_target(tmp_path, Image.new("RGBA", (8, 8), (0, 0, 0, 0)))
    assert pixels.shape == (1, 8, 8)
    assert (pixels == 255).all()


def test_one_coloured_target_makes_all_three_channels(tmp_path):
    assert special_target(tmp_path, Image.new("RGB", (8, 8), "red")).tolist() == [
        [[255] * 8] * 8, [[0] * 8] * 8, [[0] * 8] * 8
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("mode", "ending"), [("P", "gif"), ("1", "bmp"), ("CMYK", "jpg"), ("LA", "webp"), ("L", "tiff")]
)
def test_all_that_pillow_reads(tmp_path, mode, ending):
    assert special_target(tmp_path, Image.new("L", (9, 9), 255).convert(mode), ending).min() >= 250


def test_wide_images_are_cut_around_their_centre(tmp_path):
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 200
    assert (special_target(tmp_path, Image.fromarray(wide)) == 200).mean() > 0.7


def test_decoded_once_until_a_file_changes(tmp_path):
    name = manifest(tmp_path, pairs(12))
    told: list[tuple[int, int]] = []
    first = tasks.get(name).load(8, 8, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (24, 24)
    start = time.perf_counter()
    assert load(name).digest == first.digest
    assert time.perf_counter() - start < 0.5
    picture(tmp_path / "t/3.png", 1234, mode="L")
    os.utime(tmp_path / "t/3.png", (1, 1))
    assert load(name).digest != first.digest


def test_digest_does_not_depend_on_where_the_folder_is(tmp_path):
    digests = {load(manifest(tmp_path / place, pairs(12))).digest for place in ("here", "there")}
    assert len(digests) == 1


def test_digest_tells_labels_groups_and_splits(tmp_path):
    header = f"{HEADER},group,split"
    base = [f"{row},," for row in pairs(24)]
    variants = [
        base,
        [f"{row},," for row in pairs(24, classes="ba")],
        [f"{row},," for row in pairs(24, classes="ac")],
        [f"{row},g{i // 2}," for i, row in enumerate(pairs(24))],
        [f"{row},,{('train', 'val', 'test')[i // 8]}" for i, row in enumerate(pairs(24))],
    ]
    assert len({load(manifest(tmp_path, rows, header=header)).digest for rows in variants}) == len(variants)


def test_about_says_what_the_data_is(tmp_path):
    name = manifest(tmp_path, pairs(12))
    (tmp_path / "about.toml").write_text('source = "RGB"\ntarget = "thermal"\norigin = "simulated"\n')
    card = tasks.get(name).card
    assert (card.source, card.target, card.origin, card.name) == (
        "RGB",
        "thermal",
        "simulated",
        f"folder:{tmp_path.name}",
    )


def test_the_same_image_in_two_groups_is_reported(tmp_path, caplog):
    name = manifest(tmp_path, pairs(12))
    load(name)
    assert not caplog.records
    shutil.copy(tmp_path / "t/3.png", tmp_path / "t/8.png")
    load(name)
    assert "1 target images are the same" in caplog.text
    assert "t/3.png and t/8.png" in caplog.text
