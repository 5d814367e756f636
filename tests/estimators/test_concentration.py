"""Bounds for means: published values, and exact coverage computed from the binomial law itself."""

import math

import numpy as np
import pytest
from scipy import stats

from estimators.concentration import (
    bernstein_radius,
    chernoff_lower,
    chernoff_upper,
    clopper_pearson_lower,
    clopper_pearson_upper,
    dkw_radius,
    group_means,
    hoeffding_radius,
)
from estimators.total_variation.classifier import pooled_bound


def test_published_values():
    assert clopper_pearson_lower(90, 100, 0.025) == pytest.approx(0.823777, abs=1e-6)
    assert clopper_pearson_lower(180, 200, 0.05) == pytest.approx(0.858011, abs=1e-6)
    assert pooled_bound(180, 100, 0.05) == pytest.approx(0.716021, abs=2e-6)


def test_clopper_pearson_inverts_the_binomial_tail():
    for k, n, alpha in ((3, 10, 0.05), (17, 20, 0.01), (1, 5, 0.2)):
        assert stats.binom.sf(k - 1, n, clopper_pearson_lower(k, n, alpha)) == pytest.approx(alpha)
        assert stats.binom.cdf(k, n, clopper_pearson_upper(k, n, alpha)) == pytest.approx(alpha)
    assert clopper_pearson_lower(0, 7, 0.05) == 0.0
    assert clopper_pearson_upper(7, 7, 0.05) == 1.0


@pytest.mark.parametrize("bound", [clopper_pearson_lower, lambda k, n, a: chernoff_lower(k / n, n, a)])
@pytest.mark.parametrize("p", [0.02, 0.3, 0.5, 0.93])
def test_exact_coverage_of_lower_bounds(bound, p):
    n, alpha = 40, 0.05
    chance = sum(stats.binom.pmf(k, n, p) for k in range(n + 1) if bound(k, n, alpha) <= p)
    assert chance >= 1 - alpha


@pytest.mark.parametrize(("p", "q"), [(0.5, 0.5), (0.2, 0.9), (0.05, 0.6)])
def test_clopper_pearson_covers_the_mean_of_unequal_chances(p, q):
    """What the pooled bound rests on: a sum of two binomials is not binomial, and yet covered."""
    m, alpha = 25, 0.05
    both = np.convolve(stats.binom.pmf(np.arange(m + 1), m, p), stats.binom.pmf(np.arange(m + 1), m, q))
    covered = [clopper_pearson_lower(k, 2 * m, alpha) <= (p + q) / 2 for k in range(2 * m + 1)]
    assert both[covered].sum() >= 1 - alpha


def test_chernoff_is_inside_hoeffding_and_solves_its_equation():
    for mean, n in ((0.0, 30), (0.2, 100), (0.9, 17)):
        upper = chernoff_upper(mean, n, 0.05)
        assert mean <= upper <= mean + hoeffding_radius(n, 0.05) + 1e-12
        p, q = max(mean, 1e-300), upper
        divergence = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
        assert n * divergence == pytest.approx(math.log(20), rel=1e-6)
    assert chernoff_upper(1.0, 10, 0.05) == 1.0


def test_bernstein_beats_hoeffding_only_where_the_variance_is_small():
    n, alpha = 1000, 0.05
    assert bernstein_radius(0.001, n, alpha) < hoeffding_radius(n, alpha) < bernstein_radius(0.25, n, alpha)
    assert bernstein_radius(0.0, 1, alpha) == 1.0


def test_dkw_needs_a_small_alpha():
    with pytest.raises(ValueError, match=r"0, 0.5"):
        dkw_radius(10, 0.6)


def test_group_means_weigh_groups_equally():
    assert group_means(np.array([1.0, 1.0, 1.0, 5.0]), np.array([4, 4, 4, 2])).mean() == 3.0
