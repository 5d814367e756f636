"""`xkd-bench bench`: what it names, writes and says."""

import re

import pandas as pd

from tests.cli.program import xkd
from xkd_bench.benchmarks import BENCHMARKS

STUB = """
import pandas as pd
from xkd_bench import benchmarks
from xkd_bench.benchmarks import result
def run(options):
    options.tick(1, 2, "half")
    frame = pd.DataFrame({"what": ["x"], "ms": [1.5]})
    return benchmarks.Result("A stub", "w", frame, targets=(benchmarks.Target("slow", 2.0, 1.0),))
benchmarks.load = result.load = lambda name: run
"""


def test_help_names_every_benchmark(loaded):
    text = xkd(loaded, "bench", "--help", prelude="import os; os.environ['COLUMNS'] = '400'").out
    for name in BENCHMARKS:
        assert re.search(rf"\b{name}\b", text), name


def test_an_unknown_name_is_one_line_before_anything_runs(loaded, tmp_path):
    ended = xkd(loaded, "bench", "scaling", "scalling", "--out", str(tmp_path / "out"), "--device", "cpu")
    assert ended.code == 2
    [line] = ended.lines
    assert line.startswith("xkd-bench: unknown benchmark 'scalling': did you mean 'scaling'? ")
    assert list(tmp_path.iterdir()) == []


def test_a_device_that_is_not_here_is_one_line(loaded, tmp_path):
    no_cuda = "import torch; torch.cuda.is_available = lambda: False"
    ended = xkd(loaded, "bench", "scaling", "--device", "cuda", "--out", str(tmp_path / "out"), prelude=no_cuda)
    assert ended.code == 2
    assert "torch sees no CUDA device here" in ended.lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_missed_target_is_told_and_the_exit_code_is_0(loaded, tmp_path):
    ended = xkd(loaded, "bench", "scaling", "few-shot", "--out", str(tmp_path), prelude=STUB)
    assert ended.code == 0, ended.err
    assert ended.out.count("A stub") == 2
    assert len(re.findall(r"≤ 1 +missed", ended.out)) == 2
    assert {f.name for f in tmp_path.iterdir()} == {f"{n}.{e}" for n in ("scaling", "few-shot") for e in ("md", "csv")}
    assert ended.err.split() == ["done", "scaling", "done", "few-shot"]


def test_without_names_the_long_ones_are_left_out(loaded, tmp_path):
    ended = xkd(loaded, "bench", "--out", str(tmp_path), prelude=STUB)
    assert ended.code == 0, ended.err
    assert {f.stem for f in tmp_path.iterdir()} == {name for name, entry in BENCHMARKS.items() if entry.by_default}


def test_quick_benchmarks_run_as_they_are(loaded, tmp_path):
    ended = xkd(loaded, "bench", "few-shot", "scaling", "--quick", "--device", "cpu", "--out", str(tmp_path))
    assert ended.code == 0, ended.err
    assert {f.name for f in tmp_path.iterdir()} == {"quick"}  # what was measured in earnest stays
    written = tmp_path / "quick"
    assert {f.name for f in written.iterdir()} == {
        *(f"few-shot.{e}" for e in ("md", "csv")), *(f"scaling.{e}" for e in ("md", "csv", "png", "svg")),
    }  # fmt: skip
    found = pd.read_csv(written / "few-shot.csv")
    assert (found["faster"] > 0).all()
    assert "its figures mean little" in (written / "scaling.md").read_text()
