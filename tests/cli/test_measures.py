"""`xkd-bench sweep` with `measure`: gaps and bounds of its runs, once."""

import json

from tests.cli.program import xkd
from xkd_bench.analysis import load
from xkd_bench.suite.grid import load_sweep

FILE = """
summary = "a measured sweep"
budget = "smoke"
seeds = 1
controls = false
measure = [{kinds}]

[shared]
task = "toy"
protocol = "linear-eval"

[[grid]]
method = ["sup-ft"]
"""


def test_a_sweep_measures_what_its_file_says_and_once(loaded, tmp_path):
    file, out = tmp_path / "mine.toml", tmp_path / "out"
    file.write_text(FILE.format(kinds='"gap", "bound"'))
    planned = xkd(loaded, "sweep", str(file), "--out", str(out), "--dry-run")
    for words in ("gaps      2 to measure, 0 in the store", "bounds    1 to measure, 0 in the store"):
        assert words in planned.out
    assert not out.exists()
    first = xkd(loaded, "sweep", str(file), "--out", str(out))
    assert first.code == 0, first.err
    assert [line.partition(" ")[0] for line in first.lines] == ["done"] * 4
    found = load(out)
    assert set(found.gaps["encoders"]) == {"oracle", "raw"}
    assert list(found.bounds["method"]) == ["sup-ft"]
    assert list(found.bounds["run"]) == list(found.records["key"].unique())
    assert "gap of toy, oracle, seed 0" in first.err
    again = xkd(loaded, "sweep", str(file), "--out", str(out))
    assert again.code == 0, again.err
    assert again.lines == []
    plan = json.loads(xkd(loaded, "sweep", str(file), "--out", str(out), "--dry-run", "--json", "--seeds", "2").out)
    assert (plan["gaps"], plan["bounds"]) == ({"needed": 4, "there": 2}, {"needed": 2, "there": 1})
    assert plan["seconds"] > 0
    anew = xkd(loaded, "sweep", str(file), "--out", str(out), "--no-resume")
    assert anew.code == 2
    assert "has 1 runs, 2 gaps, 1 bounds of this sweep" in anew.err


BROKEN = """
from xkd_bench.suite import measure
def gap_table(*args, **more):
    raise RuntimeError("out of memory")
measure.gap_table = gap_table
"""


def test_measurements_that_fail_are_listed_like_runs_and_count_as_failures(loaded, tmp_path):
    file, out = tmp_path / "mine.toml", tmp_path / "out"
    file.write_text(FILE.format(kinds='"gap", "bound"'))
    ended = xkd(loaded, "sweep", str(file), "--out", str(out), "-q", prelude=BROKEN)
    assert ended.code == 1
    assert ended.lines[0] == "xkd-bench: 2 of 3 measurements failed"
    assert [line.partition(": ")[0].strip() for line in ended.lines[1:]] == [
        "gap of toy, oracle, seed 0", "gap of toy, raw, seed 0",
    ]  # fmt: skip
    assert len(load(out).bounds) == 1
    early = xkd(loaded, "sweep", str(file), "--out", str(out), "-q", "--max-failures", "1", prelude=BROKEN)
    assert early.lines[0] == "xkd-bench: 1 of 3 measurements failed"
    assert early.lines[-1] == "  1 more were not begun; the same command does the rest"
    late = xkd(loaded, "sweep", str(file), "--out", str(out), "-q", "--timeout", "0")
    assert all("stopped after 0 s in 'gap: " in line for line in late.lines[1:])


def test_a_measure_that_does_not_exist_is_one_line(loaded, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(FILE.format(kinds='"bounds"'))
    ended = xkd(loaded, "sweep", str(file), "--out", str(tmp_path / "out"))
    assert ended.code == 2
    assert len(ended.lines) == 1
    assert "measure" in ended.err


def test_the_study_keeps_its_rules():
    """Thirty conditions or more, all shipped, no pair within a lineage, every method with its reference."""
    from xkd_bench import tasks

    specs = load_sweep("bound-study").specs()
    names = sorted({spec.task for spec in specs})
    assert len(names) >= 30
    assert all(tasks.get(name).ready() for name in names)
    for name in names:
        source, target = tasks.get(name).card.lineage
        assert not source or source != target, name
    for name in names:
        kinds = {(s.method, s.pairs, s.teacher.startswith("random")) for s in specs if s.task == name}
        assert {("cmc", "true", False), ("cmc", "true", True), ("cmc", "shuffled", False), ("cmd", "true", False),
                ("ssl", "true", False), ("sup-ft", "true", False)} <= kinds  # fmt: skip
    assert {spec.seed for spec in specs} == {0, 1, 2}
    assert load_sweep("bound-study").measure == ["gap", "bound"]
