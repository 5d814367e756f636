"""Identities and inequalities between distances, on random discrete laws, and the Gaussian values."""

import math

import numpy as np
import pytest

from estimators import (
    gaussian_shift,
    hellinger_squared_discrete,
    henze_penrose_discrete,
    jensen_shannon_discrete,
    kl_discrete,
    tv_discrete,
    tv_from_hellinger,
    tv_from_henze_penrose,
    tv_from_jensen_shannon,
    tv_from_kl,
    tv_gaussian_shift,
    tv_gaussians,
)


@pytest.mark.parametrize(
    ("delta", "tv"), [(0.1003, 0.040), (0.25, 0.0995), (0.5, 0.1974), (1, 0.3829), (2, 0.6827), (4, 0.9545)]
)
def test_gaussian_shift_values(delta, tv):
    assert tv_gaussian_shift(delta) == pytest.approx(tv, abs=5e-5)
    assert tv_gaussians([0, 0, 0], [0, delta, 0]) == pytest.approx(tv, abs=5e-5)
    assert gaussian_shift(tv_gaussian_shift(delta)) == pytest.approx(delta, rel=1e-9)


def test_gaussians_with_covariance_match_numeric_integration():
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    difference = np.array([0.7, -0.4])
    grid = np.linspace(-9, 9, 601)
    points = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1)
    inverse = np.linalg.inv(covariance)

    def density(mean):
        z = points - mean
        return np.exp(-0.5 * np.einsum("...i,ij,...j", z, inverse, z)) / (
            2 * np.pi * np.sqrt(np.linalg.det(covariance))
        )

    numeric = 0.5 * np.abs(density(np.zeros(2)) - density(difference)).sum() * (grid[1] - grid[0]) ** 2
    assert tv_gaussians([0, 0], difference, covariance) == pytest.approx(numeric, abs=1e-4)


def test_inequalities_hold_on_random_laws():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        size = rng.integers(2, 9)
        p, q = (rng.dirichlet(np.full(size, rng.choice([0.2, 1.0, 5.0]))) for _ in range(2))
        tv = tv_discrete(p, q)
        slack = 1e-9
        for low, high in (
            tv_from_hellinger(hellinger_squared_discrete(p, q)),
            tv_from_jensen_shannon(jensen_shannon_discrete(p, q)),
            tv_from_henze_penrose(henze_penrose_discrete(p, q)),
        ):
            assert low - slack <= tv <= high + slack
        assert tv <= tv_from_kl(kl_discrete(p, q)) + slack
        assert tv == pytest.approx(tv_discrete(q, p))
        assert tv == pytest.approx(1 - np.minimum(p, q).sum())  # one minus twice the Bayes error


def test_worked_example():
    p, q = [0.7, 0.2, 0.1], [0.5, 0.3, 0.2]
    assert tv_discrete(p, q) == pytest.approx(0.2)
    assert kl_discrete(p, q) == pytest.approx(0.085123, abs=1e-6)


def test_bretagnolle_huber_takes_over_from_pinsker_at_1594_millinats():
    assert tv_from_kl(1.59) == pytest.approx(math.sqrt(1.59 / 2))
    assert tv_from_kl(1.60) == pytest.approx(math.sqrt(1 - math.exp(-1.60)))
    assert tv_from_kl(math.inf) == 1.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: tv_discrete([0.5, 0.6], [0.5, 0.5]),
        lambda: tv_discrete([1.0], [0.5, 0.5]),
        lambda: tv_discrete([1.5, -0.5], [0.5, 0.5]),
        lambda: tv_discrete([math.nan, 1.0], [0.5, 0.5]),
        lambda: gaussian_shift(1.0),
        lambda: tv_gaussians([0.0], [1.0], [[0.0]]),
        lambda: tv_gaussians([0.0, 0.0], [1.0, 0.0], [[1.0]]),
        lambda: tv_gaussians([[0.0]], [[1.0]]),
        lambda: tv_from_hellinger(1.5),
        lambda: tv_from_jensen_shannon(0.8),
        lambda: tv_from_kl(-0.1),
    ],
)
def test_impossible_input_is_refused(call):
    with pytest.raises(ValueError):  # noqa: PT011
        call()
