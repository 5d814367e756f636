"""Rankings of the page: data sets as units, every number that of the analysis, and what is missing for them."""

import json

import pandas as pd
import pytest

from tests.report.frames import study
from tests.report.test_html import RULE, Page
from xkd_bench.analysis.contest import MIN_RANKED, MIN_UNITS, contest
from xkd_bench.analysis.ranking import aggregate, arranged, improvement
from xkd_bench.analysis.ranking_tests import rank_tests
from xkd_bench.report.html import Study, build, page
from xkd_bench.report.html.rankings import settings

NAMES = ("cmc", "cmc · random teacher", "cmd", "ssl", "sup-ft")


pytestmark = pytest.mark.usefixtures("without_figures")


@pytest.fixture(autouse=True)
def _without_gains(monkeypatch):
    monkeypatch.setattr(page, "gain_blocks", lambda *_: [])


def tasks(*names: str, seeds: int = 3) -> list[tuple[str, pd.DataFrame]]:
    """One protocol and setting on several tasks; cmc is best on each by construction, ssl last of all under test."""
    shape = {"shots": (None,), "draws": 1, "trained": ("head",), "seeds": seeds}
    return [(f"t{i}", study(NAMES, rng=i, task=name, key=f"t{i}", **shape)) for i, name in enumerate(names)]


def made(parts):
    text, numbers, files = build(Study(pd.concat([df for _, df in parts]), parts, [], RULE))
    return Page(text), text, json.loads(numbers)["rankings"], files


def test_the_page_shows_the_analysis_of_data_sets():
    names = [f"d{i}" for i in range(MIN_RANKED - 1)]
    parts = tasks(*names, "emoji:a>b", "emoji:b>a", "emoji:a>b@blur=1")
    seen, text, (block,), files = made(parts)
    ((title, rows),) = settings(parts)
    found = contest(rows)
    assert title == block["title"] == "Few-shot evaluation, laptop budget: linear, all labels"
    assert block["conditions"]["emoji"] == ["emoji:a>b", "emoji:a>b@blur=1", "emoji:b>a"]
    scores = arranged(found.on_one_scale()[0])
    expected = rank_tests(found.means())
    assert block["ranks"] == pytest.approx(expected.ranks.to_dict())
    assert block["p"] == pytest.approx(expected.p)
    for name, reference in (("aggregates", aggregate(scores)), ("improvement", improvement(scores))):
        told = pd.DataFrame(block[name])
        for column in ("value", "low", "high"):
            assert told[column].tolist() == pytest.approx(reference[column].tolist())
    shown = {table["title"]: table["groups"][0]["rows"] for table in block["tables"]}
    assert list(shown) == ["Interquartile means", "Probability of improvement", "Mean ranks"]
    best = aggregate(scores).set_index("method")["value"].sort_values(ascending=False)
    assert [row[:2] for row in shown["Interquartile means"]] == [[m, f"{v:.2f}"] for m, v in best.items()]
    assert {row[0]: row[1] for row in shown["Mean ranks"]} == {m: f"{r:.2f}" for m, r in expected.ranks.items()}
    runs = 8 * 3 * 3
    for table in block["tables"] + block["figures"]:
        assert f"Rests on {runs} runs: 8 conditions of 6 data sets, 3 seeds of each of 3 methods" in table["caption"]
    assert "0 is the mean of random features there, 1 that of the best method" in block["figures"][0]["caption"]
    assert "no p can fall below .094" in block["tables"][2]["caption"]
    assert [figure["name"] for figure in block["figures"]] == ["ranks-1-iqm", "ranks-1-profiles", "ranks-1"]
    endings = {"iqm": ("csv", "tex"), "improvement": ("csv", "tex"), "profiles": ("csv",), "means": ("csv",)}
    wanted = {f"tables/ranks-1-{name}.{end}" for name, ends in endings.items() for end in ends}
    assert {*wanted, "tables/ranks-1.csv", "tables/ranks-1.tex", "figures/ranks-1-iqm.svg"} <= set(files)
    assert "8 conditions of 6 data sets (d0 1, d1 1, d2 1, d3 1, d4 1, emoji 3)" in text
    linked = {attrs["href"] for attrs, _ in seen.of("a")}
    assert "#rankings" in linked
    assert {name for name in files if name.startswith("tables/")} <= linked


def test_degrees_and_pairs_make_no_ranking():
    """Twenty conditions of two data sets: nothing is tested on them, and the page says what is missing."""
    names = [f"twin-gaussian:gap=0.{i}" for i in range(1, 10)] + [f"emoji:a>{i}" for i in range(11)]
    _, _, (block,), _ = made(tasks(*names))
    assert not block["tables"]
    assert "ranks" not in block
    ((what, command),) = [part.values() for part in block["lacking"]]
    assert f"20 conditions of 2 data sets (emoji 11, twin-gaussian 9), at least {MIN_UNITS} data sets" in what
    assert command.startswith("xkd-bench run --protocol few-shot --task NAME --budget laptop --method cmc --method cmd")


def test_few_data_sets_have_aggregates_and_no_tests():
    _, _, (block,), files = made(tasks(*"abcde"[:MIN_UNITS]))
    assert [table["title"] for table in block["tables"]] == ["Interquartile means", "Probability of improvement"]
    assert f"No tests of ranks: {MIN_UNITS} data sets" in block["lacking"][0]["what"]
    assert "ranks" not in block
    assert "tables/ranks-1-means.csv" not in files


def test_few_seeds_are_said_with_the_command():
    _, _, (block,), _ = made(tasks("a", "b", "c", seeds=2))
    (told,) = block["lacking"]
    assert "fewer than two methods have 3 seeds" in told["what"]
    assert told["command"].endswith("--seeds 3")


def test_without_a_zero_there_are_ranks_alone():
    parts = [(name, df[~df["method"].isin(["ssl", "sup-ft"])]) for name, df in tasks(*"abcdef")]
    _, _, (block,), _ = made(parts)
    assert "none of random features, sup-ft, ssl was run" in block["lacking"][0]["what"]
    assert [table["title"] for table in block["tables"]] == ["Mean ranks"]
