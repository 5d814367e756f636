"""Segmentation by a manifest: what well formed folders mean, and the contract of dense tasks."""

import numpy as np
import pytest
from PIL import Image

from tests.tasks.dense_scenes import HIGH, WIDE, label, load, message, rows, scenes, some_labels
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks._dense_data import check_dense, palette
from xkd_bench.tasks._planes import as_classes, coloured_ids, fit, ranged
from xkd_bench.tasks.base import Split, TaskData


def test_pixels_and_labels_are_those_of_the_files(tmp_path):
    name = scenes(tmp_path, rows())
    card = tasks.get(name).card
    assert (card.kind, card.aligned, card.pairing) == ("segmentation", True, "instance")
    data = load(name)
    assert data.maps is not None
    assert (data.source.data.shape, data.target.data.shape) == ((20, 3, HIGH, WIDE), (20, 1, HIGH, WIDE))
    for i in range(20):
        with Image.open(tmp_path / f"s/{i}.png") as image:
            assert np.array_equal(data.source.data[i], np.asarray(image).transpose(2, 0, 1))
        with Image.open(tmp_path / f"t/{i}.png") as image:
            assert np.array_equal(data.target.data[i, 0], np.asarray(image))
        assert np.array_equal(data.maps.data[i], some_labels(i))
        assert data.maps.pixels[i].tolist() == np.bincount(some_labels(i).ravel(), minlength=3).tolist()
    split = data.split(0)
    assert split.classes == ("class 0", "class 1", "class 2")
    assert [len(part) for part in (split.train, split.val, split.test)] == [12, 3, 5]
    assert (split.pairs_source == split.train).all()
    assert not np.array_equal(split.test, data.split(1).test)


def test_larger_grids_are_padded_and_smaller_ones_hold_the_whole_picture(tmp_path):
    name = scenes(tmp_path, rows())
    large = load(name, (16, 24))
    assert np.array_equal(large.maps.data[3, :HIGH, :WIDE], some_labels(3))
    assert (large.maps.data[3, HIGH:] == 255).all()
    assert (large.maps.data[3, :, WIDE:] == 255).all()
    assert (large.source.data[3, :, HIGH:] == 0).all()
    small = load(name, (7, 7))  # half as wide would be 10: the width decides
    assert (small.maps.data[:, :5] < 3).all()
    assert (small.maps.data[:, 5:] == 255).all()


def test_two_sizes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="one size"):
        tasks.get(scenes(tmp_path, rows())).load((8, 8), (8, 9))
    with pytest.raises(UsageError, match="at least one pixel"):
        tasks.get(f"folder:{tmp_path}").load((0, 8), (0, 8))


def test_scaled_pictures_and_labels_stay_on_one_grid():
    """A bright square and its label, reduced apart, cover the same pixels."""
    square = np.zeros((64, 96, 1), np.uint8)
    square[16:48, 24:56] = 1
    labels = fit(square, (16, 24), nearest=True)
    pixels = fit(square * 255, (16, 24), nearest=False)
    assert ((pixels > 127) == (labels == 1)).all()
    assert labels.sum() == 8 * 8


def test_sixteen_bits_and_ranges(tmp_path):
    name = scenes(tmp_path, rows())
    for i in range(20):
        deep = np.full((HIGH, WIDE), 0x80FF, np.uint16)
        deep[0] = [1000 * k for k in range(WIDE)]
        Image.fromarray(deep).save(tmp_path / f"t/{i}.png")
    assert (load(name).target.data[:, 0, 1:] == 0x80).all()
    (tmp_path / "about.toml").write_text("target_range = [1000, 11200]\n")
    row = load(name).target.data[0, 0, 0]
    assert row[:3].tolist() == [0, 0, 25]
    assert row[11] == 250
    assert (row[12:] == 255).all()
    (tmp_path / "about.toml").write_text("target_range = [0, 25500]\n")
    assert load(name).target.data[0, 0, 0].tolist() == [10 * k for k in range(WIDE)], "not the old ones from the cache"


def test_arrays_of_measurements_and_of_labels(tmp_path):
    scenes(tmp_path, rows())
    metres = np.linspace(0, 20, HIGH * WIDE, dtype=np.float32).reshape(HIGH, WIDE)
    metres[3, 3] = np.nan
    text = (tmp_path / "manifest.csv").read_text()
    for i in range(20):
        np.save(tmp_path / f"t/{i}.npy", metres)
        np.save(tmp_path / f"y/{i}.npy", some_labels(i))
        text = text.replace(f"t/{i}.png,y/{i}.png", f"t/{i}.npy,y/{i}.npy")
    (tmp_path / "manifest.csv").write_text(text)
    (tmp_path / "about.toml").write_text("target_range = [0, 10]\n")
    data = load(f"folder:{tmp_path}")
    expected = np.nan_to_num(np.clip(metres / 10, 0, 1) * 255)
    assert np.abs(data.target.data[5, 0] - expected).max() <= 0.5
    assert np.array_equal(data.maps.data[5], some_labels(5))


