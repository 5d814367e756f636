"""`xkd-bench claims`: without any record, in files and in words, and what is refused."""

import csv
import json
import shlex

import pytest

from tests.cli.program import xkd

WIDE = "import os; os.environ['COLUMNS'] = '100'"


def test_claims_are_tested_without_any_record(loaded, tmp_path):
    ended = xkd(loaded, "claims", "--out", str(tmp_path), "--json")
    assert ended.code == 0, ended.err
    rows = json.loads(ended.out)
    found = {row["claim"]: row for row in rows}
    assert found["margin-2-3"]["verdict"] == "refuted"
    assert found["gap-gain-le-raw-4"]["effect"] == pytest.approx(0.0199, abs=1e-3)
    assert found["H7"]["verdict"] == "undecided"
    with (tmp_path / "claims" / "claims.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["verdict"] for row in written] == [row["verdict"] for row in rows]
    page = (tmp_path / "claims" / "claims.md").read_text()
    assert page.count("\n| ") >= len(rows)
    assert page.endswith("```sh\nxkd-bench claims\n```\n")
    tex = (tmp_path / "claims" / "claims.tex").read_text()
    assert tex.isascii()
    assert (
        tex.count(r"\begin{longtable}") == tex.count(r"\end{longtable}") == len({(r["paper"], r["kind"]) for r in rows})
    )


def test_one_paper_in_words(loaded, tmp_path):
    ended = xkd(loaded, "claims", "--paper", "af-dcd", "--out", str(tmp_path), "--explain")
    assert ended.code == 0, ended.err
    assert "Af-DCD, arXiv:2312.04168" in ended.out
    assert "CMCD, arXiv" not in ended.out
    assert "missing:" in ended.out
    assert {f.name for f in (tmp_path / "claims").iterdir()} == {f"claims-af-dcd.{e}" for e in ("md", "csv", "tex")}


def test_every_claim_has_its_name_and_the_undecided_their_commands(loaded, tmp_path):
    ended = xkd(loaded, "claims", "--paper", "cmcd", "--out", str(tmp_path / "a b"), prelude=WIDE)
    lines = ended.out.splitlines()
    assert max(map(len, lines)) <= 100
    with (tmp_path / "a b" / "claims" / "claims-cmcd.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        line = next(line for line in lines if line.startswith(f" {row['claim']} "))
        assert line.endswith(row["verdict"])
    below = ended.out.partition("To decide the undecided, what is missing:")[2]
    told = below.partition("Undecided, and no command")[0].replace("\\\n", "").split("\n xkd-bench ")
    commands = [shlex.split(part.partition("\n")[0]) for part in told]
    assert ["sweep", "bound-study", "--out", str(tmp_path / "a b")] in commands
    names = {name for part in told for name in part.partition("\n")[2].replace("\n", "").replace(" ", "").split(",")}
    assert {row["claim"] for row in rows if row["kind"] == "suite"} <= names


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--paper", "cmc"], "there are cmcd, af-dcd, lix, csk-net"),
        (["--budget", "paper"], "no records of budget 'paper'"),
        (["--conditions", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--bounds", "bounds.csv"], "bounds.csv lacks the columns seed, excess_se"),
    ],
)
def test_what_is_not_there_is_one_line(loaded, tmp_path, argv, said):
    (tmp_path / "bounds.csv").write_text("condition,excess,bound\na,0.1,0.5\n")
    ended = xkd(loaded, "claims", *argv, "--out", str(tmp_path / "out"), cwd=tmp_path)
    assert ended.code == 2
    assert len(ended.lines) == 1
    assert said in ended.err
    assert not (tmp_path / "out").exists()
