"""The store: whole folders or none, one maker a key, corrupt ones made again, full disks said in one line."""

import errno
import json
import logging
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from xkd_bench import store as store_module
from xkd_bench.errors import UsageError
from xkd_bench.store import CHECKSUMS, Store


def write(text: str = "content"):
    def make(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)
        (folder / "b.bin").write_bytes(bytes(range(256)))

    return make


def never(folder: Path) -> None:
    raise AssertionError("made again")


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "results")


def everything(store: Store) -> set[str]:
    """Files and folders of the store, but for its locks."""
    found = {str(f.relative_to(store.root)) for f in store.root.rglob("*")}
    return {name for name in found if not name.startswith("artefacts/locks")}


def test_nothing_is_created_before_the_first_write(store):
    assert not store.has("students", "k")
    assert store.records() == []
    assert not store.root.exists()


def test_a_stage_is_made_once_and_found_again(store):
    folder = store.compute("students", "k", write())
    assert (folder / "sub" / "a.txt").read_text() == "content"
    assert store.has("students", "k")
    assert store.compute("students", "k", never) == folder
    assert Store(store.root).compute("students", "k", never) == folder  # another process, later
    assert folder == store.folder("students", "k") == store.root / "artefacts" / "students" / "k"
    assert store.folder("runs", "r") == store.root / "runs" / "r"


