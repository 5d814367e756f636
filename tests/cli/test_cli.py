"""The command line: what it lists and prints, and how it says what is wrong."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.program import xkd
from xkd_bench import cli
from xkd_bench.cli import SUMMARIES, command
from xkd_bench.store import Store

RUN = ("run", "--task", "toy", "--budget", "smoke", "--device", "cpu")
FORBID = """
from xkd_bench import evaluation
from xkd_bench.stages import student, teacher
def forbidden(*args, **options):
    raise AssertionError("trained again")
student.fit = teacher.fit = evaluation.fit = evaluation.fit_logistic = forbidden
"""


@pytest.fixture(scope="session")
def finished(loaded, tmp_path_factory):
    """A results folder with one comparison in it, and how the program that made it ended."""
    out = tmp_path_factory.mktemp("cli") / "results"
    ended = xkd(loaded, *RUN, "--protocol", "linear-eval", "--out", str(out), "--json")
    assert ended.code == 0, ended.err
    return out, ended


# --- listings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("tasks", ["emoji-sketch", "doodle", "toy"]),
        ("methods", ["cmc", "cmd", "ssl", "sup-ft"]),
        ("protocols", ["few-shot", "fine-tune", "linear-eval", "reduced-pair"]),
        ("budgets", ["smoke", "laptop", "paper"]),
        ("teachers", ["efficientnet-lite0", "random", "simclr"]),
        ("students", ["conv4-w16", "resnet8-w16", "resnet50"]),
        ("sweeps", ["figure1", "table1", "table5"]),
    ],
)
def test_listings_name_everything_with_what_it_is(loaded, what, names):
    ended = xkd(loaded, "list", what)
    assert ended.code == 0, ended.err
    rows = {line.split()[0]: line for line in ended.out.splitlines() if line.strip()}
    for name in names:
        assert len(rows[name].split()) > 2, rows[name]


def test_help_names_the_commands_in_order_with_the_first_line_of_what_each_says_of_itself(loaded):
    text = xkd(loaded, "--help", prelude="import os; os.environ['COLUMNS'] = '200'").out
    rows = [line.strip("│ ").split(maxsplit=1) for line in text.partition("Commands")[2].splitlines()[1:-2]]
    assert rows == [[name, command(name).help.partition("\n")[0]] for name in SUMMARIES]
    files = {file.stem for file in Path(cli.__file__).parent.glob("*.py")}
    assert all(name in files or f"{name}_" in files for name in SUMMARIES)
    for option in ("--version", "--help", "Usage: xkd-bench [OPTIONS] COMMAND"):
        assert option in text


@pytest.mark.parametrize(
    ("words", "imported"),
    [(["--help"], []), (["--version"], []), (["list", "tasks"], ["list_"]), (["show", "--help"], ["show", "shared"])],
)
def test_only_the_file_of_the_command_that_is_called_is_imported(bare, words, imported):
    (ended,) = bare.run(f"""
import sys
before = set(sys.modules)
from xkd_bench.cli import main
sys.argv = {["xkd-bench", *words]!r}
try:
    main()
except SystemExit as end:
    assert not end.code
new = set(sys.modules) - before
print(sorted(name.rpartition(".")[2] for name in new if name.startswith("xkd_bench.cli.")))
print(sorted(name for name in new if name in ("pydantic", "typer.rich_utils", "rich.markdown")))
""")
    assert ended.code == 0, ended.err
    ours, slow = ended.out.splitlines()[-2:]
    assert ours == str(sorted(imported))
    if words != ["show", "--help"]:  # Typer draws that page
        assert slow == "[]"


def test_help_of_a_command_names_its_options(loaded):
    text = xkd(loaded, "run", "--help", prelude="import os; os.environ['COLUMNS'] = '200'").out
    for option in (
        "--protocol", "--method", "--task", "--budget", "--teacher", "--student", "--pairs", "--option", "--seeds",
        "--batch", "--init", "--teacher-weights", "--alone", "--device", "--precision", "--compile", "--logger",
        "--profile", "--out", "--json", "--quiet",
    ):  # fmt: skip
        assert option in text


def test_help_version_and_listings_wait_for_nothing_heavy(bare):
    # Without torch, numpy and the like: an import of any would end these commands.
    blocked = "torch numpy pandas scipy sklearn matplotlib timm kornia lightning_fabric torchvision"
    (ended,) = bare.run(f"""
import sys
for name in list(sys.modules):
    if name.split(".")[0] in {blocked.split()!r}:
        sys.modules[name] = None
