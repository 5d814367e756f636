"""Violations, what κ is refuted, and the steps of the argument, on bounds whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.analysis.test_bound import measured
from tests.analysis.worlds import bound_study
from xkd_bench.analysis.bound import bound_of
from xkd_bench.analysis.bound_check import REST, SCALED, check, links, loosest, summands
from xkd_bench.analysis.results import bound_frames


def world(kappa, n=30, rng=0, se=0.02):
    """Runs whose excess risk is the bound with this κ at most, the first exactly there, seen through test items."""
    random = np.random.default_rng(rng)
    bounds, terms = [], []
    for i in range(n):
        tv, rest = random.uniform(0.05, 0.2, 3), random.uniform(0, 0.02, 3)
        excess = (kappa * 2 * tv.sum() + rest.sum()) * (1 if i == 0 else random.uniform(0.2, 1)) + random.normal(0, se)
        bounds.append({"run": f"r{i}", "excess": excess, "excess_se": se, "bound": 2 * tv.sum() + rest.sum()})
        terms += [{"run": f"r{i}", "term": name, "value": high / 2, "high": high, "tag": "measured", "note": ""}
                  for name, high in zip((*SCALED, *REST), (*tv, *rest), strict=True)]  # fmt: skip
    return pd.DataFrame(bounds), pd.DataFrame(terms)


def test_parts_add_up_to_the_bound():
    bounds, terms = world(0.5)
    found = check(bounds, terms)
    assert (found.runs["scaled"] + found.runs["rest"]).to_numpy() == pytest.approx(bounds["bound"].to_numpy())
    assert summands(terms)["part"].sum() == pytest.approx(bounds["bound"].sum())
    broken = terms.assign(high=terms["high"].where(terms["run"] != "r3", 0.0))
    assert check(bounds, broken).runs.set_index("run")["scaled"].isna().sum() == 1
    assert np.isnan(check(bounds, terms[terms["term"] != "capacity"]).kappa)


def test_a_kappa_that_holds_is_refuted_no_more_often_than_the_level():
    n = 120
    found = [check(*world(0.7, rng=i)) for i in range(n)]
    assert sum(one.kappa_low > 0.7 for one in found) <= stats.binom.ppf(0.999, n, 0.05)
    assert np.mean([one.kappa > 0.7 for one in found]) > 0.4  # the plain maximum is no limit
    assert np.mean([one.kappa_low for one in found]) > 0.4


def test_violations_are_told_only_beyond_the_noise_of_test_items():
    holds, fails = check(*world(0.9, se=0.001)), check(*world(1.6, se=0.001))
    assert (holds.violations, holds.told) == (0, 0)
    assert fails.told > 0
    assert fails.kappa_low > 1.5
    assert check(*world(1.02, n=5, se=0.1)).told == 0


def test_runs_without_numbers_are_left_out():
    bounds, terms = world(0.5)
    bounds.loc[0, "excess_se"] = np.nan
    assert len(check(bounds, terms).runs) == 29
    empty = check(bounds.assign(bound=np.nan), terms)
    assert empty.runs.empty
    assert np.isnan(empty.kappa)
    assert np.isnan(check(bounds, pd.DataFrame()).kappa)


def test_steps_are_counted_by_their_sign():
    _, _, terms = bound_study(families=1)
    terms.loc[terms["term"] == "link_triangle", "value"] = [-0.1, *[0.2] * 53]
    found = links(terms).iloc[0]
    assert (found["runs"], found["fails"], found["least"], found["median"]) == (54, 1, -0.1, 0.2)
    assert found["note"] == "TV(φ̂_B, φ_B*) ≤ sum of three"
    assert links(terms[terms["term"] != "link_triangle"]).empty
    assert loosest(pd.Series(["measured", "proxy", "exact"])) == "proxy"


def test_the_terms_of_a_run_are_those_that_are_read_here():
    """Names and sum as `analysis.bound` writes them."""
    found = bound_of(measured(np.random.default_rng(0))).as_dict()
    spec = {"task": "doodle@blur=0.4", "method": "cmc", "seed": 0}
    one = {"run": "r", "key": "k", "version": 1, "spec": spec, "card": {"origin": "real"}, **found}
    bounds, terms = bound_frames([one])
    one = check(bounds, terms).runs.iloc[0]
    assert one["scaled"] + one["rest"] == pytest.approx(one["bound"])
    assert max(0.0, one["kappa"]) == pytest.approx(terms.set_index("term").loc["kappa", "value"])
    assert {"link_triangle", "link_pinsker", "link_contrast", "link_head", "link_bound"} <= set(links(terms)["term"])
