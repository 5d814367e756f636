"""A package that is not ours adds a method and a task by entry points: installed, listed and run, no file of ours."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.forks import ROOT

HERE = Path(__file__).parent / "external_package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """The environment in which the package is installed: in a folder of its own, without the index."""
    pytest.importorskip("setuptools", reason="what builds the package")
    folder = tmp_path_factory.mktemp("external")
    shutil.copytree(HERE, folder / "source", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "build"))
    words = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--target", str(folder / "site")]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", *words, str(folder / "source")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder / "site"), str(ROOT)])}


def xkd_bench(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "xkd_bench.cli", *words]
    return subprocess.run(program, capture_output=True, text=True, env=environment, timeout=300)


def test_what_it_adds_is_listed_with_the_package_it_comes_from(installed):
    for what, name in (("methods", "cosine"), ("tasks", "stripes")):
        listed = xkd_bench(installed, "list", what)
        (row,) = [line for line in listed.stdout.splitlines() if line.split()[:1] == [name]]
        assert "xkd-extra" in row
        assert "Found by its entry points" in row


def test_it_runs_from_the_command_line_beside_ours(installed, tmp_path):
    ended = xkd_bench(
        installed, "run", "--method", "cosine", "--option", "scale=2", "--task", "stripes", "--budget", "smoke",
        "--protocol", "linear-eval", "--device", "cpu", "--out", str(tmp_path / "out"), "--json",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert {row["method"] for row in json.loads(ended.stdout)} == {"cosine", "ssl", "sup-ft"}
    records = [json.loads(f.read_text()) for f in (tmp_path / "out" / "runs").glob("*/record.json")]
    mine = [r for r in records if r["spec"]["method"] == "cosine"]
    assert len(mine) == 3  # itself, with a random teacher, with shuffled pairs
    for record in mine:
        assert record["option_changes"] == {"scale": 2.0}
        assert record["provenance"] == "[STD] cosine distance"
        assert record["task"]["title"] == "Colour to grey stripes"
