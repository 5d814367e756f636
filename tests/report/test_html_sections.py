"""Sections that need more than scores: the claims ledger; and the command."""

import json
import re

import pandas as pd
import pytest

from tests.analysis.worlds import bound_study
from tests.cli.program import xkd
from tests.report.test_html import RULE, Page, scores
from xkd_bench.analysis.results import Results
from xkd_bench.cli.report import _ledger
from xkd_bench.report import plots
from xkd_bench.report.html import Study, build
from xkd_bench.report.html import page as page_module


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    monkeypatch.setattr(plots, "png", lambda figure: b"\x89PNG")
    monkeypatch.setattr(plots, "pdf", lambda figure: b"%PDF")


def test_claims_have_their_verdicts_in_words_and_what_they_lack():
    pytest.importorskip("xkd_bench.report.claims")
    shared = {"paper": "cmcd", "kind": "suite", "source": "Table 1", "statistic": "difference", "unit": "points",
              "claimed": "≥ 0 points", "family": "f", "n": 3, "basis": "seeds", "data": "d", "note": ""}  # fmt: skip
    numbers = {"effect": 1.5, "low": 0.5, "high": 2.5, "p": 0.01, "p_holm": 0.02, "p_bh": 0.02, "missing": ""}
    none = dict.fromkeys(("effect", "low", "high", "p", "p_holm", "p_bh"), float("nan"))
    ledger = pd.DataFrame([
        shared | numbers | {"claim": "a", "statement": "a <b>", "verdict": "supported"},
        shared | none | {"claim": "b", "statement": "b", "verdict": "undecided", "missing": "xkd-bench sweep table1"},
    ])  # fmt: skip
    df = scores()
    text, found, files = build(Study(df, [("one", df)], [], RULE, ledger=ledger, ledger_command="xkd-bench claims"))
    told = json.loads(found)["claims"]
    assert [row["verdict"] for row in told["claims"]] == ["supported", "undecided"]
    assert told["claims"][1]["effect"] is None
    rows = Page(text).tables[-1][1:]
    assert [row[4].split()[-1] for row in rows] == ["supported", "undecided"]
    assert "a: difference; Table 1" in rows[0][0], "statements of the same words are told apart by their names"
    assert "1.50 [0.50, 2.50]" in rows[0][2]
    assert "xkd-bench sweep table1" in rows[1][5]
    assert "a &lt;b&gt;" in text
    assert {"tables/claims.csv", "tables/claims.tex"} <= set(files)


def test_many_comparisons_come_after_what_they_say_together_without_figures(monkeypatch):
    monkeypatch.setattr(page_module, "MANY", 1)
    parts = [(f"task-{i}", scores(task=f"toy-{i}", task_title=f"Toy {i}")) for i in range(2)]
    for named in (parts[:1], parts):
        text, found, files = build(Study(pd.concat([df for _, df in named]), named, [], RULE))
        page, told, many = Page(text), json.loads(found), len(named) > 1
        order = [attrs["id"] for attrs, _ in page.of("h2")]
        first, theory = order.index("comparisons" if many else "task-1"), order.index("theory")
        assert (first > theory) == many
        numbers = [int(n) for n in re.findall(r"<b>Table (\d+)\.", text) or re.findall(r"Table (\d+)\.", text)]
        assert numbers
        assert numbers == sorted(numbers), "tables are numbered as they are read"
        drawn = [name for name in files if name.startswith("figures/task-")]
        assert bool(drawn) == (not many)
        assert {f"tables/{name}.csv" for name, _ in named} <= set(files)
        assert len(told["comparisons"]) == len(named)
        links = {attrs["href"][1:] for attrs, _ in page.of("a") if attrs["href"].startswith("#")}
        assert links <= {attrs["id"] for _, attrs, _ in page.elements if "id" in attrs}


def test_a_store_without_records_is_one_line(loaded, tmp_path):
    ended = xkd(loaded, "report", "--out", str(tmp_path))
    assert ended.code == 2
    assert (
        ended.err.strip()
        == f"xkd-bench: no records in {tmp_path / 'runs'}: run xkd-bench run first, or give another --out"
    )
    assert not list(tmp_path.iterdir())


def test_claims_are_tested_on_the_conditions_and_bounds_of_the_store():
    conditions, bounds, terms = bound_study(slope=-0.5, loose=0.4)
    elsewhere = bounds.assign(budget="smoke", excess=9.0)  # budgets never mix
    df = scores(budget="laptop")
    found = Results(df, pd.DataFrame(), conditions, pd.concat([bounds, elsewhere]), terms, "laptop")
    ledger, command = _ledger(found)
    verdicts = ledger.set_index("claim")["verdict"]
    assert verdicts["H1-lower-bound"] == "refuted"
    assert verdicts["H7"] == "supported"
    assert command == "xkd-bench claims --budget laptop"
