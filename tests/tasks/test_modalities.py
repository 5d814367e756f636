"""A manifest's items of other modalities than images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tasks.folders import manifest, pairs, picture
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks._modalities import FRAMES, frames, sound


def arrays(root: Path, make, n: int = 24) -> str:
    """A manifest from pictures to arrays."""
    rows = [f"p{i},s/{i}.png,t/{i}.npy,{'ab'[i % 2]}" for i in range(n)]
    (root / "t").mkdir(parents=True)
    for i in range(n):
        np.save(root / f"t/{i}.npy", make(i))
    return manifest(root, rows)


def test_vectors(tmp_path):
    name = arrays(tmp_path, lambda i: np.arange(5) + 0.5 * i)
    card = tasks.get(name).card
    assert (card.source_kind, card.target_kind) == ("image", "vector")
    data = tasks.get(name).load(8, 8)
    assert data.target.data.dtype == np.float32
    assert np.array_equal(data.target.data, np.arange(5) + 0.5 * np.arange(24)[:, None])
    data.split(0)


def test_stacks_of_planes_are_images(tmp_path):
    name = arrays(tmp_path, lambda i: np.full((5, 12, 20), 10 * i, np.uint8))
    data = tasks.get(name).load(8, 8)
    assert tasks.get(name).card.target_kind == "image"
    assert data.target.data.shape == (24, 5, 8, 8)
    assert (data.target.data[7] == 70).all()


@pytest.mark.parametrize(("bad", "said"), [
    (np.arange(4.0), r"t/3\.npy \(shape \(16,\), where others have \(20,\)\)"),
    (np.array([1, 2, np.nan, 3, 4]), r"t/3\.npy \(broken: it has entries that are not finite\)"),
    (np.ones((2, 2)), r"t/3\.npy \(broken: it is no vector of numbers, but float64 \[2, 2\]\)"),
    (np.array([{}] * 5, object), r"t/3\.npy \(broken: Object arrays cannot be loaded"),
])  # fmt: skip
def test_arrays_that_are_no_good(tmp_path, bad, said):
    name = arrays(tmp_path, lambda i: np.arange(5.0))
    np.save(tmp_path / "t/3.npy", bad, allow_pickle=True)
    with pytest.raises(UsageError, match=said):
        tasks.get(name).load(8, 8)


def test_one_modality_a_side(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(3))
    name = manifest(tmp_path, [*pairs(12), "x,s/x.png,x.npy,a"])
    with pytest.raises(UsageError, match=r"target items are of two sorts: 't/0\.png' \(image\) and 'x\.npy' \(array\)"):
        tasks.get(name)


def clip(path: Path, seed: int = 0, n: int = 24, seconds: float = 1.0, picture: bool = True, rate: int = 16000) -> None:
    """Frames of rising grey, with a tone of 440 Hz."""
    av = pytest.importorskip("av")
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as out:
        video = out.add_stream("mpeg4", rate=24) if picture else None
        audio = out.add_stream("aac", rate=rate, layout="mono")
        if video is not None:
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            for i in range(n):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 10 * i + seed % 5, np.uint8), format="rgb24")
                out.mux(video.encode(frame))
            out.mux(video.encode())
        wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * rate)) / rate).astype(np.float32)
        for start in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
            frame.rate = rate
            frame.pts = start
            out.mux(audio.encode(frame))
        out.mux(audio.encode())


def test_frames_are_evenly_spaced(tmp_path):
    clip(tmp_path / "a.mp4")
    found = frames(tmp_path / "a.mp4", 4, 8)
    assert found.shape == (4, 3, 8, 8)
    assert np.abs(found.mean((1, 2, 3)) - [30, 90, 150, 210]).max() < 6
    assert frames(tmp_path / "a.mp4", 48, 8).shape[0] == 48


def test_the_sound_of_a_clip(tmp_path):
    clip(tmp_path / "a.mp4", seconds=2)
    wave = sound(tmp_path / "a.mp4", 8000)
    assert len(wave) == pytest.approx(16000, rel=0.1)
    spectrum = np.abs(np.fft.rfft(wave[2000:10000]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=2)


def test_clips_are_their_frames(tmp_path):
    rows = [f"p{i},s/{i}.mp4,t/{i}.png,{'ab'[i % 2]}" for i in range(12)]
    for i in range(12):
        clip(tmp_path / f"s/{i}.mp4", i, seconds=0.2)
        picture(tmp_path / f"t/{i}.png", i)
    (tmp_path / "manifest.csv").write_text("\n".join(["pair_id,source,target,label", *rows]) + "\n")
    task = tasks.get(f"folder:{tmp_path}")
    data = task.load(8, 8)
    assert data.source.data.shape == (12 * FRAMES, 3, 8, 8)
    assert data.source.concept.tolist() == np.repeat(np.arange(12), FRAMES).tolist()
    split = data.split(0)
    assert len(split.pairs_source) == FRAMES * len(split.pairs_target)
    Image.new("RGB", (8, 8)).save(tmp_path / "x.png")
    (tmp_path / "s/3.mp4").write_bytes(b"no clip at all")
    with pytest.raises(UsageError, match=r"1 of 24 files in .* cannot be read: s/3\.mp4 \("):
        task.load(8, 8)
    task.skip_bad = True
    assert task.load(8, 8).skipped == ("s/3.mp4",)
