"""The cache: what is read is what was made, whatever happened in between."""

import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from xkd_bench.tasks import _cache
from xkd_bench.tasks._cache import cache_dir, cached, sha256

ARRAY = np.arange(60_000, dtype=np.uint8).reshape(100, 3, 10, 20)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Build:
    """Makes ARRAY in the room it is given, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, allocate):
        self.calls += 1
        out = allocate(ARRAY.shape)
        out[:] = ARRAY
        return out


def test_made_once_then_mapped(folder):
    build = Build()
    for _ in range(3):
        array, digest = cached("a", "key", build)
        assert (array == ARRAY).all()
        assert digest == sha256(ARRAY)
    assert build.calls == 1
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable


def test_keys_and_names_are_kept_apart(folder):
    build = Build()
    for name, key in (("a", "1"), ("a", "2"), ("b", "1")):
        cached(name, key, build)
    assert build.calls == 3


@pytest.mark.parametrize("dtype", ["float16", "int32"])
def test_other_types_have_room_and_copies_of_their_own(folder, dtype):
    values = np.linspace(-3, 3, 24).reshape(2, 3, 4).astype(dtype)

    def build(allocate):
        out = allocate(values.shape)
        assert out.dtype == dtype
        out[:] = values
        return out

    cached("a", "key", Build())
    for _ in range(2):
        array, digest = cached("a", "key", build, dtype)
        assert array.dtype == dtype
        assert (array == values).all()
        assert digest == sha256(values)
        assert isinstance(array, np.memmap)
    assert len(list(folder.glob("*.npy"))) == 2


def test_an_array_made_elsewhere_is_kept_too(folder):
    array, digest = cached("a", "key", lambda allocate: ARRAY.copy())
    assert digest == sha256(ARRAY)
    assert isinstance(array, np.memmap)


def _damage(kind: str, folder: Path) -> None:
    data, note = next(folder.glob("*.npy")), next(folder.glob("*.json"))
    content = bytearray(data.read_bytes())
    if kind == "truncated":
        data.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        data.write_bytes(b"")
    elif kind == "flipped":
        content[len(content) // 2] ^= 1
        data.write_bytes(content)
    elif kind == "other shape":
        np.save(data, ARRAY.reshape(-1))
    elif kind == "no note":
        note.unlink()
    elif kind == "broken note":
        note.write_text("{")
    elif kind == "note of a list":
        note.write_text("[1]")


@pytest.mark.parametrize(
    "kind", ["truncated", "empty", "flipped", "other shape", "no note", "broken note", "note of a list"]
)
def test_a_damaged_copy_is_made_anew(folder, kind, caplog):
    build = Build()
    cached("a", "key", build)
    _damage(kind, folder)
    with caplog.at_level(logging.WARNING):
        array, digest = cached("a", "key", build)
    assert build.calls == 2
    assert (array == ARRAY).all()
    assert digest == sha256(ARRAY)
    assert len(caplog.records) == (0 if kind == "no note" else 1)
    cached("a", "key", build)
    assert build.calls == 2


def test_a_failed_build_leaves_nothing(folder):
    def fails(allocate):
        allocate(ARRAY.shape)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        cached("a", "key", fails)
    assert not list(folder.glob("*.npy")) + list(folder.glob("*.tmp")) + list(folder.glob("*.json"))
    assert (cached("a", "key", Build())[0] == ARRAY).all()


def _slow_build(started, allocate):
    out = allocate(ARRAY.shape)
    out[:50] = ARRAY[:50]
    started.set()
    time.sleep(60)
    return out


def _be_killed(started) -> None:
    cached("a", "key", lambda allocate: _slow_build(started, allocate))


def test_killed_while_writing(folder):
    context = multiprocessing.get_context("fork")
    started = context.Event()
    process = context.Process(target=_be_killed, args=(started,))
    process.start()
    assert started.wait(20)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert list(folder.glob("*.tmp")), "it was killed in the middle"
    array, _ = cached("a", "key", Build())
    assert (array == ARRAY).all()
    assert not list(folder.glob("*.tmp"))


def _count_build(path: str, barrier) -> None:
    def build(allocate):
        with open(path, "a") as file:
            file.write("x")
        time.sleep(0.3)
        return ARRAY.copy()

    barrier.wait()
    array, digest = cached("a", "key", build)
    assert (array == ARRAY).all()
    assert digest == sha256(ARRAY)


def test_two_processes_at_once_build_once(folder, tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(2)
    processes = [context.Process(target=_count_build, args=(str(tmp_path / "count"), barrier)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "count").read_text() == "x"


def test_a_cache_that_cannot_be_written_is_done_without(folder, caplog):
    folder.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        array, digest = cached("a", "key", Build())
    assert (array == ARRAY).all()
    assert digest == sha256(ARRAY)
    assert len(caplog.records) == 1


def test_a_full_disk_is_done_without(folder, monkeypatch, caplog):
    def full(path, shape, dtype):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_cache, "_room", full)
    monkeypatch.setattr(_cache, "_keep", lambda path, array, digest: full(path, None, None))
    array, digest = cached("a", "key", Build())
    assert (array == ARRAY).all()
    assert digest == sha256(ARRAY)
    assert "No space left" in caplog.text


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path / "own"))
    assert cache_dir() == tmp_path / "own"
    monkeypatch.delenv("XKD_BENCH_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "xkd-bench"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_dir() == tmp_path / "home" / ".cache" / "xkd-bench"


def test_digest_tells_shape_type_and_borders():
    flat = np.arange(6, dtype=np.uint8)
    different = [
        sha256(flat),
        sha256(flat.reshape(2, 3)),
        sha256(flat.astype(np.int64)),
        sha256("ab", "c"),
        sha256("a", "bc"),
        sha256(np.zeros((0, 3), np.uint8)),
    ]
    assert len(set(different)) == len(different)
    assert sha256(flat[::2]) == sha256(flat[::2].copy())
