"""Files are whole, the same each time, and nothing else is left behind."""

import errno
import os
import platform
import subprocess
from pathlib import Path

import pytest

from tests.report.frames import study
from xkd_bench import report
from xkd_bench.errors import UsageError
from xkd_bench.report import plots

RULE = "hyper-parameters chosen on validation data only"
COMMAND = "xkd-bench run --protocol few-shot --method cmc"


def write(folder: Path, name: str = "few-shot", **over: object) -> list[Path]:
    df = study(("cmc", "ssl"), shots=(1, 5), draws=2, **over)  # type: ignore[arg-type]
    return report.write(df, folder, name, RULE, COMMAND)


def test_five_files_come_out_and_the_markdown_shows_the_plot_and_the_command(tmp_path: Path) -> None:
    paths = write(tmp_path / "new" / "folder")
    assert [path.name for path in paths] == [f"few-shot.{end}" for end in ("md", "csv", "tex", "png", "svg")]
    assert sorted(path.name for path in paths[0].parent.iterdir()) == sorted(path.name for path in paths)
    text = paths[0].read_text()
    assert "](few-shot.png)" in text
    assert f"```sh\n{COMMAND}\n```" in text
    assert r"\label{tab:few-shot}" in paths[2].read_text()
    assert paths[3].read_bytes().startswith(b"\x89PNG")
    assert paths[4].read_bytes().startswith(b"<?xml")


def test_writing_again_gives_the_same_bytes_and_replaces_what_was_there(tmp_path: Path) -> None:
    before = [path.read_bytes() for path in write(tmp_path)]
    assert [path.read_bytes() for path in write(tmp_path)] == before
    after = [path.read_bytes() for path in write(tmp_path, rng=1)]
    assert all(a != b for a, b in zip(after, before, strict=True))


def test_nothing_is_written_when_something_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(figure: object) -> bytes:
        raise RuntimeError("no font")

    monkeypatch.setattr(plots, "svg", broken)
    with pytest.raises(RuntimeError, match="no font"):
        write(tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    old = write(tmp_path)[0].read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, full)
    with pytest.raises(UsageError, match=r"cannot write to .*: No space left on device"):
        write(tmp_path, rng=1)
    assert (tmp_path / "few-shot.md").read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("name", ["", "a/b", "../a", ".hidden", "a b"])
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no name for files"):
        write(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_goes_and_a_living_ones_stays(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    here = f".few-shot.md.{platform.node()}"
    left, others = tmp_path / f"{here}.{gone.pid}.tmp", tmp_path / f"{here}.{os.getppid()}.tmp"
    left.write_text("half")
    others.write_text("being written")
    write(tmp_path)
    assert not left.exists()
    assert others.exists()
