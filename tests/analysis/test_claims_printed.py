"""The published numbers, analysed again: every check of the specification's section 8, and the ledger's verdicts."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from xkd_bench.analysis import published
from xkd_bench.analysis.claims import CLAIMS
from xkd_bench.analysis.claims_printed import rounded_correlations
from xkd_bench.analysis.ledger import COLUMNS, PAPERS, evaluate
from xkd_bench.analysis.permutation import association, pearson_t
from xkd_bench.analysis.published import DATASETS, best, cell, gain, margin, rivals, total_variation
from xkd_bench.errors import UsageError


@pytest.fixture(scope="module")
def ledger() -> pd.DataFrame:
    return evaluate(CLAIMS).set_index("claim")


def test_the_tables_are_whole():
    df = published.cmcd()
    assert len(df) == 121
    assert df.groupby("table").size().to_dict() == {
        "Table1": 60,
        "Table2": 12,
        "Table3": 6,
        "Table4": 20,
        "Table5": 20,
        "Figure1": 3,
    }
    assert df["value"].isna().sum() == 3  # what the text says of Figure 1 is no number
    with pytest.raises(KeyError, match="0 numbers"):
        cell("Sketchy", "CMX", "LE")


@pytest.mark.parametrize(
    ("kind", "protocol", "sets", "r", "t_p", "exact_p"),
    [
        ("raw", "LE", 4, 0.020, 0.98, 1.00),
        ("raw", "FT", 4, -0.054, 0.95, 1.00),
        ("raw", "LE", 3, 0.058, 0.96, 1.00),
        ("raw", "FT", 3, -0.066, 0.96, 1.00),
        ("relative", "LE", 4, 0.980, 0.020, 0.083),
        ("error", "LE", 4, -0.573, 0.43, 0.50),
        ("error", "LE", 3, -0.997, 0.053, 0.33),
        ("error", "FT", 4, -0.839, 0.16, 0.17),
        ("margin", "FT", 4, -0.874, 0.13, 0.17),
        ("margin", "LE", 4, -0.372, 0.63, 0.67),
    ],
)
def test_gain_against_distance(kind, protocol, sets, r, t_p, exact_p):
    names = DATASETS[:sets]
    x, y = [total_variation(d) for d in names], [gain(d, protocol, kind) for d in names]
    found = association(x, y, rank=False)
    assert found.r == pytest.approx(r, abs=0.0006)
    assert found.r == pytest.approx(stats.pearsonr(x, y).statistic)
    assert pearson_t(found.r, sets) == pytest.approx(t_p, abs=0.006)
    assert found.p == pytest.approx(exact_p, abs=0.006)
    assert found.exact


@pytest.mark.parametrize(
    ("kind", "protocol", "rho"),
    [("raw", "LE", -0.21), ("raw", "FT", 0.21), ("relative", "LE", 0.95), ("error", "LE", -0.74),
     ("error", "FT", -0.95), ("margin", "FT", -0.95), ("margin", "LE", -0.21)],
)  # fmt: skip
def test_rank_correlation(kind, protocol, rho):
    x, y = [total_variation(d) for d in DATASETS], [gain(d, protocol, kind) for d in DATASETS]
    assert association(x, y).r == pytest.approx(rho, abs=0.006)


def test_margins_over_the_best_baseline():
    found = {p: [round(margin(d, p).value, 2) for d in DATASETS] for p in ("LE", "FT")}
    assert found == {"LE": [1.91, 4.26, 1.92, 0.74], "FT": [2.61, 2.02, 0.95, 1.33]}


@pytest.mark.parametrize(
    ("dataset", "protocol", "method", "z"),
    [("Sketchy", "FT", "CMD", 1.7), ("TUBerlin", "LE", "CMD", 1.3), ("TUBerlin", "FT", "CMC", 1.9),
     ("VGGSound", "FT", "CMC", 1.4), ("VGGSound", "FT", "CMD", 1.1)],
)  # fmt: skip
def test_z_where_the_difference_is_not_significant(dataset, protocol, method, z):
    difference = cell(dataset, method, protocol) - best(dataset, protocol, rivals(protocol))[1]
    assert difference.value / difference.se == pytest.approx(z, abs=0.06)


@pytest.mark.parametrize(
    ("dataset", "low", "high"), [("TUBerlin", 0.60, 0.67), ("Sketchy", 0.28, 0.36), ("VGGSound", 0.45, 0.48)]
)
def test_binomial_errors(dataset, low, high):
    ses = [cell(dataset, m, p).se for m in ("CMKD", "SOCKET", "CMD", "CMC") for p in ("LE", "FT")]
    assert low - 0.035 <= min(ses) <= max(ses) <= high + 0.035


def test_which_differences_are_significant_before_correction(ledger):
    found = ledger[ledger.index.str.startswith("over-best") & ledger["p"].lt(0.05)].index
    assert {name.removeprefix("over-best-") for name in found} == {
        *("cmd-sketchy-le", "cmc-sketchy-le", "cmc-sketchy-ft", "cmc-tuberlin-le", "cmd-tuberlin-ft"),
        *("cmd-vggsound-le", "cmc-vggsound-le"),
    }


def test_verdicts_on_the_tables(ledger):
    expected = {
        **dict.fromkeys(
            ["t2-linear", "t2-tuned", "shared-cells", "mix-ends", "outperforms", "margin-sound"], "supported"
        ),
        **dict.fromkeys(["no-dominant-alpha", "wider-resnet50-printed", "few-linear-printed"], "supported"),
        **dict.fromkeys(["four-distances", "both-outperform", "margin-2-3", "headline", "ssl-not-harmful"], "refuted"),
        **dict.fromkeys(["gap-sign-le", "gap-sign-ft", "sketch-over-sound-le-printed"], "refuted"),
        **dict.fromkeys(["sketch-over-sound-ft-printed", "wider-resnet18-printed"], "refuted"),
        **dict.fromkeys(["gap-gain-le-raw-4", "gap-gain-ft-raw-4", "gap-gain-le-relative-4"], "undecided"),
        **dict.fromkeys(["wider-resnet18-sampled", "alpha-matters", "few-linear-sampled"], "undecided"),
    }
    assert {name: ledger.loc[name, "verdict"] for name in expected} == expected
    assert ledger.loc["margin-2-3", "note"].startswith("2 of 8 hold")
    assert ledger.loc["margin-2", ["verdict", "effect"]].tolist() == ["refuted", pytest.approx(0.74)]
    assert ledger.loc["margin-sketch", "verdict"] == "supported"
    assert ledger.loc["ssl-not-harmful", "effect"] == pytest.approx(-5.51)
    assert ledger.loc["sketch-over-sound-le-sampled", ["effect", "high"]].tolist() == pytest.approx(
        [-0.14, 1.45], abs=0.01
    )
    assert ledger.loc["sketch-over-sound-ft-sampled", "effect"] == pytest.approx(0.095)


def test_rounding_of_the_distances_leaves_the_raw_sign_open(ledger):
    """Raw r may lie anywhere in [-.15, .18] (linear) and [-.21, .13] (tuned): inside, and near, the extremes here."""
    for protocol, low, high in (("LE", -0.15, 0.18), ("FT", -0.21, 0.13)):
        rs = rounded_correlations(protocol, "raw")
        assert min(rs) <= low + 0.005
        assert max(rs) >= high - 0.005
        assert (min(rs), max(rs)) == pytest.approx((low, high), abs=0.016)


def test_every_claim_is_one_and_says_what_it_needs(ledger):
    assert not ledger.index.duplicated().any()
    assert set(ledger["paper"]) == set(PAPERS)
    assert set(ledger["verdict"]) <= {"supported", "refuted", "undecided"}
    suite = ledger[ledger["kind"] == "suite"]
    assert (suite["verdict"] == "undecided").all()  # there are no records
    assert suite["missing"].str.len().gt(10).all()
    decided = ledger[ledger["verdict"] != "undecided"]
    assert decided[["effect", "low", "high"]].notna().all(axis=None)
    assert decided["data"].str.len().gt(0).all()


def test_holm_runs_over_the_papers_tested_claims_only(ledger):
    tested = ledger[ledger["family"].eq("cmcd, published") & ledger["p"].notna()]
    smallest = tested.loc[tested["p"].idxmin()]
    assert smallest["p_holm"] == pytest.approx(min(1.0, smallest["p"] * len(tested)))
    assert (tested["p_bh"] <= tested["p_holm"] + 1e-12).all()
    assert ledger.loc[ledger["p"].isna(), "p_holm"].isna().all()


def test_one_paper_alone_gives_the_same_verdicts(ledger):
    alone = evaluate(CLAIMS, paper="cmcd").set_index("claim")
    assert list(alone.columns) == [name for name in COLUMNS if name != "claim"]
    pd.testing.assert_frame_equal(alone, ledger[ledger["paper"] == "cmcd"])
    with pytest.raises(UsageError, match="there are cmcd, af-dcd"):
        evaluate(CLAIMS, paper="cmc")


def test_the_sign_of_larger_gains_on_larger_sets_depends_on_the_scale(ledger):
    row = ledger.loc["afdcd-larger-sets"]
    assert row["verdict"] == "undecided"
    assert "-0.74 points" in row["note"]
    assert np.isnan(row["p"])
