"""Cluster-robust errors against what is known: HC2, Welch's test, closed forms of the degrees of freedom."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from xkd_bench.analysis.regression_robust import robust


def fitted(x, y):
    return y - x @ np.linalg.lstsq(x, y, rcond=None)[0]


def two_samples(n1, n0, each=1, rng=0):
    """Treated clusters first; columns: treatment, constant."""
    random = np.random.default_rng(rng)
    treated = np.repeat(np.arange(n1 + n0) < n1, each).astype(float)
    clusters = np.repeat(np.arange(n1 + n0), each)
    y = random.normal(size=n1 + n0)[clusters] + random.normal(0, 0.5, len(treated))
    return np.column_stack([treated, np.ones(len(treated))]), y, clusters


def closed_form(n1, n0):
    """Bell and McCaffrey's of two samples, as in Imbens and Kolesár, Rev. Econ. Stat. 98 (2016) 701-712."""
    return (n1 + n0) ** 2 * (n1 - 1) * (n0 - 1) / (n0**2 * (n0 - 1) + n1**2 * (n1 - 1))


def test_rows_that_are_clusters_of_their_own_are_hc2():
    random = np.random.default_rng(0)
    x = np.column_stack([random.normal(size=30), random.uniform(size=30), np.ones(30)])
    y = random.normal(size=30) * (1 + x[:, 1])
    reference = sm.OLS(y, x).fit(cov_type="HC2")
    for column in range(3):
        se, _ = robust(x, fitted(x, y), np.arange(30), column)
        assert se == pytest.approx(reference.bse[column])


@pytest.mark.parametrize(("n1", "n0"), [(3, 27), (5, 5), (10, 4)])
def test_two_samples_have_welchs_error_and_the_published_degrees_of_freedom(n1, n0):
    x, y, clusters = two_samples(n1, n0)
    se, df = robust(x, fitted(x, y), clusters)
    assert se == pytest.approx(np.sqrt(y[:n1].var(ddof=1) / n1 + y[n1:].var(ddof=1) / n0))
    assert df == pytest.approx(closed_form(n1, n0))


@pytest.mark.parametrize(("n1", "n0"), [(3, 6), (8, 8)])
def test_clusters_of_one_size_are_their_means(n1, n0):
    x, y, clusters = two_samples(n1, n0, each=5)
    se, df = robust(x, fitted(x, y), clusters)
    means = y.reshape(-1, 5).mean(axis=1)
    reference = stats.ttest_ind(means[:n1], means[n1:], equal_var=False)
    beta = means[:n1].mean() - means[n1:].mean()
    assert beta / se == pytest.approx(reference.statistic)
    assert df == pytest.approx(closed_form(n1, n0))


def test_the_error_is_unbiased_when_rows_are_independent():
    x, _, clusters = two_samples(2, 5, each=4)
    random = np.random.default_rng(1)
    found = [robust(x, fitted(x, random.normal(size=len(x))), clusters)[0] ** 2 for _ in range(3000)]
    truth = np.linalg.inv(x.T @ x)[0, 0]
    assert np.mean(found) == pytest.approx(truth, abs=5 * np.std(found) / np.sqrt(3000))


def test_an_intercept_for_each_cluster_is_the_same_as_taking_it_out_first():
    random = np.random.default_rng(2)
    clusters = np.repeat(np.arange(5), [4, 9, 6, 3, 8])
    gap = random.uniform(size=30) * (1 + clusters)
    y = random.normal(size=30) + clusters
    dummies = (clusters[:, None] == np.arange(5)).astype(float)
    x = np.column_stack([gap, dummies])
    within = gap - dummies @ (dummies.T @ gap / dummies.sum(axis=0))
    whole = robust(x, fitted(x, y), clusters)
    assert whole == pytest.approx(robust(within[:, None], fitted(x, y), clusters))
