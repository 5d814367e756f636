"""`xkd-bench data`: what there is, whether it is here and whole, and what it looks like."""

import shlex

import pytest
from PIL import Image

from tests.cli.program import xkd
from tests.tasks.folders import manifest, pairs
from xkd_bench.cli.run import _command


def test_the_list_says_of_every_task_what_it_is_and_whether_it_is_here(loaded):
    ended = xkd(loaded, "data", "list")
    assert ended.code == 0, ended.err
    rows = {line.split()[0]: line for line in ended.out.splitlines() if line.strip()}
    assert {"task", "doodle", "emoji", "emoji-sketch", "folder", "toy"} <= set(rows)
    assert rows["doodle"].split()[1:6] == ["classification", "class", "real", "–", "ready"]
    assert rows["emoji"].split()[4:8] == ["34.5", "MB", "not", "prepared"]
    assert rows["toy"].split()[3] == "simulated"
    assert rows["folder"].split()[4:6] == ["–", "yours"]
    assert rows["digits"].split()[4:10] == ["11.5", "MB", "yours", "+", "not", "prepared"]


def test_a_task_that_is_not_prepared_is_one_line_wherever_it_is_used(loaded, tmp_path):
    name = "emoji:noto>openmoji-line"
    line = f"xkd-bench: task '{name}' is not prepared: xkd-bench data prepare '{name}'\n"
    for command in (["run", "--budget", "smoke", "--out", str(tmp_path), "-t"], ["data", "show"], ["gap", "--task"]):
        ended = xkd(loaded, *command, name, cwd=tmp_path)
        assert (ended.code, ended.err) == (2, line), command
    assert not [f for f in tmp_path.rglob("*") if f.is_file()], "nothing half-written"


def test_the_command_beside_a_table_can_be_pasted_into_a_shell():
    task = "emoji:noto>noto@blur=0.4"
    request = {"methods": ["cmc"], "protocol": "few-shot", "task": task, "budget": "smoke"}
    words = shlex.split(_command(request, []), comments=True)
    assert words[words.index("--task") + 1] == task
    assert ">" not in _command(request, []).replace(f"'{task}'", "")


def test_prepare_where_there_is_nothing_to_fetch(loaded):
    ended = xkd(loaded, "data", "prepare", "toy")
    assert ended.code == 0, ended.err
    assert ended.out == "task 'toy' is prepared (it comes with xkd-bench, or is yours)\n"


def test_prepare_without_npm_lists_all_that_cannot_be_had(loaded, tmp_path):
    prelude = f"import os; os.environ.update(PATH='', XKD_BENCH_CACHE={str(tmp_path)!r})"
    ended = xkd(loaded, "data", "prepare", "emoji", prelude=prelude)
    assert ended.code == 2
    last = ended.err.splitlines()[-1]
    assert last.startswith("xkd-bench: 3 of 3 packages could not be had: npm is needed to fetch openmoji 17.0.0")
    assert last.count("install Node.js") == 3


def test_check_counts_and_splits(loaded):
    ended = xkd(loaded, "data", "check", "toy@noise=0.2", "--budget", "smoke")
    assert ended.code == 0, ended.err
    rows = [line.split() for line in ended.out.splitlines()]
    assert ["source", "96", "3", "×", "32", "×", "32", "uint8", "96", "96"] in rows
    assert ["4", "56", "56", "56", "16", "24", "4", "0"] in rows, "seed 4"
    assert ended.out.endswith("task 'toy@noise=0.2' is in order\n")


def test_check_lists_what_is_missing(loaded, tmp_path):
    ended = xkd(loaded, "data", "check", "emoji", prelude=f"import os; os.environ['XKD_BENCH_CACHE']={str(tmp_path)!r}")
    assert ended.code == 2
    lines = ended.err.splitlines()
    assert lines[0] == "xkd-bench: task 'emoji' is not in order:"
    assert lines[1:4] == [
        "  openmoji 17.0.0 is not here",
        "  @lobehub/fluent-emoji-3d 1.1.0 is not here",
        "  @iconify-json/fluent-emoji 1.2.7 is not here",
    ]
    assert lines[4].endswith("xkd-bench data prepare emoji")


def test_check_names_the_broken_files_of_a_folder(loaded, tmp_path):
    name = manifest(tmp_path / "own", pairs(24))
    next((tmp_path / "own").rglob("*.png")).write_bytes(b"no image")
    ended = xkd(loaded, "data", "check", name)
    assert ended.code == 2
    assert "1 of 48 images" in ended.err
    assert "(no image)" in ended.err


def test_show_writes_a_sheet_of_pairs(loaded, tmp_path):
    ended = xkd(loaded, "data", "show", "toy@blur=0.5", "--budget", "smoke", "--out", str(tmp_path))
    assert ended.code == 0, ended.err
    path = tmp_path / "tasks" / "toy@blur=0.5.png"
    assert ended.out == f"written: {path}\n"
    with Image.open(path) as sheet:
        assert len(sheet.convert("RGB").getcolors(1 << 20)) > 50


@pytest.mark.parametrize("command", ["check", "show"])
def test_an_unknown_budget_is_refused(loaded, command):
    ended = xkd(loaded, "data", command, "toy", "--budget", "laptob")
    assert ended.code == 2
    assert "did you mean 'laptop'" in ended.err


def test_a_sheet_that_cannot_be_written_is_one_line(loaded, tmp_path):
    (tmp_path / "out").write_text("a file where the folder should be")
    ended = xkd(loaded, "data", "show", "emoji-sketch", "--budget", "smoke", "--out", str(tmp_path / "out"))
    assert ended.code == 2
    assert ended.err.strip().splitlines()[-1].startswith("xkd-bench: cannot write to ")
    assert "Traceback" not in ended.err
