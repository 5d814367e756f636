"""The chapter on theory: every number is the analysis's, what cannot be said is said to be missing."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.analysis.worlds import bound_study
from tests.report.frames import study as scores_of
from tests.report.test_html import RULE, Page, scores
from xkd_bench.analysis import study
from xkd_bench.analysis.bound_check import check
from xkd_bench.analysis.power import conditions_needed
from xkd_bench.analysis.regression import regress
from xkd_bench.analysis.specification import curve
from xkd_bench.report import plots
from xkd_bench.report.html import Study, build
from xkd_bench.report.html.content import Maker
from xkd_bench.report.html.theory import theory

FIRST = study.ESTIMATORS[0]
SECTIONS = ["relation", "specifications", "bound", "power"]


@pytest.fixture(scope="module", autouse=True)
def _cheap():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "png", lambda figure: b"\x89PNG")
        patch.setattr(plots, "pdf", lambda figure: b"%PDF")
        yield


def page_of(conditions=None, bounds=None, terms=None, **more):
    df = scores()
    empty = pd.DataFrame()
    made = Study(df, [("one", df)], [], RULE, conditions=empty if conditions is None else conditions,
                 bounds=empty if bounds is None else bounds, terms=empty if terms is None else terms)  # fmt: skip
    text, numbers, files = build(replace(made, **more))
    return Page(text), text, json.loads(numbers), files


@pytest.fixture(scope="module")
def world():
    return bound_study(each=9)


@pytest.fixture(scope="module")
def made(world):
    return page_of(*world)


def block(numbers, name):
    return next(one for one in numbers["theory"] if one["name"] == name)


def table(numbers, section, title):
    return next(one for one in block(numbers, section)["tables"] if one["title"].startswith(title))


def test_all_sections_are_there_and_reached_from_the_contents(made):
    page, text, numbers, files = made
    assert [one["name"] for one in numbers["theory"]] == SECTIONS
    linked = {attrs["href"][1:] for attrs, above in page.of("a") if "nav" in above}
    assert {"theory", *SECTIONS} <= linked
    ids = [attrs["id"] for _, attrs, _ in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    relative = {attrs["href"] for attrs, _ in page.of("a") if not attrs["href"].startswith(("#", "https:"))}
    assert relative - {"report.json"} <= set(files)
    figures = [f["name"] for one in numbers["theory"] for f in one["figures"]]
    assert figures == ["gain-on-gap-tv-classifier", "gain-on-gap-tv-gibbs-normalised", "specification-curve", "bound",
                       "bound-terms", "bound-steps", "power"]  # fmt: skip
    assert {f"figures/{name}.{ending}" for name in figures for ending in ("svg", "png", "pdf")} <= set(files)
    assert all(len(attrs["aria-label"]) > 60 for attrs, _ in page.of("svg"))
    assert "nan" not in re.split(r"[^a-z]+", text.split("<body>")[1].lower())


def test_slopes_are_those_of_the_regressions(world, made):
    _, _, numbers, _ = made
    expected = regress(study.relation(world[0], "raw", FIRST))
    told = pd.DataFrame(block(numbers, "relation")["fits"])
    told = told[(told["definition"] == "raw") & (told["gap_estimator"] == FIRST)].reset_index(drop=True)
    for name in ("slope", "low", "high", "p"):
        assert told[name].to_numpy(dtype=float) == pytest.approx(expected[name].to_numpy(dtype=float), nan_ok=True)
    shown = table(numbers, "relation", "Slopes, total variation")["groups"][0]
    assert shown["title"] == "gain in points"
    ols = expected.iloc[0]
    assert shown["rows"][0][1] == f"{10 * ols['slope']:.2f}".replace("-", "−")
    assert shown["rows"][4][1].startswith("−")  # ρ is not scaled
    assert -1 <= float(shown["rows"][4][1].replace("−", "-")) < -0.9


def test_captions_say_what_they_rest_on(made):
    _, _, numbers, _ = made
    for one in block(numbers, "relation")["tables"]:
        assert "Rests on 36 conditions in 4 task families, 3 seeds each" in one["caption"]
    for one in block(numbers, "bound")["tables"]:
        assert (
            "Rests on 216 runs: 3 seeds, 36 conditions in 4 task families; 1,000 test items or more" in one["caption"]
        )
    assert "36 independent conditions in 4 task families" in block(numbers, "specifications")["tables"][0]["caption"]


def test_the_joint_test_is_the_curves(world, made):
    _, _, numbers, files = made
    expected = curve(study.units(study.signed(world[0])))
    told = pd.DataFrame(block(numbers, "specifications")["joint"])
    assert told["p"].to_numpy() == pytest.approx(expected.joint["p"].to_numpy())
    assert told["value"].iloc[0] == pytest.approx(expected.joint["value"].iloc[0])
    assert len(files["tables/specifications.csv"].decode().splitlines()) == 1 + len(expected.specifications)


def test_bound_numbers_are_those_of_the_check(world, made):
    _, _, numbers, _ = made
    found, told = check(world[1], world[2]), block(numbers, "bound")
    assert (told["violations"], told["told"]) == (found.violations, found.told) == (0, 0)
    assert told["kappa"] == pytest.approx(found.kappa)
    first = table(numbers, "bound", "Bound and excess risk")["groups"][0]["rows"][0]
    rows = found.runs[(found.runs["family"] == "family0") & (found.runs["method"] == "cmc")]
    assert first[:2] == ["family0, cmc", str(len(rows))]
    assert float(first[3]) == pytest.approx(rows["bound"].mean(), abs=0.005)
    steps = table(numbers, "bound", "Step by step")["groups"][0]["rows"]
    assert steps[0][:3] == ["TV(φ̂_B, φ_B*) ≤ sum of three", "216", "0"]
    summed = table(numbers, "bound", "Terms")["groups"][0]
    assert [row[0] for row in summed["rows"]] == [
        "tv_oracle",
        "tv_teacher",
        "tv_distil",
        "margin",
        "capacity",
        "sampling",
    ]


def test_what_the_published_claim_needs(made):
    _, _, numbers, _ = made
    rows = table(numbers, "power", "What the published claim needs")["groups"][0]["rows"]
    assert rows[0][:3] == ["LE, points", "4", "0.020"]
    told = pd.DataFrame(block(numbers, "power")["published"])
    assert told["needed"].iloc[0] == conditions_needed(told["r"].iloc[0]) > 19_000
    assert told["r_significant"].iloc[0] == pytest.approx(0.95, abs=5e-4)
    design = pd.DataFrame(block(numbers, "power")["design"])
    assert (design["n"] == 36).all()
    assert (design["slope_seen"] > 0).all()


def blocks_of(conditions=None, bounds=None, terms=None, given=None):
    """Sections by their name, without the page around them."""
    empty = pd.DataFrame()
    frames = (empty if frame is None else frame for frame in (conditions, bounds, terms))
    found = theory(Maker([], RULE), *frames, scores() if given is None else given)
    return {one.anchor: one for one in found}


def lacks(block):
    return " ".join(what for what, _ in block.lacking)


@pytest.fixture
def no_drawing(monkeypatch):
    monkeypatch.setattr(plots, "svg", lambda figure: b'<svg xmlns="http://www.w3.org/2000/svg"></svg>')


@pytest.mark.usefixtures("no_drawing")
def test_before_the_study_was_run_one_section_says_so():
    ((name, block),) = blocks_of().items()
    assert name == "relation"
    assert block.lacking[0][1] == "xkd-bench sweep bound-study"
    assert not block.tables


@pytest.mark.usefixtures("no_drawing")
def test_violations_and_controls_are_named(world):
    _, bounds, terms = world
    broken = bounds.assign(excess=bounds["excess"].where(bounds.index > 4, bounds["bound"] + 0.5))
    broken.loc[5, "pairs"], broken.loc[6, "teacher"] = "shuffled", "random:resnet18"
    bound = blocks_of(bounds=broken, terms=terms)["bound"]
    assert bound.numbers["told"] == 5
    assert "in 5 of 216 runs, in 5 by more than test items explain" in bound.lead
    assert "κ below" in bound.lead
    names = {row[0].value for row in bound.tables[0].rows}
    assert {"family0, cmc", "family0, cmd · shuffled pairs", "family0, cmc · random teacher"} <= names


@pytest.mark.usefixtures("no_drawing")
def test_too_little_prints_no_number(world):
    conditions, bounds, terms = world
    one = conditions[conditions["condition"] == conditions["condition"].iloc[0]]
    found = blocks_of(one, bounds.iloc[:0], terms.iloc[:0])
    assert "1 condition with 3 seeds, at least 5 are needed" in lacks(found["relation"])
    assert not found["relation"].tables
    assert "5 conditions with a gain and a gap" in lacks(found["specifications"])
    assert "No run has its bound" in lacks(found["bound"])
    assert [t.lead for t in found["power"].tables] == ["What the published claim needs"]
    flat = blocks_of(conditions.assign(gap=0.3))["relation"]
    assert "the gap does not vary within any task family" in lacks(flat)
    assert not flat.figures


@pytest.mark.usefixtures("no_drawing")
def test_what_is_missing_is_named(world):
    conditions, bounds, terms = world
    some = conditions[(conditions["definition"] != "relative") & (conditions["family"] < "family2")]
    some = some[some["estimator"] == FIRST].assign(gain_se=np.nan, gap_se=np.nan)
    unmeasured = scores_of(("cmc", "ssl"), task="doodle", protocol="linear-eval", shots=(None,), trained=("head",))
    short = bounds.assign(excess_se=bounds["excess_se"].where(bounds.index > 2))
    found = blocks_of(some, short, terms[terms["term"] != "capacity"], unmeasured)
    said = lacks(found["relation"])
    assert "gain relative to the reference (0 conditions" in said
    assert "18 conditions on the total variation" in said
    assert "no measured gap of oracle encoders: doodle" in said
    assert "3 runs without excess risk" in lacks(found["bound"])
    assert "do not add up to the bound" in lacks(found["bound"])
    assert found["bound"].numbers["kappa"] is None
    fits = pd.DataFrame(found["relation"].numbers["fits"])
    assert set(fits["definition"]) == {"raw", "error_reduction", "excess_risk"}
    york = fits[fits["estimator"] == "york"]  # needs errors that are not known here
    assert york["slope"].isna().all()
    assert york["note"].str.contains("needs gain_se").all()


def test_dense_panels_are_in_their_comparison_with_words():
    png = b"\x89PNG\r\n\x1a\n panel"
    page, text, numbers, files = page_of(panels={"one": (png, ["source", 'a "b" <c>'])})
    (image,) = [attrs for attrs, _ in page.of("img")]
    assert image["src"].startswith("data:image/png;base64,")
    assert 'a "b" <c>' in image["alt"]
    assert "<c>" not in text.replace("&lt;c>", "")
    assert files["figures/one-panels.png"] == png
    last = numbers["comparisons"][0]["figures"][-1]
    assert last["name"] == "one-panels"
    assert "not to judge by" in last["caption"]


def test_tables_are_latex_too(made):
    _, _, _, files = made
    written = [name for name in files if name.startswith("tables/") and name.endswith(".tex")]
    assert {"tables/fits-tv-classifier.tex", "tables/sign-errors-tv-classifier.tex", "tables/bound-terms.tex",
            "tables/power-published.tex", "tables/specification-joint.tex"} <= set(written)  # fmt: skip
    for name in written:
        text = files[name].decode()
        assert text.isascii(), name
        assert text.count(r"\begin{") == text.count(r"\end{"), name
    assert r"\label{tab:fits-tv-classifier}" in files["tables/fits-tv-classifier.tex"].decode()
