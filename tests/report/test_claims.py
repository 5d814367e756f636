"""The ledger in the terminal and as a page: names, sizes, and what would decide what is undecided."""

import io
import shlex

import pandas as pd
import pytest
from rich.console import Console

from xkd_bench.analysis.ledger import COLUMNS
from xkd_bench.report.claims import BEYOND, LACKING, OPEN, continued, markdown, size, terminal, undecided

NUMBERS = {"effect": 1.5, "low": -0.5, "high": 3.5, "p": 0.1, "p_holm": 0.2, "p_bh": 0.2}
NONE = dict.fromkeys(NUMBERS, float("nan"))
SWEEP = "xkd-bench sweep table1"
BOTH = f"{SWEEP} && xkd-bench run -m cmc --student resnet8-w16"


def claim(name, **more):
    row = {"claim": name, "paper": "cmcd", "kind": "suite", "source": "Table 1", "statement": f"what {name} says",
           "statistic": "difference", "claimed": "≥ 0 points", "verdict": "undecided", "unit": "points", "family": "f",
           "n": 9, "conditions": 3, "basis": "seeds", "data": "d", "note": "", "missing": "", "fill": ""}  # fmt: skip
    return row | NUMBERS | more


def lacks(name, fill=SWEEP, **more):
    return claim(name, **({"missing": f"seeds; fill: {fill}", "fill": fill, "n": 0, "conditions": 0} | NONE | more))


LEDGER = pd.DataFrame(
    [
        claim("decided", verdict="supported"), lacks("empty"), lacks("also-empty"), lacks("two-steps", BOTH),
        claim("noisy", fill=SWEEP), claim("few-conditions", basis="permutation within task", fill=SWEEP, conditions=31),
        lacks("vacuous", "", missing="informative bounds"), claim("printed", kind="published", conditions=0),
        claim("unprinted", kind="published", **NONE, missing="any deviation"),
    ]
)[list(COLUMNS)]  # fmt: skip


def shown(width, explain=False, more=""):
    console = Console(file=io.StringIO(), width=width)
    console.print(terminal(LEDGER, explain, more), highlight=False)
    return console.file.getvalue()


def test_the_undecided_are_grouped_by_what_decides_them():
    found = {title: dict(groups) for title, groups in undecided(LEDGER, " --out here")}
    assert found[LACKING] == {
        f"{SWEEP} --out here": ["empty", "also-empty"],
        f"{SWEEP} --out here && xkd-bench run -m cmc --student resnet8-w16 --out here": ["two-steps"],
    }
    assert found[OPEN] == {f"{SWEEP} --out here --seeds 6": ["noisy"]}, "9 seeds of 3 conditions, doubled"
    assert found[BEYOND] == {
        "more conditions than the 31 there are": ["few-conditions"], "informative bounds": ["vacuous"],
        "what is printed does not suffice": ["printed"], "the papers do not print what is needed": ["unprinted"],
    }  # fmt: skip
    assert not list(undecided(LEDGER[LEDGER["verdict"] == "supported"]))


@pytest.mark.parametrize("width", [80, 100, 140])
def test_lines_have_names_numbers_and_verdicts_within_the_width(width):
    text = shown(width)
    lines = text.splitlines()
    assert max(map(len, lines)) <= width
    line = next(line for line in lines if line.startswith(" noisy "))
    assert "1.50 [−0.50, 3.50]" in line
    assert "9 (3)" in line
    assert line.endswith("undecided")
    statement = lines[lines.index(line) + 1]
    assert statement.strip().removeprefix("≥ 0: ") == "what noisy says"
    assert "≥ 0" in line + statement


def test_a_narrow_console_has_the_claimed_before_the_statement():
    assert "   ≥ 0: what noisy says" in shown(60)
    assert "θ is: difference (Table 1); missing: informative bounds" in shown(100, explain=True)


@pytest.mark.parametrize("width", [30, 60, 200])
def test_a_command_on_several_lines_is_the_same_to_a_shell(width):
    lines = continued(BOTH, width)
    joined = "\n".join(lines).replace("\\\n", " ")
    assert shlex.split(joined.replace("\n", " ")) == shlex.split(BOTH)
    assert len(lines) == (2 if width > 45 else 3)
    assert all(line.endswith(("&&", "\\")) for line in lines[:-1])
    assert max(map(len, lines)) <= max(width, len("xkd-bench sweep table1 &&"))


def test_sizes_have_their_conditions():
    assert [size({"n": n, "conditions": c}) for n, c in ((0, 0), (4, 0), (9, 3))] == ["—", "4", "9 (3)"]


def test_the_page_has_the_commands_too():
    page = markdown(LEDGER, "xkd-bench claims")
    assert f"- `{SWEEP}`: empty, also-empty\n" in page
    assert f"- `{SWEEP} --seeds 6`: noisy\n" in page
    assert "- informative bounds: vacuous\n" in page
