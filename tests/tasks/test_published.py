"""The papers' sets for segmentation, each read from a tiny copy in its published layout."""

from pathlib import Path

import numpy as np
import pytest

from tests.tasks.layouts import DENSE, HIGH, WIDE, cityscapes, ids, label, noise, vkitti2, voc, write
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks.base import Split, Task, TaskData

SIZE = (HIGH, WIDE)


def made(root: Path, name: str, variant: str = "") -> Task:
    if not any(root.iterdir()):
        DENSE[name](root)
    return tasks.get(f"{name}:{root}{variant}")


def loaded(root: Path, name: str, variant: str = "") -> tuple[TaskData, Split]:
    data = made(root, name, variant).load(SIZE, SIZE)
    return data, data.split(0)


# Items of train, val and test; classes; channels of the target.
EXPECTED = {
    "mfnet": ([8, 3, 4], 9, 1),
    "msrs": ([11, 1, 4], 9, 1),
    "pst900": ([9, 3, 4], 5, 1),
    "nyu-v2": ([10, 2, 4], 40, 1),
    "cityscapes": ([9, 3, 6], 19, 3),
    "voc": ([11, 1, 4], 21, 3),
    "camvid": ([12, 3, 4], 11, 3),
    "ade20k": ([11, 1, 4], 150, 3),
    "coco-stuff": ([11, 1, 4], 182, 3),
    "vkitti2": ([12, 4, 4], 14, 1),
    "kitti-semantics": ([12, 3, 5], 19, 1),
}


@pytest.mark.parametrize("name", DENSE)
def test_published_layout_and_split(tmp_path, name):
    task = made(tmp_path, name)
    data, split = loaded(tmp_path, name)
    sizes, n_classes, channels = EXPECTED[name]
    assert [len(part) for part in (split.train, split.val, split.test)] == sizes
    assert len(split.classes) == len(set(split.classes)) == n_classes
    assert data.maps.palette.shape == (n_classes, 3)
    assert data.source.data.shape == (len(data.source), 3, *SIZE)
    assert data.target.data.shape == (len(data.target), channels, *SIZE)
    assert task.card.single_modality == (data.source.data is data.target.data) == (channels == 3)
    assert split.absent == (() if name not in {"coco-stuff", "nyu-v2"} else split.absent)
    assert task.ready()
    assert not any(":" in line for line in task.check() if "published are" not in line)


def test_mfnets_fourth_channel_is_the_thermal_one(tmp_path):
    data, split = loaded(tmp_path, "mfnet")
    first = int(split.test[0])
    assert data.concept_names[first] == "00400D"
    assert np.array_equal(data.source.data[first], noise(0, 4)[:, :, :3].transpose(2, 0, 1))
    assert np.array_equal(data.target.data[first, 0], noise(0, 4)[:, :, 3])
    assert np.array_equal(data.maps.data[first], ids(0, list(range(9))))
    assert not any("flip" in name for name in data.concept_names)
    assert made(tmp_path, "mfnet").check() == [
        "train: 8 items, published are 784",
        "val: 3 items, published are 392",
        "test: 4 items, published are 393",
    ]


def test_nyu_is_turned_mapped_and_scaled(tmp_path):
    data, split = loaded(tmp_path, "nyu-v2")
    raw = ids(0, list(range(0, 895, 20)))
    assert np.array_equal(data.source.data[0], noise(0).transpose(2, 0, 1))
    assert np.array_equal(data.maps.data[0], np.where(raw == 0, 255, (raw - 1) % 40))
    depth = np.linspace(0, 12, HIGH * WIDE).reshape(HIGH, WIDE)
    assert np.abs(data.target.data[0, 0] - np.clip(depth, 0, 10) * 25.5).max() <= 0.5
    assert split.test.tolist() == [0, 1, 2, 3]
    thirteen, by_13 = loaded(tmp_path, "nyu-v2", ":13")
    assert by_13.classes == tuple(f"kind {i}" for i in range(13))
    assert np.array_equal(thirteen.maps.data[0], np.where(raw == 0, 255, (raw - 1) % 40 % 13))
    assert tasks.get(f"nyu-v2:{tmp_path}:13").card.name == "nyu-v2:13"


def test_nyus_small_files_are_asked_for(tmp_path):
    DENSE["nyu-v2"](tmp_path)
    (tmp_path / "class13Mapping.mat").unlink()
    with pytest.raises(UsageError, match=r"lacks class13Mapping\.mat \(GitHub VainF"):
        tasks.get(f"nyu-v2:{tmp_path}:13")
    (tmp_path / "classMapping40.mat").unlink()
    with pytest.raises(UsageError, match=r"lacks classMapping40\.mat: .* VainF"):
        tasks.get(f"nyu-v2:{tmp_path}")


def test_a_truncated_nyu_is_one_line(tmp_path):
    DENSE["nyu-v2"](tmp_path)
    file = tmp_path / "nyu_depth_v2_labeled.mat"
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(UsageError, match="is no whole HDF5 file"):
        loaded(tmp_path, "nyu-v2")
    assert len(made(tmp_path, "nyu-v2").check()) == 1


def test_nyus_keys_are_asked_for(tmp_path):
    import h5py
    from scipy.io import savemat

    DENSE["nyu-v2"](tmp_path)
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "a") as file:
        del file["depths"]
    with pytest.raises(UsageError, match="lacks depths"):
        loaded(tmp_path, "nyu-v2")
    savemat(tmp_path / "splits.mat", {"trainNdxs": np.array([[99]]), "other": 1})
    with pytest.raises(UsageError, match="lacks"):
        loaded(tmp_path, "nyu-v2")


