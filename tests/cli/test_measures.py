"""`xkd-bench sweep` with `measure`: gaps and bounds of its runs, once."""

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
    first = xkd(loaded, "sweep", str(file), "--out", str(out))
    assert first.code == 0, first.err
    found = load(out)
    assert set(found.gaps["encoders"]) == {"oracle", "raw"}
    assert list(found.bounds["method"]) == ["sup-ft"]
    assert list(found.bounds["run"]) == list(found.records["key"].unique())
    assert "gap of toy, oracle, seed 0" in first.err
    again = xkd(loaded, "sweep", str(file), "--out", str(out))
    assert again.code == 0, again.err
    assert "gap of toy" not in again.err


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
