"""Records of the simulated world, from runs to verdicts: where theory's assumption holds, and where it is broken.

`private` lets what the target alone knows decide the class, so that the label is no longer independent of the
modalities given what they share. What rests on that is one step of the argument: that acting on P(z | x) costs at most
twice its distance from the truth. Distances between laws of z do not see the label: all other steps are as they were.
"""

import pytest

from tests.report.test_html import RULE
from tests.suite.test_measure import done, made
from xkd_bench.analysis import load
from xkd_bench.analysis.bound_check import links
from xkd_bench.analysis.claims import CMCD
from xkd_bench.analysis.ledger import Data, evaluate
from xkd_bench.report import plots
from xkd_bench.report.html.bound import bound_block
from xkd_bench.report.html.content import Maker

WORLD = "twin-gaussian:gap=0.99,private={},items=400"
EXACT = {"link_triangle", "link_bound", "link_decision", "link_assumption", "link_erm"}


@pytest.fixture(scope="module", params=["0", "0.8"], ids=["holds", "twisted"])
def world(request, tmp_path_factory):
    """One run with its bound in either world; whether it is the twisted one."""
    root = tmp_path_factory.mktemp("world")
    assert done(root, [made(WORLD.format(request.param))], ("bound",)) == []
    return load(root), request.param != "0"


def test_the_step_that_fails_is_the_one_whose_assumption_is_broken(world):
    found, twisted = world
    steps = links(found.terms).set_index("term")
    assert set(steps.index[steps["tag"] == "exact"]) == EXACT
    assert list(steps.index[steps["fails"] > 0]) == (["link_decision"] if twisted else [])
    told = found.terms.set_index("term").loc["link_decision", "note"]
    assert told.endswith("FAILS" if twisted else "holds")


def test_the_report_names_the_step_that_fails(world, monkeypatch):
    monkeypatch.setattr(plots, "png", lambda figure: b"\x89PNG")
    monkeypatch.setattr(plots, "pdf", lambda figure: b"%PDF")
    found, twisted = world
    block = bound_block(Maker([], RULE), found.bounds, found.terms)
    said = "What fails of the argument's steps: R(φ̂_B, ψ*) - R* ≤ 2 TV(x, z), in 1 of 1 run."
    assert block.lead.endswith(said if twisted else "Every step of the argument holds in every run.")
    row = next(r for t in block.tables if t.name == "bound-steps" for r in t.groups[0][1] if r[0].note == "decision")
    assert row[2].value == ("1" if twisted else "0")


def test_a_bound_that_no_risk_could_break_supports_nothing_in_either_world(world):
    """The twisted world has the larger excess risk by far, and its bound holds all the same: H7 must not count it."""
    found, twisted = world
    run = found.bounds.iloc[0]
    assert (run["excess"] > 0.2) == twisted
    assert run["bound"] >= 1 > run["excess"]
    h7 = evaluate(CMCD, Data(found.records, found.conditions, found.bounds)).set_index("claim").loc["H7"]
    assert h7["verdict"] == "undecided"
    assert "1 bound, 0 informative" in h7["missing"]
