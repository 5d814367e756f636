"""`xkd-bench sweep`: the plan, the runs, what fails, and the tables."""

import json

import pytest

from tests.cli.program import xkd

GRID = """
summary = "two protocols"
budget = "smoke"
[shared]
task = "toy"
protocol = ["linear-eval", "fine-tune"]
[[grid]]
method = "cmd"
options.form = ["seed", "intra"]
controls = false
[[grid]]
method = ["ssl", "sup-ft"]
"""
CPU = ("--device", "cpu")
BROKEN = """
from xkd_bench.stages import student
real = student._train
def train(run, *args):
    if run.spec.options.get("form") == "intra":
        raise {error}
    return real(run, *args)
student._train = train
"""


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    file = tmp_path_factory.mktemp("grid") / "two.toml"
    file.write_text(GRID)
    return str(file)


@pytest.fixture(scope="module")
def finished(loaded, grid, tmp_path_factory):
    """A results folder with the whole sweep in it, and how the program that made it ended."""
    out = tmp_path_factory.mktemp("sweep")
    ended = xkd(loaded, "sweep", grid, *CPU, "--threads", "1", "--deterministic", "--out", str(out), "--json")
    assert ended.code == 0, ended.err
    return out, ended


def test_records_say_how_it_was_computed(finished):
    for record in (finished[0] / "runs").glob("*/record.json"):
        computed = json.loads(record.read_text())["environment"]
        assert (computed["threads"], computed["deterministic"]) == (1, True)


def test_a_dry_run_prints_the_plan_and_writes_nothing(loaded, grid, tmp_path):
    ended = xkd(loaded, "sweep", grid, "--dry-run", "--out", str(tmp_path / "out"))
    assert ended.code == 0, ended.err
    assert "cmd · linear-eval · form=seed" in ended.out
    assert "8 to do, 0 in the store" in ended.out
    assert "3 to train, 0 in the store" in ended.out  # both forms and ssl; both protocols share them
    assert "unknown" in ended.out
    assert list(tmp_path.iterdir()) == []


def test_it_writes_a_table_for_each_protocol_named_after_it(finished):
    out, ended = finished
    tables = {f.name for f in (out / "tables").glob("*.md")}
    assert tables == {"linear-eval-toy-smoke-two.md", "fine-tune-toy-smoke-two.md"}
    rows = json.loads(ended.out)
    assert {(row["protocol"], row["variant"]) for row in rows} == {
        *(("linear-eval", name) for name in ("cmd", "cmd (form=intra, include_self=false)", "ssl", "random features")),
        *(("fine-tune", name) for name in ("cmd", "cmd (form=intra, include_self=false)", "ssl", "sup-ft")),
    }
    assert "xkd-bench sweep " in (out / "tables" / "fine-tune-toy-smoke-two.md").read_text()


def test_run_again_it_trains_nothing_and_knows_how_long_it_takes(loaded, grid, finished):
    out, first = finished
    forbid = "from xkd_bench.runner import Runner\nRunner._write_record = None"
    again = xkd(loaded, "sweep", grid, *CPU, "--out", str(out), "--json", prelude=forbid)
    assert (again.code, again.out) == (0, first.out), again.err
    plan = json.loads(xkd(loaded, "sweep", grid, "--dry-run", "--json", "--out", str(out)).out)
    assert [run["there"] for run in plan["runs"]] == [True] * 8
    assert plan["students"] == {"needed": 3, "there": 3}
    more = xkd(loaded, "sweep", grid, "--dry-run", "--json", "--seeds", "2", "--out", str(out))
    plan = json.loads(more.out)
    assert (sum(run["there"] for run in plan["runs"]), len(plan["runs"]), plan["untimed"]) == (8, 16, 0)
    assert plan["seconds"] > 0


def test_run_and_sweep_share_their_runs(loaded, grid, finished):
    out, _ = finished
    before = {f.name for f in (out / "runs").iterdir()}
    words = ("--task", "toy", "--budget", "smoke", "--protocol", "linear-eval", "--method", "cmd", "--alone")
    assert xkd(loaded, "run", *words, *CPU, "--out", str(out), "-q").code == 0
    assert {f.name for f in (out / "runs").iterdir()} == before


@pytest.mark.parametrize(
    "error", ["RuntimeError('out of memory')", "__import__('xkd_bench.errors').errors.TrainingError('x')"]
)
def test_what_fails_is_listed_with_exit_1_and_the_rest_is_done(loaded, grid, tmp_path, error):
    ended = xkd(loaded, "sweep", grid, *CPU, "--out", str(tmp_path), "--json", prelude=BROKEN.format(error=error))
    assert ended.code == 1, ended.err
    rows = json.loads(ended.out)
    assert {row["variant"] for row in rows} == {"cmd", "ssl", "random features", "sup-ft"}
    assert "xkd-bench: 2 of 8 runs failed" in ended.lines
    failed = "  cmd · seed 0 · fine-tune · form=intra · include_self=False: "
    assert [line for line in ended.lines if line.startswith(failed)]
    assert "Traceback" not in ended.err
    assert xkd(loaded, "sweep", grid, *CPU, "--out", str(tmp_path), "--json").code == 0  # mended, it does the rest


