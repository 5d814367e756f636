"""Verdicts on simulated studies: right where theory holds, or is turned round, silent where there is nothing.

The long study, with its table, is `python -m xkd_bench.benchmarks.verdict_calibration`.
"""

import numpy as np
import pytest
from scipy import stats

from tests.analysis.worlds import bound_study
from xkd_bench.analysis import study
from xkd_bench.analysis.claims import CLAIMS
from xkd_bench.analysis.claims_theory import gap_relation, in_every_scale
from xkd_bench.analysis.ledger import Data, evaluate
from xkd_bench.analysis.power import correlation_power
from xkd_bench.analysis.verdicts import Region
from xkd_bench.benchmarks.verdict_calibration import STUDIES, rate_row, run

THEORY = ("H1-lower-bound", "H1-gibbs", "H1'-tv_classifier", "H1'-tv_gibbs_normalised")
RISES, FALLS = Region(low=0, unit=""), Region(high=0, unit="")


def data(**world):
    conditions, bounds, _ = bound_study(**world)
    return Data(conditions=conditions, bounds=bounds)


def verdicts(found):
    claims = [claim for claim in CLAIMS if claim.name in (*THEORY, "H7")]
    return evaluate(claims, found).set_index("claim")["verdict"].to_dict()


@pytest.mark.parametrize(("slope", "said"), [(0.5, "supported"), (-0.5, "refuted")])
def test_theory_is_supported_where_it_holds_and_refuted_in_the_twisted_world(slope, said):
    found = verdicts(data(slope=slope, loose=0.4))
    assert {found[name] for name in THEORY} == {said}
    assert found["H7"] == "supported"


def test_vacuous_bounds_support_nothing():
    found = data(slope=0.5)
    assert (found.bounds["bound"] > found.bounds["excess"]).all()
    assert verdicts(found)["H7"] == "undecided"


@pytest.mark.parametrize("loose", [0.4, 1.0])
def test_a_bound_that_is_broken_is_refuted(loose):
    broken = data(slope=0.5, loose=loose)
    broken.bounds.loc[7, "excess"] = broken.bounds.loc[7, "bound"] + 0.2
    assert verdicts(broken)["H7"] == "refuted"
    broken.bounds.loc[7, "excess"] = broken.bounds.loc[7, "bound"] + 0.01  # test items explain it
    assert verdicts(broken)["H7"] == "undecided"


@pytest.mark.parametrize(
    "test", [gap_relation("excess_risk", study.ESTIMATORS[0]), in_every_scale(study.ESTIMATORS[0])]
)
def test_nothing_is_decided_where_there_is_no_relation(test):
    n, wrong = 30, 0
    for i in range(n):
        found = test(data(slope=0.0, noise=0.03, rng=i), RISES)
        wrong += found.verdict(RISES, found.p) != "undecided"
    assert wrong <= stats.binom.ppf(0.999, n, 0.05)


def test_power_is_what_a_known_slope_should_give():
    """Within a family gaps are nine even steps from .05 to .55, gains the mean of two methods and three seeds."""
    n, rho, test = 40, 0.5, gap_relation("excess_risk", study.ESTIMATORS[0])
    spread = np.linspace(0.05, 0.55, 9).std(ddof=1)
    noise = 0.1
    slope = rho / np.sqrt(1 - rho**2) * noise / np.sqrt(6) / spread
    found = [test(data(slope=slope, noise=noise, gap_error=0.001, rng=i), RISES) for i in range(n)]
    rate = np.mean([one.verdict(RISES, one.p) == "supported" for one in found])
    expected = correlation_power(rho, 36 - 4 + 1)
    assert rate == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / n) + 0.06)  # ranks lose some 5 %


def test_the_long_study_counts_what_it_says():
    wanted = {name: make for name, make in STUDIES.items() if name.startswith("H1 verdict")}
    rows = run(wanted, 6)
    assert {row["study"] for row in rows} == set(wanted)
    assert all(row["replicates"] == 6 for row in rows)
    whole = rate_row("s", "at most 5 %", 0.05, [True] * 20 + [False] * 80)
    assert whole["rate"] == 0.2
    assert not whole["holds"]
    assert rate_row("s", "at most 5 %", 0.05, [True] * 5 + [False] * 95)["holds"]


@pytest.mark.slow
def test_the_long_study_holds():
    failed = [row["study"] for row in run(STUDIES, 300) if not row["holds"]]
    assert not failed
