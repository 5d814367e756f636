"""Several processes of one command: their numbers, exit codes, and what ended them, said once."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from tests.forks import ROOT
from xkd_bench.errors import UsageError
from xkd_bench.processes import launch

MARGIN_S = 20


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def command(body: str) -> list[str]:
    """A program that does this together with the others; `rank` is its number."""
    lines = "\n    ".join(body.strip().splitlines())
    code = f"""
import os, signal, sys, time
from pathlib import Path
from xkd_bench import processes
from xkd_bench.errors import TrainingError, UsageError
rank = int(os.environ["RANK"])
with processes.together():
    {lines}
"""
    return [sys.executable, "-c", code]


def test_each_has_a_number_and_the_first_speaks(capfd):
    body = """
assert processes.is_one_of_several()
names = ("LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "MASTER_ADDR")
line = " ".join(str(part) for part in (rank, *(os.environ[n] for n in names), processes.is_first()))
os.write(1, f"{line}\\n".encode())  # in one piece: two processes write at once
"""
    assert launch(command(body), 2) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["0 0 2 0 127.0.0.1 True", "1 1 2 0 127.0.0.1 False"]


def test_the_second_machines_processes_are_numbered_after_the_firsts(capfd, monkeypatch):
    for name, value in {"NODE_RANK": "1", "MASTER_ADDR": "first", "MASTER_PORT": "5"}.items():
        monkeypatch.setenv(name, value)
    assert launch(command("print(rank, os.environ['MASTER_ADDR'], os.environ['MASTER_PORT'], flush=True)"), 2, 3) == 0
    assert sorted(capfd.readouterr().out.splitlines()) == ["2 first 5", "3 first 5"]


def test_an_error_that_all_meet_is_said_once(capfd):
    assert launch(command('raise UsageError("no such task")'), 3) == 2
    assert capfd.readouterr().err == "xkd-bench: no such task\n"


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_of_one_ends_all_and_its_echo_says_nothing(rank, capfd):
    # What the others meet when it is gone is a broken connection.
    body = f"""
if rank == {rank}:
    raise TrainingError("loss nan at step 3")
time.sleep(0.2)
raise RuntimeError("connection closed by peer")
"""
    started = time.monotonic()
    assert launch(command(body), 2) == 3 or rank == 1
    assert time.monotonic() - started < MARGIN_S
    assert capfd.readouterr().err == "xkd-bench: loss nan at step 3\n"


def test_an_error_that_is_not_ours_shows_where_it_came_up(capfd):
    assert launch(command("if rank == 1: raise ZeroDivisionError('a bug')\ntime.sleep(60)"), 2) == 1
    said = capfd.readouterr().err
    assert said.count("Traceback") == 1
    assert "ZeroDivisionError: a bug" in said


def test_a_process_that_is_killed_ends_all(capfd):
    assert launch(command("if rank == 1: os.kill(os.getpid(), signal.SIGKILL)\ntime.sleep(60)"), 2) == 128 + 9
    assert capfd.readouterr().err == "xkd-bench: process 1 of 2 was ended by SIGKILL\n"


def test_none_outlives_a_launcher_that_is_killed(tmp_path, bare):
    body = f"Path({str(tmp_path)!r}, str(rank)).write_text(str(os.getpid()))\ntime.sleep(60)"
    (ended,) = bare.run(
        f"""
import os, signal, threading, time
from pathlib import Path
from xkd_bench.processes import launch

def killed():
    while len(list(Path({str(tmp_path)!r}).iterdir())) < 2:
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)

threading.Thread(target=killed).start()
launch({command(body)!r}, 2)
"""
    )
    assert ended.code == -signal.SIGKILL
    deadline = time.monotonic() + MARGIN_S
    alive = [int(file.read_text()) for file in tmp_path.iterdir()]
    assert len(alive) == 2
    while alive and time.monotonic() < deadline:
        alive = [process for process in alive if Path(f"/proc/{process}").exists() and not _is_zombie(process)]
        time.sleep(0.1)
    assert not alive


def _is_zombie(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split(")")[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("devices", "nodes", "said"), [(0, 1, "at least one of each"), (2, 2, "NODE_RANK, MASTER_ADDR, MASTER_PORT")]
)
def test_what_cannot_be_launched_is_refused(devices, nodes, said):
    with pytest.raises(UsageError, match=said):
        launch(["true"], devices, nodes)


def test_this_process_is_alone():
    assert "RANK" not in os.environ