def test_a_stage_that_breaks_leaves_nothing(store):
    def breaks(folder: Path) -> None:
        write()(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.compute("students", "k", breaks)
    assert everything(store) == {"artefacts", "artefacts/students"}
    assert not store.has("students", "k")
    store.compute("students", "k", write())


def test_a_folder_appears_only_when_it_is_whole(store):
    def looks(folder: Path) -> None:
        write()(folder)
        assert not store.folder("students", "k").exists()
        assert not store.has("students", "k")

    store.compute("students", "k", looks)
    assert store.has("students", "k")


def test_what_a_killed_process_left_is_swept_away(store):
    stale = store.root / "artefacts" / "students" / ".k.99999"
    stale.mkdir(parents=True)
    (stale / "half").write_text("x")
    other = stale.with_name(".other.99999")
    other.mkdir()
    store.compute("students", "k", write())
    assert not stale.exists()
    assert other.exists()  # of another key: its own maker's


def test_the_checkpoint_of_a_stage_outlives_a_break_and_goes_when_it_is_whole(store):
    work = store.work_folder("students", "k")

    def breaks(folder: Path) -> None:
        work.mkdir()
        (work / "checkpoint.pt").write_text("state")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.compute("students", "k", breaks)
    assert (work / "checkpoint.pt").exists()
    store.compute("students", "k", write())
    assert not work.exists()


DAMAGES = {
    "a changed byte": lambda f: (f / "b.bin").write_bytes(bytes([9]) + bytes(range(1, 256))),
    "a truncated file": lambda f: (f / "b.bin").write_bytes(bytes(range(100))),
    "an empty file": lambda f: (f / "sub" / "a.txt").write_text(""),
    "a missing file": lambda f: (f / "b.bin").unlink(),
    "no checksums": lambda f: (f / CHECKSUMS).unlink(),
    "broken checksums": lambda f: (f / CHECKSUMS).write_text("{"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupt_stage_is_noticed_and_made_again(store, damage, caplog):
    folder = store.compute("students", "k", write("old"))
    DAMAGES[damage](folder)
    with caplog.at_level(logging.WARNING, "xkd_bench"):
        store.compute("students", "k", write("new"))
    assert (folder / "sub" / "a.txt").read_text() == "new"
    assert "students/k is corrupt" in caplog.text
    assert store.compute("students", "k", never) == folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_corrupt_record_is_no_record(store, damage):
    def make(folder: Path) -> None:
        write()(folder)
        (folder / "record.json").write_text(json.dumps({"key": folder.name}))

    folder = store.compute("runs", "k", make)
    assert len(store.records()) == 1
    DAMAGES[damage](folder)
    assert store.records() == []


# --- what the disk refuses ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("where", ["make", "mkdir", "replace"])
def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(store, monkeypatch, where, code):
    store.compute("students", "before", write())
    known = everything(store)

    def refuse(*args, **options):
        raise OSError(code, os.strerror(code), "somewhere")

    with monkeypatch.context() as patch:
        if where == "mkdir":
            patch.setattr(Path, "mkdir", refuse)
        elif where != "make":
            patch.setattr(store_module.os, where, refuse)
        with pytest.raises(UsageError) as caught:
            store.compute("students", "k", refuse if where == "make" else write())
    assert f"cannot write to {store.root}" in str(caught.value)
    assert os.strerror(code) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything(store) == known
    store.compute("students", "k", write())  # with space again, it goes on


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UsageError, match=r"cannot write to .*: Not a directory; .*choose another --out"):
        Store(tmp_path / "file" / "results").compute("students", "k", write())
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_a_lock_that_cannot_be_written_is_one_line(store, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError(errno.EACCES, "Permission denied", "lock")

    monkeypatch.setattr(store_module.FileLock, "acquire", refuse)
    with pytest.raises(UsageError, match=r"cannot write to .*: Permission denied"):
        store.compute("students", "k", write())


def test_an_error_of_the_maker_that_is_not_the_disks_keeps_its_kind(store):
    def breaks(folder: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.compute("students", "k", breaks)


# --- several at once ------------------------------------------------------------------------------------------------


def test_many_at_once_make_a_stage_once(store):
    made, seen, start = [], [], threading.Barrier(8)

    def slow(folder: Path) -> None:
        made.append(folder)
        time.sleep(0.2)
        write()(folder)

    def ask() -> None:
        start.wait()
        folder = Store(store.root).compute("students", "k", slow)
        seen.append((folder / "sub" / "a.txt").read_text())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert seen == ["content"] * 8


def test_different_keys_are_made_side_by_side(store):
    # Each waits for the other to have begun: with one lock for all, neither would end.
    begun = threading.Barrier(2, timeout=20)
    ended = []

    def make(folder: Path) -> None:
        begun.wait()
        write()(folder)
        ended.append(folder)

    threads = [threading.Thread(target=store.compute, args=("students", key, make)) for key in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 2


# --- records --------------------------------------------------------------------------------------------------------


def put_record(store: Store, key: str, correct: np.ndarray | None = None) -> None:
    def make(folder: Path) -> None:
        (folder / "record.json").write_text(json.dumps({"key": key}))
        if correct is not None:
            np.savez(folder / "correct.npz", packed=np.packbits(correct, axis=1), n_test=correct.shape[1])

    store.compute("runs", key, make)


def test_records_are_in_the_order_of_their_keys_and_unfinished_ones_are_none(store):
    for key in ("b2", "a1", "b1"):
        put_record(store, key)
    (store.root / "runs" / ".c1.4711").mkdir()
    (store.root / "runs" / "d1").mkdir()
    assert [r["key"] for r in store.records()] == ["a1", "b1", "b2"]
    assert store.record("b2") == {"key": "b2"}


def test_a_key_is_found_by_its_first_characters_if_they_are_enough(store):
    for key in ("b2", "a1", "b1"):
        put_record(store, key)
    assert store.find("a") == "a1"
    assert store.find("b2") == "b2"
    with pytest.raises(UsageError, match=r"2 records in .* with a key that begins with 'b'"):
        store.find("b")
    with pytest.raises(UsageError, match=r"no record in .* with a key that begins with 'c'"):
        store.find("c")


@pytest.mark.parametrize("n", [1, 7, 8, 9, 24])
def test_per_item_correctness_survives_packing(store, n):
    correct = np.random.default_rng(n).random((3, n)) < 0.5
    put_record(store, "k", correct)
    assert np.array_equal(store.correct("k"), correct)
    assert store.correct("k").dtype == bool
