"""Power: the specification's numbers, closed forms, and simulation."""

import numpy as np
import pytest
from scipy import stats

from xkd_bench.analysis.power import (
    conditions_needed,
    correlation_needed,
    correlation_seen,
    least_p,
    permutation_power,
    slope_power,
    slope_seen,
)


@pytest.mark.parametrize(("rho", "n"), [(0.5, 30), (0.7, 14), (0.8, 10), (-0.5, 30)])
def test_conditions_that_a_correlation_needs(rho, n):
    assert conditions_needed(rho) == n
    assert correlation_seen(n) <= abs(rho)
    assert correlation_seen(n - 1) > abs(rho)


@pytest.mark.parametrize(("n", "r"), [(3, 0.997), (4, 0.950)])
def test_correlation_that_is_significant(n, r):
    assert correlation_needed(n) == pytest.approx(r, abs=5e-4)


def test_correlation_needed_is_at_the_level():
    r, n = correlation_needed(12), 12
    t = r * np.sqrt((n - 2) / (1 - r * r))
    assert 2 * stats.t.sf(t, n - 2) == pytest.approx(0.05)
    assert np.isnan(correlation_needed(2))
    assert np.isnan(correlation_seen(3))
    with pytest.raises(ValueError, match="other than 0"):
        conditions_needed(0)


def test_power_of_a_slope_by_simulation():
    rng, n = np.random.default_rng(0), 4000
    families = np.repeat([0, 1, 2], 6)
    x = rng.uniform(size=18)
    slope = slope_seen(x, families, residual_sd=0.2)
    design = np.column_stack([x, *(families == f for f in range(3))]).astype(float)
    y = slope * x + rng.normal(0, 0.2, (n, 18))
    beta = y @ np.linalg.pinv(design).T
    s2 = ((y - beta @ design.T) ** 2).sum(1) / 14
    t = beta[:, 0] / np.sqrt(s2 * np.linalg.inv(design.T @ design)[0, 0])
    assert np.mean(np.abs(t) > stats.t.ppf(0.975, 14)) == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / n))


def test_slope_seen_scales_with_noise_and_is_nan_without_a_design():
    x, families = [0.1, 0.2, 0.4, 0.3, 0.5, 0.9], [0, 0, 0, 1, 1, 1]
    assert slope_seen(x, families, 0.2) == pytest.approx(2 * slope_seen(x, families, 0.1))
    assert np.isnan(slope_seen([1, 1, 2, 2], [0, 0, 1, 1], 0.1))
    assert slope_power(0, 1, 10) == pytest.approx(0.05)


def test_least_p_of_the_published_design():
    assert least_p([0.04, 0.04, 0.10, 0.06], [8.30, 11.06, 9.82, 3.48]) == pytest.approx(1 / 12)


@pytest.mark.slow
def test_thirty_conditions_in_one_task_see_one_half_by_ranks():
    assert permutation_power([30], 0.5, sims=400) == pytest.approx(0.75, abs=0.08)  # ranks lose some 5 %
    assert permutation_power([10, 10, 10], 0.0, sims=400) <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / 400)
