"""Rendered scenes in blocks: what is there stays, what is missing or damaged is made, whatever happened before."""

import subprocess
import sys
import time

import numpy as np
import pytest

from tests.forks import ROOT
from tests.tasks.block_worker import SIZE, blocks, scene
from xkd_bench.errors import UsageError
from xkd_bench.tasks._packages import silent


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))


@pytest.fixture
def made(tmp_path):
    """Asks which blocks were rendered since it was last asked."""

    def ask() -> list[int]:
        log = tmp_path / "log"
        lines = sorted(int(line) for line in log.read_text().split()) if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    return ask


def assert_whole(scenes: int) -> None:
    for number in range(scenes):
        planes, facts = blocks().read(number)
        expected, _ = scene(number)
        assert planes.keys() == expected.keys()
        assert all(np.array_equal(planes[name], expected[name]) for name in planes)
        assert planes["depth"].dtype == np.uint16
        assert facts == {"number": number}


def test_scenes_are_made_once_and_more_are_added(made):
    heard = []
    assert not blocks().ready(6)
    blocks().make(6, lambda *said: heard.append(said))
    assert_whole(2 * SIZE)
    assert made() == [0, 4]
    assert [done for _, done, _ in heard] == list(range(1, 9)), "a step a scene"
    assert {(what, total) for what, _, total in heard} == {("rendering", 8)}
    assert blocks().ready(8)
    assert not blocks().ready(9)
    heard.clear()
    blocks().make(12, lambda *said: heard.append(said))
    assert made() == [8]
    assert heard[0] == ("rendering", 8, 12), "what is there counts as done"
    blocks().make(12, silent)
    assert made() == []
    assert_whole(12)


def test_killed_anywhere_it_goes_on_and_gives_the_same(made, tmp_path, monkeypatch):
    monkeypatch.setenv("TOY_SECONDS", "0.05")
    command = [sys.executable, "-m", "tests.tasks.block_worker", "make", "24"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not blocks().files(24)[1].exists() and time.monotonic() < end:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert blocks().files(24)[1].exists(), "it began"
    assert not blocks().ready(24), "and did not end"
    (blocks().folder / "scenes-000008.77.tmp").write_bytes(b"half a block")
    made()
    monkeypatch.delenv("TOY_SECONDS")
    blocks().make(24, silent)
    again = made()
    assert 20 in again
    assert 4 not in again
    assert_whole(24)
    assert not list(blocks().folder.glob("*.77.tmp"))


def test_damage_is_found_and_mended(made):
    blocks().make(20, silent)
    made()
    shorter, flipped, empty, gone, whole = blocks().files(20)
    data = flipped.read_bytes()
    middle = len(data) // 3
    shorter.write_bytes(data[: len(data) // 2])
    flipped.write_bytes(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])
    empty.write_bytes(b"")
    gone.unlink()
    before = whole.stat().st_mtime_ns
    lines = blocks().damage(20)
    assert [line.split(" (")[0] for line in lines] == [
        *(f"'{file}' is damaged" for file in (shorter, flipped, empty)),
        f"'{gone}' is missing",
    ]
    assert all("\n" not in line for line in lines)
    blocks().make(20, silent)
    assert made() == [0, 4, 8, 12]
    assert whole.stat().st_mtime_ns == before
    assert blocks().damage(20) == []
    assert_whole(20)


def test_a_worker_that_fails_is_one_line_and_what_is_done_stays(made, monkeypatch):
    blocks().make(SIZE, silent)
    monkeypatch.setenv("TOY_BREAKS_AT", "6")
    with pytest.raises(UsageError) as caught:
        blocks().make(12, silent)
    assert str(caught.value) == "scenes 4 to 7 could not be rendered (in this room)"
    assert blocks().ready(SIZE)
    assert not blocks().files(8)[1].exists()
    assert not [file for file in blocks().folder.glob("*.tmp") if file.stem.startswith("scenes-000004")]
    monkeypatch.delenv("TOY_BREAKS_AT")
    blocks().make(12, silent)
    assert_whole(12)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "rendered").write_text("a file where a folder should be")
    with pytest.raises(UsageError, match="scenes cannot be kept in") as caught:
        blocks().make(4, silent)
    assert "\n" not in str(caught.value)