for name in {blocked.split()!r}:
    sys.modules[name] = None
from xkd_bench.cli import SUMMARIES, main
for words in (["--help"], ["--version"], *([name, "--help"] for name in SUMMARIES), ["list", "methods"],
              ["list", "tasks"], ["list", "budgets"], ["list", "protocols"], ["list", "teachers"],
              ["list", "students"], ["list", "sweeps"],
              ["sweep", "table5", "--print"]):
    sys.argv = ["xkd-bench", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
print("all")
""")
    assert ended.out.splitlines()[-1] == "all", ended.err


def test_version(loaded):
    import xkd_bench

    assert xkd(loaded, "--version").out.strip() == f"xkd-bench {xkd_bench.__version__}"


# --- what a run leaves ----------------------------------------------------------------------------------------------


def test_a_run_prints_json_alone_and_writes_its_tables_and_plots(finished):
    out, ended = finished
    rows = json.loads(ended.out)
    assert {row["method"] for row in rows} == {"cmc", "ssl", "sup-ft"}
    tables = {f.suffix for f in (out / "tables").iterdir()}
    assert {".md", ".csv", ".tex", ".png", ".svg"} <= tables
    assert len(list((out / "runs").iterdir())) == 5  # cmc, its two controls, ssl, sup-ft
    for folder in (out / "runs").iterdir():
        record = json.loads((folder / "record.json").read_text())
        assert record["key"] == folder.name
        assert all(0 <= score["value"] <= 1 for score in record["scores"])


def test_run_again_it_answers_from_the_store_with_the_same_bytes(loaded, finished):
    out, first = finished
    before = {f.name: f.read_bytes() for f in (out / "tables").iterdir()}
    again = xkd(loaded, *RUN, "--protocol", "linear-eval", "--out", str(out), "--json", prelude=FORBID)
    assert (again.code, again.out) == (0, first.out), again.err
    assert {f.name: f.read_bytes() for f in (out / "tables").iterdir()} == before


def test_the_table_is_rebuilt_from_the_store_with_the_same_numbers(loaded, finished, tmp_path):
    out, first = finished
    shutil.copytree(out / "runs", tmp_path / "runs")
    ended = xkd(loaded, "table", "--out", str(tmp_path), "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == json.loads(first.out)
    [made] = (out / "tables").glob("*.csv")
    assert (tmp_path / "tables" / "linear-eval-toy-smoke-all.csv").read_text() == made.read_text()


def test_the_table_of_several_protocols_is_one_json_document(loaded, finished, tmp_path):
    out, _ = finished
    shutil.copytree(out, tmp_path / "results")
    two = str(tmp_path / "results")
    assert xkd(loaded, *RUN, "--protocol", "fine-tune", "--alone", "--method", "sup-ft", "--out", two, "-q").code == 0
    ended = xkd(loaded, "table", "--out", two, "--json")
    assert {row["protocol"] for row in json.loads(ended.out)} == {"linear-eval", "fine-tune"}


def test_a_table_for_people_names_every_row(loaded, finished):
    out, _ = finished
    ended = xkd(loaded, "table", "--out", str(out))
    for word in ("cmc", "ssl", "sup-ft", "random", "shuffled"):
        assert word in ended.out


def test_show_prints_one_record_for_people_or_as_json(loaded, finished):
    out, _ = finished
    key = next((out / "runs").iterdir()).name
    record = json.loads(xkd(loaded, "show", key[:10], "--out", str(out), "--json").out)
    assert record["key"] == key
    text = xkd(loaded, "show", key[:10], "--out", str(out)).out
    assert record["spec"]["method"] in text
    assert "toy" in text


def test_the_reports_commands_ask_for_the_very_same_runs(loaded, tmp_path):
    from xkd_bench.report.html.facts import commands

    asked = ("--protocol", "linear-eval", "--method", "cmd", "--option", "form=intra", "--batch", "14")
    asked += ("--recipe", "distil.weight_decay=0.01", "--precision", "bf16", "--seeds", "1,", "--out", str(tmp_path))
    assert xkd(loaded, *RUN, *asked, "--quiet").code == 0
    keys = {f.name for f in (tmp_path / "runs").iterdir()}
    (again,) = commands(Store(tmp_path).frame())
    shutil.rmtree(tmp_path / "artefacts")
    words = shlex.split(again)[1:]
    assert {"--batch", "14", "--precision", "bf16", "--recipe", "distil.weight_decay=0.01"} <= set(words)
    ended = xkd(loaded, *words, "--device", "cpu", "--out", str(tmp_path), "--quiet", prelude=FORBID)
    assert ended.code == 0, ended.err
    assert {f.name for f in (tmp_path / "runs").iterdir()} == keys


def test_quiet_is_quiet(loaded, finished):
    out, _ = finished
    ended = xkd(loaded, *RUN, "--protocol", "linear-eval", "--out", str(out), "--quiet")
    assert (ended.code, ended.out, ended.err) == (0, "", "")


def test_several_methods_with_options_and_seeds(loaded, tmp_path):
    ended = xkd(
        loaded, *RUN, "--protocol", "linear-eval", "--alone", "--method", "sup-ft", "--method", "cmd",
        "--seeds", "0,7", "--out", str(tmp_path), "--json",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    specs = [json.loads(f.read_text())["spec"] for f in (tmp_path / "runs").glob("*/record.json")]
    assert {(s["method"], s["seed"]) for s in specs} == {(m, s) for m in ("cmd", "sup-ft") for s in (0, 7)}


@pytest.mark.parametrize("seeds", [[0], [7], [0, 1, 2], [0, 1, 2, 3], [3, 1]])
def test_seeds_are_read_as_they_are_written(seeds):
    from xkd_bench.cli.shared import parse_seeds, seeds_words

    words = seeds_words(seeds, "laptop")
    assert parse_seeds(words[0].removeprefix("--seeds ") if words else None, "laptop") == seeds
    assert parse_seeds("2", "laptop") == [0, 1]


# --- what users get wrong -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "cmcc"], "unknown method 'cmcc': did you mean 'cmc'?"),
        (["--protocol", "fewshot"], "unknown protocol 'fewshot': did you mean 'few-shot'?"),
        (["--task", "doodel"], "unknown task 'doodel': did you mean 'doodle'?"),
        (["--task", "toy:here"], "task 'toy' takes no argument, got 'here'"),
        (["--task", "folder:/nowhere/at/all"], "'/nowhere/at/all' does not exist"),
        (["--budget", "labtop"], "unknown budget 'labtop': did you mean 'laptop'?"),
        (["--teacher", "simclrr"], "unknown teacher 'simclrr': did you mean 'simclr'?"),
        (["--student", "resnet_18"], "unknown student 'resnet_18': did you mean 'resnet18'?"),
        (["--student", "resnet10-w16"], "6n + 2 layers"),
        (["--pairs", "false"], "unknown kind of pairs 'false'"),
        (["--init", "sideways"], "unknown start of the student (--init) 'sideways'"),
        (["--teacher-weights", "x.pth"], "--teacher-weights x.pth: say with --teacher which network"),
        (["--option", "tau"], "--option tau: an option is key=value"),
        (["--option", "tau=cold"], "option tau=cold of method 'cmc'"),
        (["--option", "tau=-1"], "option tau=-1 of method 'cmc': input should be greater than 0"),
        (["--option", "ta=1"], "unknown option of method 'cmc' 'ta': did you mean 'tau'?"),
        (["--recipe", "distil.ema"], "--recipe distil.ema: a change is FIELD=VALUE, such as"),
        (["--recipe", "distil.eam=0.9"], "unknown field of a recipe 'distil.eam': did you mean 'distil.ema'?"),
        (["--recipe", "distil.ema=9"], "recipe distil.ema=9: input should be less than 1"),
        (["--seeds", "many"], "--seeds many: give a number of seeds"),
        (["--seeds", "0"], "--seeds 0: seeds are 0 or more, at least one"),
        (["--seeds", "-2"], "--seeds -2: seeds are 0 or more"),
        (["--seeds", "1,1"], "--seeds 1,1: seeds are 0 or more, at least one, without repeats"),
        (["--batch", "1000"], "batch 1000 is larger than the 56 distinct concepts"),
        (["--batch", "1"], "a batch has 2 items or more, got 1"),
        (["--device", "tpu"], "device 'tpu' is not known: use auto, cpu or cuda"),
        (["--device", "cuda"], "torch sees no CUDA device here"),
        (["--precision", "64"], "unknown precision '64'"),
        (["--precision", "16"], "precision 16 needs CUDA"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_users_error_is_one_line_exit_2_and_nothing_written(loaded, tmp_path, words, message):
    no_cuda = "import torch; torch.cuda.is_available = lambda: False"
    ended = xkd(loaded, *RUN, "--out", str(tmp_path / "out"), *words, prelude=no_cuda, cwd=tmp_path)
    assert ended.code == 2, ended.err
    assert ended.out.strip() == ""
    lines = [line for line in ended.lines if line.strip()]
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("xkd-bench: ")
    assert message in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--nope"], "--nope"),
        (["nope"], "'nope'"),
        (["rum"], "no such command 'rum'. Did you mean 'run'?"),
        (["--nope"], "--nope"),
        (["data", "lst"], "Did you mean 'list'?"),
        (["list", "methods", "tasks"], "unexpected extra argument"),
        (["list", "things"], "'things' is not one of"),
        (["list"], "missing argument"),
        (["run", "--batch", "x"], "'--batch'"),
        (["sweep", "table1", "--timeout", "-1"], "'--timeout'"),
    ],
)
def test_words_that_are_no_command_are_one_line_too(loaded, tmp_path, words, said):
    ended = xkd(loaded, *words, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    (line,) = ended.lines
    assert line.startswith("xkd-bench: ")
    assert said in line
    assert line.endswith(f"see xkd-bench {words[0] + ' ' if words[0] in SUMMARIES else ''}--help")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["data"]])
def test_without_words_it_prints_the_help(loaded, words):
    ended = xkd(loaded, *words)
    assert ended.code == 2
    assert "Usage: xkd-bench" in ended.out + ended.err


@pytest.mark.parametrize("words", [["show", "abc"], ["table"]])
def test_an_empty_store_is_one_line(loaded, tmp_path, words):
    ended = xkd(loaded, *words, "--out", "results", cwd=tmp_path)
    assert ended.code == 2
    assert len(ended.err.strip().splitlines()) == 1
    assert ended.err.startswith("xkd-bench: no record")
    assert list(tmp_path.iterdir()) == []


def test_an_out_folder_that_cannot_be_made_is_one_line(loaded, tmp_path):
    (tmp_path / "file").write_text("x")
    ended = xkd(loaded, *RUN, "--out", str(tmp_path / "file" / "out"))
    assert ended.code == 2
    assert [line for line in ended.lines if line.strip()][-1].startswith("xkd-bench: cannot write to ")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("kilobytes", [2, 100, 700, 3000])
def test_a_disk_that_fills_up_is_one_line_no_record_and_with_space_it_goes_on(loaded, finished, tmp_path, kilobytes):
    # No file may grow past this: a write beyond it fails as on a full disk. At 100 the teacher's features do not
    # fit, at 700 the student's weights (made larger here) do not, at 3000 everything does.
    limit = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes * 1024},) * 2)
"""
    words = (*RUN, "--protocol", "linear-eval", "--alone", "--student", "resnet8-w24", "--out", str(tmp_path / "out"))
    ended = xkd(loaded, *words, "--json", prelude=limit)
    assert "Traceback" not in ended.err
    if kilobytes == 3000:
        assert ended.code == 0
    else:
        assert ended.code == 2
        assert ended.err.strip().startswith("xkd-bench: cannot write to ")
        assert len(ended.err.strip().splitlines()) == 1
        assert not list((tmp_path / "out").rglob("record.json"))
        assert not [f for f in (tmp_path / "out" / "artefacts").rglob(".*") if f.is_dir()]
        assert xkd(loaded, *words, "--json").code == 0


def test_a_loss_that_is_not_finite_is_exit_3_one_line_and_no_record(loaded, tmp_path):
    nan_loss = """
from xkd_bench.methods import cmc
real = cmc.cmc
cmc.cmc = lambda *args: real(*args) * float("nan")
"""
    ended = xkd(loaded, *RUN, "--alone", "--out", str(tmp_path / "out"), "--json", prelude=nan_loss)
    assert ended.code == 3
    assert ended.out == ""
    assert len(ended.err.strip().splitlines()) == 1
    assert re.match(r"xkd-bench: cmc on toy: loss nan at step 1 of 1; last good checkpoint: none", ended.err.strip())
    assert not list((tmp_path / "out").rglob("record.json"))


def test_an_interrupt_is_one_line_and_exit_130(loaded, tmp_path):
    interrupt = """
from xkd_bench.stages import student
def stop(*args, **options):
    raise KeyboardInterrupt
student.fit = stop
"""
    ended = xkd(loaded, *RUN, "--alone", "--out", str(tmp_path / "out"), "--json", prelude=interrupt)
    assert ended.code == 130
    assert ended.err.strip() == "xkd-bench: stopped; the same command does the rest"
    assert not list((tmp_path / "out").rglob("record.json"))