def test_ranged_is_linear_cut_and_knows_holes():
    values = np.array([[0.0, 1, 2, 3, 9, np.nan]])
    assert ranged(values, 1, 3)[0, :, 0].tolist() == [0, 0, 128, 255, 255, 0]


def test_what_is_told_of_the_classes(tmp_path):
    name = scenes(tmp_path, rows())
    label(tmp_path / "y/0.png", np.where(some_labels(0) == 0, 9, some_labels(0)))
    about = 'classes = ["soil", "crop", "weed"]\nignore_label = 9\npalette = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]\n'
    (tmp_path / "about.toml").write_text(about + 'source = "RGB"\ntarget = "NIR"\n')
    task = tasks.get(name)
    assert (task.card.source, task.card.target) == ("RGB", "NIR")
    data = load(name)
    assert data.split(0).classes == ("soil", "crop", "weed")
    assert data.maps.palette.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert (data.maps.data[0] == 255).sum() == (some_labels(0) == 0).sum()


def test_label_maps_in_colours(tmp_path):
    name = scenes(tmp_path, rows())
    colours = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 200]], np.uint8)
    for i in range(20):
        label(tmp_path / f"y/{i}.png", colours[some_labels(i)])
    assert "its labels are colours" in message(name)
    (tmp_path / "about.toml").write_text(f'classes = ["a", "b", "c"]\npalette = {colours.tolist()}\n')
    assert np.array_equal(load(name).maps.data[4], some_labels(4))
    label(tmp_path / "y/4.png", colours[some_labels(4)] + np.uint8(1))
    assert "y/4.png (broken: its colour (1, 1, 1) stands for no class)" in message(name)


def test_label_maps_with_a_palette(tmp_path):
    name = scenes(tmp_path, rows())
    image = Image.fromarray(some_labels(0).astype(np.uint8), "P")
    image.putpalette([10, 20, 30] * 256)
    image.save(tmp_path / "y/0.png")
    assert np.array_equal(load(name).maps.data[0], some_labels(0))


def test_beyond_the_edge_of_a_mosaic_nothing_is_scored(tmp_path):
    name = scenes(tmp_path, rows())
    with Image.open(tmp_path / "s/3.png") as one, Image.open(tmp_path / "t/3.png") as other:
        source, target = np.array(one), np.array(other)
    source[:5], target[:4] = 0, 0
    Image.fromarray(source).save(tmp_path / "s/3.png")
    Image.fromarray(target).save(tmp_path / "t/3.png")
    assert (load(name).maps.data[3] == some_labels(3)).all()
    (tmp_path / "about.toml").write_text("ignore_empty = true\n")
    maps = load(name).maps.data
    assert (maps[3, :4] == 255).all()
    assert (maps[3, 4:] == some_labels(3)[4:]).all()
    assert (maps[4] == some_labels(4)).mean() > 0.99


def test_pairs_without_a_label_map_are_distilled_and_not_scored(tmp_path):
    more = [f"u{i},s/u{i}.png,t/u{i}.png,,u{i},train" for i in range(5)]
    data = load(scenes(tmp_path, [*rows(20, ("train", "val", "test")), *more]))
    split = data.split(0)
    assert split.pairs_target.tolist() == [*split.train.tolist(), 20, 21, 22, 23, 24]
    assert (data.maps.data[20:] == 255).all()
    assert not data.maps.labelled[20:].any()


def test_one_picture_on_both_sides(tmp_path):
    name = scenes(tmp_path, [row.replace("t/", "s/") for row in rows()])
    assert tasks.get(name).card.single_modality
    data = load(name)
    assert data.source.data is data.target.data
    assert data.target.data.shape[1] == 3


def groups(data: TaskData, split: Split) -> list[set[int]]:
    return [set(data.target.group[part].tolist()) for part in (split.train, split.val, split.test)]


def test_groups_stay_together(tmp_path):
    data = load(scenes(tmp_path, rows(60, group=4)))
    for seed in range(10):
        train, val, test = groups(data, data.split(seed))
        assert len(train | val | test) == len(train) + len(val) + len(test) == 15


def test_one_recording_to_learn_from_is_parted_in_a_run(tmp_path):
    """As with pothole: all of train is one group, and nothing validates."""
    given = [f"p{i},s/{i}.png,t/{i}.png,y/{i}.png,{'b' if i < 6 else 'a'},{'test' if i < 6 else 'train'}"
             for i in range(26)]  # fmt: skip
    data = load(scenes(tmp_path, given))
    starts = set()
    for seed in range(6):
        split = data.split(seed)
        assert (np.diff(split.val) == 1).all()
        assert len(split.val) == 3
        assert not set(split.val) & set(split.pairs_target)
        assert split.test.tolist() == list(range(6))
        starts.add(int(split.val[0]))
    assert len(starts) > 1


