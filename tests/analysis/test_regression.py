"""Slopes of gain on gap: equal to references where there are any, and right on tables whose slope is known."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from scipy import stats

from tests.analysis.worlds import conditions
from xkd_bench.analysis.influence import cooks, leave_one_task_out
from xkd_bench.analysis.regression import errors_in_variables, mixed, ols, regress, spearman, theil_sen
from xkd_bench.analysis.regression_errors import york
from xkd_bench.errors import UsageError

PEARSON = (
    (0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4),
    (5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5),
    (1000, 1000, 500, 800, 200, 80, 60, 20, 1.8, 1.0),
    (1, 1.8, 4, 8, 20, 20, 70, 70, 100, 500),
)
"""Pearson's data with York's weights of x and y (York 1966; York et al. 2004, section IV)."""


def missed(fit, sims, truth=-0.3, **world):
    found = [fit(conditions(slope=truth, rng=i, **world)) for i in range(sims)]
    return np.mean([not f.low <= truth <= f.high for f in found])


def bound(p, n):
    return p + 4 * np.sqrt(p * (1 - p) / n)


def test_ols_is_statsmodels_with_an_intercept_for_each_task():
    df = conditions()
    model = smf.ols("gain ~ gap + baseline + C(family)", df)
    found = ols(df.assign(cluster=range(len(df))), ["baseline"])
    reference = model.fit(cov_type="HC2", use_t=True)
    assert found.slope == pytest.approx(reference.params["gap"])
    assert found.se == pytest.approx(reference.bse["gap"])  # each row a cluster: CR2 is HC2
    half = stats.t.ppf(0.975, float(found.note.split(",")[1].split()[0])) * found.se
    assert (found.low, found.high) == pytest.approx((found.slope - half, found.slope + half), rel=1e-2)
    assert ols(df).note.startswith("6 clusters")


def test_york_gives_the_published_line():
    x, y, wx, wy = (np.array(v, dtype=float) for v in PEARSON)
    found = york(x, y, wx**-0.5, wy**-0.5, scatter=False)
    assert found.slope == pytest.approx(-0.480533407, abs=1e-8)
    assert found.se == pytest.approx(0.0579850, abs=1e-5)
    assert found.chi2 == pytest.approx(11.8663531, abs=1e-5)
    assert found.df == 8


def test_york_without_errors_of_x_is_weighted_least_squares():
    df = conditions(tasks=1, each=12)
    se = np.random.default_rng(0).uniform(0.01, 0.1, 12)
    found = york(df["gap"], df["gain"], np.zeros(12), se, scatter=False)
    slope, _ = np.polyfit(df["gap"], df["gain"], 1, w=1 / se)
    assert found.slope == pytest.approx(slope)


def test_york_scatter_makes_chi2_its_degrees_of_freedom_and_finds_the_truth():
    df = conditions(tasks=4, each=60, noise=0.05, gap_error=0.02)
    found = york(df["gap"], df["gain"], df["gap_se"], df["gain_se"], df["family"])
    assert found.chi2 == pytest.approx(found.df, rel=1e-6)
    assert found.scatter == pytest.approx(0.05, rel=0.2)


def test_an_uncertain_gap_flattens_least_squares_and_not_york():
    world = conditions(tasks=5, each=80, gap_error=0.1, noise=0.01)
    assert ols(world).slope > -0.3 * 0.75  # attenuation: var / (var + error²) = 0.57
    assert errors_in_variables(world).slope == pytest.approx(-0.3, abs=0.04)


def test_theil_sen_of_one_task_is_scipys():
    df = conditions(tasks=1, each=15).round(2)  # ties
    df["gain"] = df["gain"].rank() / 15  # no ties in gain: scipy corrects the interval for those of gain only
    found = theil_sen(df.drop_duplicates("gap"))
    reference = stats.theilslopes(df.drop_duplicates("gap")["gain"], df.drop_duplicates("gap")["gap"], 0.95)
    assert (found.slope, found.low, found.high) == pytest.approx(
        (reference.slope, reference.low_slope, reference.high_slope)
    )


def test_theil_sen_p_is_kendalls():
    df = conditions(tasks=1, each=14, slope=-0.1)
    x, y = df["gap"].to_numpy(), df["gain"].to_numpy()
    s = sum(np.sign((x[j] - x[i]) * (y[j] - y[i])) for i in range(14) for j in range(i + 1, 14))
    z = (abs(s) - 1) / np.sqrt(14 * 13 * 33 / 18)
    assert theil_sen(df).p == pytest.approx(2 * stats.norm.sf(z))


def test_mixed_is_within_task():
    """Tasks whose gaps are large gain more for other reasons: within them the slope is what it is."""
    df = conditions(tasks=8, each=8, confounded=3.0, noise=0.01)
    pooled = np.polyfit(df["gap"], df["gain"], 1)[0]
    assert pooled > 0
    assert mixed(df).slope == pytest.approx(ols(df).slope, abs=0.01)
    assert mixed(df).slope == pytest.approx(-0.3, abs=0.05)


def test_mixed_without_split_is_statsmodels_when_gaps_are_centred():
    df = conditions(tasks=5, each=6)
    df["gap"] -= df.groupby("family")["gap"].transform("mean")
    df["across"] = df["family"].map({f"task{i}": v for i, v in enumerate((0.1, 0.5, 0.2, 0.9, 0.4))})
    df["noise"] = df["gap"] / df["gap"].std(ddof=0)
    own = np.random.default_rng(0).normal(0, 0.2, 5)
    df["gain"] += own[df["family"].str[-1].astype(int)] * df["gap"]
    free = sm.regression.mixed_linear_model.MixedLMParams.from_components(np.ones(2), np.eye(2))
    reference = smf.mixedlm("gain ~ gap", df, groups=df["family"], re_formula="~noise").fit(free=free)
    assert mixed(df).slope == pytest.approx(reference.params["gap"], abs=1e-4)
    assert mixed(df).se == pytest.approx(reference.bse["gap"], rel=1e-3)
    assert mixed(df).note == "slopes differ between tasks"
    equal = df[df["family"] < "task3"].assign(gain=lambda d: d["gain"])
    alone = smf.mixedlm("gain ~ gap", equal, groups=equal["family"]).fit()
    assert mixed(equal).slope == pytest.approx(alone.params["gap"], abs=1e-4)
    assert "equal in all" in mixed(equal).note


def test_all_estimators_in_one_table():
    found = regress(conditions(gap_error=0.01)).set_index("estimator")
    assert list(found.index) == ["ols", "mixed", "theil-sen", "york", "spearman"]
    assert found.loc[["ols", "mixed", "theil-sen", "york"], "slope"].to_numpy() == pytest.approx(-0.3, abs=0.08)
    assert (found["p"] < 0.01).all()
    assert found.loc["spearman", "slope"] == spearman(conditions(gap_error=0.01)).slope < -0.5


def test_what_cannot_be_had_is_nan_with_a_reason():
    few = regress(conditions(tasks=2, each=2)).set_index("estimator")
    assert few["slope"].drop("spearman").isna().all()
    assert few["note"].str.len().gt(0).all()
    flat = conditions().assign(gap=0.3)
    assert regress(flat)["slope"].isna().all()
    assert "gap_se" in errors_in_variables(conditions().drop(columns="gap_se")).note
    assert "3 clusters" in ols(conditions(tasks=3)).note
    with pytest.raises(UsageError, match="lack the column gap"):
        regress(conditions().drop(columns="gap"))
    with pytest.raises(UsageError, match="1 of 36"):
        regress(conditions().assign(gain=lambda d: d["gain"].where(d.index != 3)))


@pytest.mark.parametrize("fit", [ols, theil_sen])
def test_intervals_cover(fit):
    assert missed(fit, 150, tasks=8, each=5) <= bound(0.05, 150)


def test_york_covers_where_least_squares_does_not():
    world = {"tasks": 4, "each": 10, "gap_error": 0.08, "noise": 0.0, "truth": -1.0}

    def known(df):
        line = york(df["gap"], df["gain"], df["gap_se"], df["gain_se"], df["family"], scatter=False)
        return pd.Series({"low": line.slope - 1.96 * line.se, "high": line.slope + 1.96 * line.se})

    assert missed(known, 120, **world) <= bound(0.05, 120)
    assert missed(ols, 40, **world) > 0.3


def test_dropping_the_one_task_that_makes_the_slope_is_seen():
    flat, steep = conditions(slope=0.05, tasks=4, noise=0.005), conditions(slope=-3, tasks=1, each=8, rng=9)
    df = pd.concat([flat, steep.assign(family="odd")], ignore_index=True)
    found = leave_one_task_out(df).set_index("family")
    assert ols(df).slope < 0
    assert found.index[found["flips"]].tolist() == ["odd"]
    assert found.loc["odd", "slope"] == pytest.approx(ols(flat).slope)


def test_cooks_distance_is_statsmodels():
    df = conditions(tasks=3, each=8)
    df.loc[5, "gain"] += 1
    found = cooks(df)
    fitted = smf.ols("gain ~ 0 + gap + C(family)", df).fit()
    influence = fitted.get_influence()
    assert np.allclose(found["cook"], influence.cooks_distance[0])
    assert np.allclose(found["leverage"], influence.hat_matrix_diag)
    assert found["cook"].idxmax() == 5
    assert found.loc[5, "outlying"]
    without = smf.ols("gain ~ 0 + gap + C(family)", df.drop(index=5)).fit().params["gap"]
    assert found.loc[5, "slope_without"] == pytest.approx(without)


def test_few_uneven_clusters_do_not_flatter_the_slope():
    """Three families, of which the first carries the slope: the usual sandwich errs, CR2 with its own t does not."""
    wrong = np.zeros(2)
    for i in range(120):
        df = uneven(i)
        sandwich = smf.ols("gain ~ gap + C(family)", df).fit(
            cov_type="cluster", cov_kwds={"groups": pd.factorize(df["family"])[0]}, use_t=True
        )
        wrong += [ols(df).p < 0.05, sandwich.pvalues["gap"] < 0.05]
    assert wrong[0] / 120 <= bound(0.05, 120)
    assert wrong[1] / 120 > 0.1


def uneven(rng, slopes=0.0):
    random, parts = np.random.default_rng(rng), []
    for i, (n, half) in enumerate(((20, 0.3), (6, 0.02), (6, 0.1))):
        x, own = random.uniform(0.5 - half, 0.5 + half, n), random.normal(0, slopes)
        parts.append(pd.DataFrame({"family": f"t{i}", "gap": x, "gain": i + own * x + random.normal(0, 0.02, n)}))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.slow
def test_slopes_that_differ_between_tasks_are_not_taken_for_a_common_one():
    """Own slopes around zero: least squares and the mixed model speak of their mean, rows as such do not."""
    n, wrong = 200, np.zeros(3)
    for i in range(n):
        own = np.random.default_rng(i).normal(0, 0.3, 8)
        df = conditions(slope=0.0, tasks=8, each=8, rng=i)
        df["gain"] += own[df["family"].str[-1].astype(int)] * df["gap"]
        wrong += [ols(df).p < 0.05, mixed(df).p < 0.05, theil_sen(df).p < 0.05]
    assert (wrong[:2] / n <= bound(0.06, n)).all()
    assert wrong[2] / n > 0.15


@pytest.mark.slow
@pytest.mark.parametrize("truth", [0.0, -0.3])
@pytest.mark.parametrize("fit", [ols, mixed, theil_sen, errors_in_variables])
def test_size_and_coverage(fit, truth):
    n = 600
    found = [fit(conditions(slope=truth, tasks=10, each=5, gap_error=0.02, rng=i)) for i in range(n)]
    wrong = np.mean([not f.low <= truth <= f.high for f in found])
    assert wrong <= bound(0.06 if fit is ols else 0.05, n)
    if truth == 0:
        assert np.mean([f.p < 0.05 for f in found]) <= bound(0.06 if fit is ols else 0.05, n)