def test_a_split_that_leaks_names_the_picture(tmp_path):
    DENSE["mfnet"](tmp_path)
    (tmp_path / "test.txt").write_text((tmp_path / "train.txt").read_text())
    with pytest.raises(UsageError, match="first: that of '00500D'"):
        loaded(tmp_path, "mfnet")


def test_cityscapes_numbers_become_the_nineteen(tmp_path):
    data, split = loaded(tmp_path, "cityscapes")
    values = dict(zip(ids(0, STREETS).ravel().tolist(), data.maps.data[split.test[0]].ravel().tolist(), strict=True))
    assert values[7] == 0
    assert values[33] == 18
    assert values[0] == values[3] == 255
    assert split.classes[values[26]] == "car"
    assert len(set(data.target.group[split.val].tolist())) == 1, "a city validates"


STREETS = [0, 3, 7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]


def test_voc_without_the_added_labels(tmp_path):
    voc(tmp_path, augmented=False)
    _, split = loaded(tmp_path, "voc")
    assert [len(part) for part in (split.train, split.val, split.test)] == [5, 1, 4]
    assert "train: 6 items, published are 1,464" in made(tmp_path, "voc").check()


def test_voc_lists_of_paths(tmp_path):
    voc(tmp_path)
    place = tmp_path / "ImageSets/Segmentation/trainaug.txt"
    lines = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in place.read_text().split()]
    place.unlink()
    (tmp_path / "train_aug.txt").write_text("\n".join(lines))
    _, split = loaded(tmp_path, "voc")
    assert [len(part) for part in (split.train, split.val, split.test)] == [11, 1, 4]


def test_camvid_parts_a_recording_and_says_so(tmp_path, caplog):
    loaded(tmp_path, "camvid")
    assert "the published split parts 1 groups (first: 0001TP)" in caplog.text


def test_names_from_the_files_beside_the_data(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert loaded(tmp_path / "a", "ade20k")[1].classes[149] == "thing 150, other name"
    split = loaded(tmp_path / "b", "coco-stuff")[1]
    assert split.classes[0] == "thing-1"
    assert split.absent == tuple(f"thing-{i}" for i in range(2, 183, 2))
    (tmp_path / "b/labels.txt").unlink()
    assert tasks.get(f"coco-stuff:{tmp_path / 'b'}").classes[181] == "label 182"


def test_vkittis_places_variants_and_units(tmp_path):
    vkitti2(tmp_path, together=True)
    data, split = loaded(tmp_path, "vkitti2")
    assert len(data.source) == 20
    centimetres = np.linspace(0, 65535, HIGH * WIDE).reshape(HIGH, WIDE).astype(np.uint16)
    assert np.abs(data.target.data[0, 0] - np.minimum(centimetres / 8000, 1) * 255).max() <= 0.5
    assert {data.concept_names[i].split("/")[0] for i in split.test} == {"Scene18"}
    clone, _ = loaded(tmp_path, "vkitti2", ":clone")
    assert len(clone.source) == 10
    assert tasks.get(f"vkitti2:{tmp_path}").card.origin == "rendered"


def test_kittis_disparity_keeps_whole_pixels(tmp_path):
    data, _ = loaded(tmp_path, "kitti-semantics")
    assert data.target.data[7, 0].tolist() == [[7] * WIDE] * HIGH


@pytest.mark.parametrize("name", DENSE)
def test_what_is_no_such_folder_says_what_is_due_and_where_to_ask(tmp_path, name):
    for argument, said in (("", "needs a path"), (f"{tmp_path}/nowhere", "is no folder")):
        with pytest.raises(UsageError, match=said) as caught:
            tasks.get(f"{name}:{argument}" if argument else name)
        assert "ask for the data at" in str(caught.value)
        assert "\n" not in str(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=f"lacks .*: task '{name}' reads" if name != "vkitti2" else "holds no scene"):
        tasks.get(f"{name}:{tmp_path / 'empty'}").load(SIZE, SIZE)


def spoiled(root: Path, name: str) -> list[str]:
    """Of a good copy: a picture cut short, a label out of range, a label of another size, a label that is gone."""
    task = made(root, name)
    picked = task.scenes()[:4]
    cut, strange, small, gone = (scene.source if i == 0 else scene.label for i, scene in enumerate(picked))
    whole = (root / cut).read_bytes()
    (root / cut).write_bytes(whole[: len(whole) // 2])
    if name == "vkitti2":
        write(root / strange, np.full((HIGH, WIDE, 3), 1, np.uint8))
        write(root / small, np.zeros((HIGH, WIDE - 1, 3), np.uint8))
    else:
        label(root / strange, np.full((HIGH, WIDE), 254))
        label(root / small, np.zeros((HIGH, WIDE - 1)))
    (root / gone).unlink()
    return [cut, strange, small, gone]


@pytest.mark.parametrize("name", [name for name in DENSE if name != "nyu-v2"])
def test_all_that_is_broken_is_listed_together(tmp_path, name):
    bad = spoiled(tmp_path, name)
    task = made(tmp_path, name)
    with pytest.raises(UsageError) as caught:
        task.load(SIZE, SIZE)
    said = str(caught.value)
    lines = task.check()
    for file in bad:
        assert f"{file} (" in said
        assert any(line.startswith(f"{file}: ") for line in lines)
    assert f"{bad[3]} (not found)" in said
    task.skip_bad = True
    data = task.load(SIZE, SIZE)
    assert set(data.skipped) == set(bad)
    split = data.split(0)
    used = {data.concept_names[i] for i in (*split.pairs_target, *split.val, *split.test)}
    assert len(used) == len(data.source) - 4


def test_single_modality_decodes_once(tmp_path):
    cityscapes(tmp_path)
    data = tasks.get(f"cityscapes:{tmp_path}").load(SIZE, SIZE)
    assert data.source.data.base.shape[1] == 4, "three planes of colour and one of labels"