def test_it_stops_at_so_many_failures_and_says_what_is_left(loaded, grid, tmp_path):
    broken = BROKEN.format(error="RuntimeError('oh')")
    ended = xkd(
        loaded, "sweep", grid, *CPU, "--out", str(tmp_path), "-q", "--max-failures", "1", prelude=broken
    )  # fmt: skip
    assert ended.code == 1
    assert ended.lines[0] == "xkd-bench: 1 of 8 runs failed"
    # The first form under the first protocol went before.
    assert ended.lines[-1].strip() == "6 more were not begun; the same command does the rest"


def test_a_run_has_its_time(loaded, grid, tmp_path):
    ended = xkd(loaded, "sweep", grid, *CPU, "--out", str(tmp_path), "--timeout", "0", "--max-failures", "1", "-q")
    assert ended.code == 1
    assert "stopped after 0 s in '" in ended.err
    assert "give it more with --timeout" in ended.err
    assert not [f for f in tmp_path.rglob(".*") if f.is_dir()]


def test_an_interrupt_is_one_line_and_exit_130(loaded, grid, tmp_path):
    broken = BROKEN.format(error="KeyboardInterrupt")
    ended = xkd(loaded, "sweep", grid, *CPU, "--out", str(tmp_path), "-q", prelude=broken)
    assert ended.code == 130
    assert ended.err.strip() == "xkd-bench: stopped; the same command does the rest"


def test_it_resumes_and_to_begin_anew_needs_a_place_where_nothing_is(loaded, grid, finished, tmp_path):
    out, first = finished
    again = xkd(loaded, "sweep", grid, *CPU, "--out", str(out), "--resume", "--json")
    assert (again.code, again.out) == (0, first.out)
    before = {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.is_file()}
    anew = xkd(loaded, "sweep", grid, *CPU, "--out", str(out), "--no-resume")
    assert anew.code == 2
    assert anew.lines == [
        f"xkd-bench: --no-resume: {out} has 8 runs, 3 students of this sweep, which would be the same again: give "
        "another --out, or leave --no-resume out to do the rest"
    ]
    assert {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.is_file()} == before
    assert xkd(loaded, "sweep", grid, "--no-resume", "--dry-run", "--out", str(tmp_path / "new")).code == 0


def test_a_profile_is_silent(loaded, grid, tmp_path):
    words = ("--set", 'protocol="linear-eval"', "--profile", "--out", str(tmp_path))
    ended = xkd(loaded, "sweep", grid, *CPU, *words)
    assert ended.code == 0, ended.err
    assert [line for line in ended.lines if not line.startswith("done ")] == []
    assert list((tmp_path / "profiles").glob("*/*.json"))


def test_set_and_task_take_the_place_of_what_the_file_says(loaded, grid, tmp_path):
    words = ("--set", "student=conv4-w16", "--set", 'protocol=["linear-eval"]', "--set", "batch=20", "--seeds", "4,")
    ended = xkd(loaded, "sweep", grid, *words, "--task", "toy", "--dry-run", "--json", "--out", str(tmp_path))
    assert ended.code == 0, ended.err
    runs = [run["run"] for run in json.loads(ended.out)["runs"]]
    assert len(runs) == 4
    assert all("seed 4" in run for run in runs)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tabel1"], "unknown sweep 'tabel1': did you mean 'table1'?"),
        (["GRID", "--set", "student"], "--set student: a field is FIELD=VALUE"),
        (["GRID", "--set", "studnt=x"], "--set: unknown field 'studnt': did you mean 'student'?"),
        (["GRID", "--set", "batch=x"], "--set: batch = 'x': input should be a valid integer"),
        (["GRID", "--set", "batch=1000"], "batch 1000 is larger than"),
        (["GRID", "--budget", "huge"], "unknown budget 'huge'"),
        (["GRID", "--set", "budget=smoke"], "--set: budget is no field of a run: the budget is the whole sweep's"),
        (["GRID", "--seeds", "x"], "--seeds x: give a number of seeds"),
        (["GRID", "--task", "toys"], "unknown task 'toys'"),
        (["GRID", "--precision", "16"], "precision 16 needs CUDA"),
    ],
)  # fmt: skip
def test_a_users_error_is_one_line_exit_2_and_nothing_written(loaded, grid, tmp_path, words, said):
    words = [grid if word == "GRID" else word for word in words]
    ended = xkd(loaded, "sweep", *words, *CPU, "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert ended.code == 2, ended.err
    assert len(ended.lines) == 1
    assert said in ended.err
    assert list(tmp_path.iterdir()) == []


def test_the_file_can_be_printed_to_copy_it(loaded, grid):
    assert xkd(loaded, "sweep", grid, "--print").out == GRID
    assert "[[grid]]" in xkd(loaded, "sweep", "table5", "--print").out


def test_shipped_sweeps_are_listed(loaded):
    rows = xkd(loaded, "list", "sweeps").out
    for name in ("figure1", "table1", "table3", "table4", "table5"):
        assert name in rows