def test_val_may_share_a_group_with_train_and_it_is_said(tmp_path, caplog):
    places = [("a", "train")] * 9 + [("a", "val")] * 5 + [("b", "test")] * 6
    given = [f"p{i},s/{i}.png,t/{i}.png,y/{i}.png,{group},{part}" for i, (group, part) in enumerate(places)]
    name = scenes(tmp_path, given)
    split = load(name).split(0)
    assert [len(part) for part in (split.train, split.val, split.test)] == [9, 5, 6]
    load(name)
    assert caplog.text.count("groups in both train and val: 1") == 1, "said once"


def test_rare_classes_come_into_every_needed_part(tmp_path):
    name = scenes(tmp_path, rows(40), n_classes=2)
    for i in (3, 11, 30):
        label(tmp_path / f"y/{i}.png", np.where(np.eye(HIGH, WIDE) > 0, 2, some_labels(i, 2)))
    data = load(name)
    for seed in range(10):
        split = data.split(seed)
        assert data.maps.pixels[split.train][:, 2].sum() > 0
        assert data.maps.pixels[split.test][:, 2].sum() > 0


def test_read_once_until_a_file_changes(tmp_path):
    name = scenes(tmp_path, rows())
    told: list[tuple[int, int]] = []
    first = tasks.get(name).load((8, 8), (8, 8), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20)
    assert isinstance(first.source.data.base, np.memmap)
    assert load(name, (8, 8)).digest == first.digest != load(name, (9, 8)).digest
    label(tmp_path / "y/3.png", some_labels(99))
    assert load(name, (8, 8)).digest != first.digest


def test_digest_tells_groups_splits_and_names(tmp_path):
    variants = [
        rows(20),
        rows(20, group=2),
        rows(20, ("train", "val", "test")),
        [r.replace("p", "q", 1) for r in rows(20)],
    ]
    digests = {load(scenes(tmp_path, each)).digest for each in variants}
    (tmp_path / "about.toml").write_text('classes = ["a", "b", "c"]\n')
    assert len(digests | {load(f"folder:{tmp_path}").digest}) == 5


def with_parts(data: TaskData, **parts: list[int]) -> Split:
    good = {
        "pairs_source": range(5),
        "pairs_target": range(5),
        "train": range(5),
        "val": range(5, 8),
        "test": range(8, 12),
    }
    return Split(
        **{k: np.array(parts.get(k, v)) for k, v in good.items()}, label=np.full(20, -1), classes=data.split(0).classes
    )


@pytest.mark.parametrize(("parts", "said"), [
    ({}, None),
    ({"test": [2, 9]}, r"1 groups are in both train and test \(first: that of 'p2'\)"),  # 2 and 3 are of one group
    ({"test": [7, 9]}, "1 groups are in both val and test"),
    ({"train": [0, 1], "val": [4]}, "1 items are in both the pairs and val"),
    ({"val": []}, "no labelled image is in val"),
    ({"pairs_source": [0, 1]}, "different rows"),
])  # fmt: skip
def test_a_split_that_leaks_is_refused(tmp_path, parts, said):
    data = load(scenes(tmp_path, rows(20, group=2)))
    split = with_parts(data, **parts)
    if said is None:
        assert check_dense(data, split) is split
    else:
        with pytest.raises(UsageError, match=said):
            check_dense(data, split)


def test_the_palette_is_the_one_of_pascal_voc():
    known = [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128),
             (128, 128, 128), (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128),
             (64, 128, 128), (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0),
             (0, 64, 128)]  # fmt: skip
    assert [tuple(colour) for colour in palette((), 21).tolist()] == known
    assert len({tuple(colour) for colour in palette((), 255).tolist()}) == 255


def test_numbers_and_colours_to_classes(tmp_path):
    assert as_classes(np.array([[3, 7], [7, 0]]), {3: 0, 7: 1, 0: 255}).tolist() == [[0, 1], [1, 255]]
    for number in (-1, 9, 70000):
        with pytest.raises(ValueError, match=rf"label {number} \(row 1, column 0\) is out of range"):
            as_classes(np.array([[3, 7], [number, 0]]), {3: 0, 7: 1, 0: 255})
    label(tmp_path / "c.png", np.array([[[1, 2, 3], [4, 5, 6]]]))
    assert coloured_ids(tmp_path / "c.png", {(1, 2, 3): 8, (4, 5, 6): 0}).tolist() == [[8, 0]]
