"""Which rows a relation is made of, what counts as independent, and which sign is claimed."""

import numpy as np
import pandas as pd
import pytest

from tests.analysis.worlds import bound_study
from xkd_bench.analysis import study
from xkd_bench.analysis.claims_theory import gap_relation
from xkd_bench.analysis.ledger import Data
from xkd_bench.analysis.verdicts import Region

FIRST = study.ESTIMATORS[0]


def test_a_relation_is_the_mean_of_both_methods_of_each_condition():
    conditions, _, _ = bound_study()
    found = study.relation(conditions, "raw", FIRST)
    rows = conditions[(conditions["definition"] == "raw") & (conditions["estimator"] == FIRST)]
    means = rows.groupby(["family", "condition"])["gain"].mean()
    assert found.set_index(["family", "condition"])["gain"].to_dict() == pytest.approx(means.to_dict())
    assert len(found) == 36
    assert set(study.COVARIATES) <= set(found.columns)
    assert study.relation(conditions.assign(n_seeds=2), "raw", FIRST).empty
    assert study.relation(pd.DataFrame(), "raw", FIRST).empty
    other = conditions.assign(method=conditions["method"] + " (tau=0.2)")
    assert study.relation(other, "raw", FIRST).empty


def test_an_error_that_one_method_lacks_is_lacking():
    conditions, _, _ = bound_study(families=1)
    conditions.loc[conditions["method"] == "cmd", "gain_se"] = np.nan
    assert study.relation(conditions, "raw", FIRST)["gain_se"].isna().all()


def lineages(rows_each=12, clusters=8, rng=0, slope=0.0):
    """One family of pairs of styles; what a cluster shares makes both its gaps and its gains."""
    random = np.random.default_rng(rng)
    rows = []
    for c in range(clusters):
        gap, gain = random.normal(0.5, 0.1), random.normal(0, 0.1)
        for i in range(rows_each):
            for method in study.OURS:
                own = {"gap": gap + random.normal(0, 0.01), "gain": gain + slope * gap + random.normal(0, 0.01)}
                rows.append({"family": "emoji", "condition": f"c{c}-{i}", "cluster": f"c{c}", "method": method,
                             "protocol": study.PROTOCOL, "definition": "excess_risk", "estimator": FIRST,
                             "gain_se": 0.01, "gap_se": 0.01, "n_seeds": 3, **own})  # fmt: skip
    return pd.DataFrame(rows)


def test_conditions_of_a_cluster_are_one_unit_where_a_family_has_several():
    found = study.units(study.relation(lineages(), "excess_risk", FIRST))
    assert sorted(found["condition"]) == [f"c{c}" for c in range(8)]
    degrees = study.relation(bound_study()[0], "raw", FIRST)
    pd.testing.assert_frame_equal(study.units(degrees), degrees)  # a family that is one cluster
    pd.testing.assert_frame_equal(study.units(degrees.drop(columns="cluster")), degrees.drop(columns="cluster"))


def test_descent_is_not_taken_for_evidence():
    """Gap and gain of a cluster are independent draws: rows as such would find a relation in most worlds."""
    n, test = 40, gap_relation("excess_risk", FIRST)
    p = [test(Data(conditions=lineages(rng=i)), Region(low=0, unit="")).p for i in range(n)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / n)
    naive = [
        test(Data(conditions=lineages(rng=i).drop(columns="cluster")), Region(low=0, unit="")).p for i in range(12)
    ]
    assert np.mean(np.array(naive) <= 0.05) > 0.3
    found = test(Data(conditions=lineages(slope=3.0)), Region(low=0, unit=""))
    assert found.p < 0.05
    assert "96 conditions in 8 independent units" in found.note


def test_signs_that_are_claimed():
    conditions, _, _ = bound_study(families=1)
    turned = study.signed(conditions)
    risk = conditions["definition"] == "excess_risk"
    assert (turned.loc[risk, "gain"] == -conditions.loc[risk, "gain"]).all()
    assert (turned.loc[~risk, "gain"] == conditions.loc[~risk, "gain"]).all()
