"""VGGSound, read from a tiny copy in its published layout; and a manifest of sounds."""

from pathlib import Path

import numpy as np
import pytest

from tests.tasks.folders import picture
from tests.tasks.test_modalities import clip
from xkd_bench import tasks
from xkd_bench.errors import UsageError


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vgg")
    lines = []
    for i in range(20):
        video, start = f"-id{i:08d}", 10 * i
        lines.append(f'{video},{start},"{("playing drums", "dog, barking")[i % 2]}",{"test" if i >= 16 else "train"}')
        if i != 5:
            clip(root / f"video/{video}_{start:06d}.mp4", i, n=12, seconds=0.3)
    (root / "vggsound.csv").write_text("\n".join(lines) + "\n")
    return root


def test_frames_to_sound(place):
    task = tasks.get(f"vggsound:{place}")
    assert (task.card.source_kind, task.card.target_kind) == ("image", "audio")
    data = task.load(8, 16)
    assert data.source.data.shape == (19 * 12, 3, 8, 8)
    assert data.target.data.shape == (19, 1, 16, 16)
    split = data.split(0)
    assert split.classes == ("dog, barking", "playing drums")
    assert [data.concept_names[c] for c in data.target.concept[split.test]] == [
        f"-id{i:08d}_{10 * i:06d}" for i in range(16, 20)
    ]
    assert len(split.pairs_source) == 12 * len(split.pairs_target)
    assert data.target.data[0].max() > 3 * np.median(data.target.data[0]), "the tone is there"
    assert task.check() == ["1 of 20 clips are not there (first: -id00000005_000050)"]


def test_a_list_that_is_another(tmp_path):
    (tmp_path / "vggsound.csv").write_text("id,start,label,split\n")
    with pytest.raises(UsageError, match=r"vggsound\.csv', line 1: not id, start, label"):
        tasks.get(f"vggsound:{tmp_path}").load(8, 8)


def test_clips_without_sound_and_without_picture_are_listed_together(tmp_path):
    lines = []
    for i in range(8):
        lines.append(f"v{i},0,{'ab'[i % 2]},{'test' if i > 5 else 'train'}")
        clip(tmp_path / f"v{i}_000000.mp4", i, n=4, seconds=0.2, picture=i != 2)
    whole = (tmp_path / "v1_000000.mp4").read_bytes()
    (tmp_path / "v1_000000.mp4").write_bytes(whole[: len(whole) // 3])
    (tmp_path / "vggsound.csv").write_text("\n".join(lines))
    with pytest.raises(UsageError) as caught:
        tasks.get(f"vggsound:{tmp_path}").load(8, 8)
    assert "v2_000000.mp4 (broken: it has no picture)" in str(caught.value)
    assert "v1_000000.mp4 (" in str(caught.value)


def test_a_manifest_of_sounds(tmp_path):
    import wave

    rows = []
    for i in range(12):
        tone = (3000 * np.sin(2 * np.pi * (400 + 3000 * (i % 2)) * np.arange(4000) / 8000)).astype("<i2")
        with wave.open(str(tmp_path / f"{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(tone.tobytes())
        picture(tmp_path / f"s/{i}.png", i)
        rows.append(f"p{i},s/{i}.png,{i}.wav,{'ab'[i % 2]}")
    (tmp_path / "manifest.csv").write_text("\n".join(["pair_id,source,target,label", *rows]) + "\n")
    (tmp_path / "about.toml").write_text("seconds = 0.5\n")
    task = tasks.get(f"folder:{tmp_path}")
    assert task.card.target_kind == "audio"
    data = task.load(8, 32)
    assert data.target.data.shape == (12, 1, 32, 32)
    loudest = data.target.data[:, 0].astype(int).sum(2).argmax(1)
    assert (np.diff(loudest[::2]) == 0).all()
    assert (loudest[::2] > loudest[1::2]).all(), "low tones are below"
