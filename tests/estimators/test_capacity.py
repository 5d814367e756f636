import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from estimators import (
    bracketing_proxy,
    effective_rank,
    frobenius_product,
    local_fixed_point,
    local_rademacher,
    rademacher_linear,
    rademacher_linear_range,
    rademacher_multiclass,
    random_label_fit,
    spectral_product,
    stable_rank,
    twonn_dimension,
)
from estimators.capacity.local import spectrum
from estimators.capacity.multiclass import ascent, vector_complexity


def exact_linear(z, radius):
    """The expectation over all 2^n sign vectors."""
    signs = np.array(list(itertools.product([-1, 1], repeat=len(z))))
    return radius / len(z) * np.linalg.norm(signs @ z, axis=1).mean()


def test_linear_complexity_covers_the_exact_expectation():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(10, 3))
    exact = exact_linear(z, 2.0)
    inside = sum((e := rademacher_linear(z, radius=2.0, draws=100, seed=s)).low <= exact <= e.high for s in range(200))
    assert inside >= stats.binom.ppf(1e-4, 200, 0.95)
    bounds = rademacher_linear_range(z, radius=2.0)
    assert bounds.low <= exact <= bounds.high
    assert bounds.high == pytest.approx(2 * math.sqrt((z**2).sum()) / 10)


def test_linear_complexity_figures_of_the_specification():
    z = np.random.default_rng(0).normal(size=(500, 64))
    assert rademacher_linear(z, radius=1.0).value == pytest.approx(0.3567, rel=0.01)
    assert rademacher_linear_range(z, radius=1.0).high == pytest.approx(0.3564, rel=0.01)


def test_linear_complexity_is_homogeneous_and_falls_like_root_n():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(1600, 8))
    one, three = rademacher_linear(z, radius=1.0, seed=1), rademacher_linear(z, radius=3.0, seed=1)
    assert three.value == pytest.approx(3 * one.value)
    assert rademacher_linear(z[:400], radius=1.0).value == pytest.approx(2 * one.value, rel=0.06)
    for e in (one, three):
        u = rademacher_linear_range(z, radius=3.0 if e is three else 1.0)
        assert u.low <= e.low <= e.value <= e.high <= u.high


def test_linear_complexity_edges():
    assert rademacher_linear(np.array([[3.0, 4.0]]), radius=2.0).value == pytest.approx(10.0)
    assert rademacher_linear(np.zeros((5, 2)), radius=1.0).value == 0.0
    assert rademacher_linear(np.ones((5, 2)), radius=0.0).high == 0.0
    for bad in ({"radius": -1.0}, {"radius": math.inf}, {"radius": 1.0, "draws": 1}):
        with pytest.raises(ValueError, match="must be"):
            rademacher_linear(np.ones((5, 2)), **bad)


def unit_rows(n, d, seed=0):
    z = np.random.default_rng(seed).normal(size=(n, d))
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def test_multiclass_sandwich_of_the_specification():
    z, y = unit_rows(300, 16), np.random.default_rng(1).integers(0, 5, 300)
    vector = vector_complexity(torch.from_numpy(z), 5, 3.0, 100, np.random.default_rng(0)).mean()
    assert vector == pytest.approx(0.390, abs=0.01)
    assert vector <= 3.0 * math.sqrt(5 * 300) / 300
    e = rademacher_multiclass(z, y, classes=5, radius=3.0, steps=40)
    assert 0.12 < e.low < 0.18
    assert e.high == pytest.approx(0.78, abs=0.02)


def test_ascent_never_exceeds_a_brute_force_search():
    """Two classes, one feature: the best W depends on one number, so a grid finds the true supremum."""
    rng = np.random.default_rng(0)
    z, y = np.abs(rng.normal(size=(12, 1))), rng.integers(0, 2, 12)
    radius, draws = 2.0, 6
    got = ascent(torch.from_numpy(z), torch.from_numpy(y), 2, radius, draws, 3, 100, np.random.default_rng(3))
    signs = np.random.default_rng(3).integers(0, 2, size=(draws, 12), dtype=np.int8) * 2.0 - 1.0
    w = np.linspace(-radius / math.sqrt(2), radius / math.sqrt(2), 4001)  # W = (-w, w) / sqrt(2) spends the norm best
    margin = z[:, 0, None] * w[None, :] * np.where(y == 1, 2, -2)[:, None]
    losses = np.log1p(np.exp(-margin))
    best = (signs @ losses / 12).max(1) - signs.mean(1) * math.log(2)
    assert (got <= best + 1e-6).all()
    assert got == pytest.approx(best, abs=5e-3)


def test_multiclass_edges():
    z, y = unit_rows(20, 3), np.zeros(20, int)
    one = rademacher_multiclass(z, y, classes=1, radius=1.0, steps=2)
    assert (one.low, one.high) == (0.0, 0.0)
    assert rademacher_multiclass(np.zeros((20, 3)), y, classes=3, radius=1.0).high == pytest.approx(0.0)
    bigger = rademacher_multiclass(z, y, classes=3, radius=2.0, steps=20)
    smaller = rademacher_multiclass(z, y, classes=3, radius=1.0, steps=20)
    assert bigger.high == pytest.approx(2 * smaller.high)
    assert bigger.low > smaller.low
    for labels in (y + 5, y - 1, y[:-1], y.astype(float)):
        with pytest.raises(ValueError, match="labels must"):
            rademacher_multiclass(z, labels, classes=3, radius=1.0)
    with pytest.raises(ValueError, match="at least"):
        rademacher_multiclass(z, y, classes=3, radius=1.0, restarts=0)


def test_local_complexity_interpolates_and_fixes_its_point():
    z = np.random.default_rng(0).normal(size=(200, 10)) * np.linspace(3, 0.1, 10)
    values = spectrum(z)
    assert values.sum() == pytest.approx((z**2).sum() / 200)
    wide = local_rademacher(z, r=1e9).value
    assert wide == pytest.approx(math.sqrt(2 / 200 * values.sum()))
    assert local_rademacher(z, r=0.01).value == pytest.approx(math.sqrt(2 / 200 * np.minimum(0.01, values).sum()))
    assert local_rademacher(z, r=0.0).value == 0.0
    fixed = local_fixed_point(z).value
    assert 0 < fixed < wide
    assert local_rademacher(z, r=fixed).value == pytest.approx(fixed, rel=1e-9)
    by_values = local_fixed_point(eigenvalues=values, n=200).value
    assert by_values == pytest.approx(fixed, rel=1e-9)
    assert local_fixed_point(z, radius=2.0).value > fixed
    assert local_fixed_point(np.zeros((4, 2))).value == 0.0
    assert spectrum(z[:5]) == pytest.approx(spectrum(z[:5].T) * 10 / 5)  # the smaller Gram matrix serves both


def test_local_complexity_dominates_the_localised_supremum():
    """Exact supremum over the intersection for aligned axes, by convex duality on a fine grid of multipliers."""
    z = np.diag([3.0, 1.0, 0.5]) * math.sqrt(3)
    values, r = spectrum(z), 0.5
    exact = []
    for signs in itertools.product([-1, 1], repeat=3):
        g = np.array(signs) @ z / 3  # sup <w, g> with |w| <= 1 and sum lambda w^2 <= r
        lam = np.array([9.0, 1.0, 0.25])
        weights = np.linspace(0, 1, 2001)[:, None]
        exact.append(np.sqrt((g**2 / (weights + (1 - weights) * lam / r + 1e-300)).sum(1)).min())
    assert sorted(values) == pytest.approx(sorted([9.0, 1.0, 0.25]))
    assert np.mean(exact) <= local_rademacher(z, r=r).value + 1e-9


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"eigenvalues": [1.0]},
        {"eigenvalues": [-1.0], "n": 3},
        {"features": np.eye(2), "eigenvalues": [1.0], "n": 2},
    ],
)
def test_local_complexity_input(bad):
    with pytest.raises(ValueError, match="eigenvalues"):
        local_rademacher(r=1.0, **bad)


def test_random_labels_bracket_a_class_whose_complexity_is_known():
    """Constant signs: R = E |mean sigma|, known exactly; a fit that returns the majority sign attains it."""
    n = 64
    exact = sum(stats.binom.pmf(k, n, 0.5) * abs(2 * k - n) / n for k in range(n + 1))
    e = random_label_fit(
        np.zeros((n, 2)), fit=lambda z, s, rng: np.full(n, s.mean()), draws=400, confidence=0.999, seed=1
    )
    assert e.low <= exact
    assert e.value == pytest.approx(exact, abs=0.02)
    constant = random_label_fit(np.ones((n, 2)), draws=4)
    assert constant.value < 0.35
    with pytest.raises(ValueError, match="finite predictions"):
        random_label_fit(np.ones((n, 2)), fit=lambda z, s, rng: s[:3])
    with pytest.raises(ValueError, match="draws"):
        random_label_fit(np.ones((n, 2)), draws=1)


def test_random_labels_memorised_when_directions_abound():
    z = np.random.default_rng(0).normal(size=(50, 80))
    assert random_label_fit(z, draws=3).value == pytest.approx(1.0, abs=0.02)


def test_norm_products():
    z = np.array([[3.0, 4.0], [0.0, 1.0]])
    w = [np.diag([2.0, 1.0]), np.array([[1.0, 1.0]])]
    frobenius = frobenius_product(w, z)
    expected = 5.0 * (math.sqrt(2 * 2 * math.log(2)) + 1) * math.sqrt(5) * math.sqrt(2) / math.sqrt(2)
    assert frobenius.value == pytest.approx(expected)
    assert "vacuous" in frobenius.note
    assert frobenius_product([np.array([[0.01, 0.0]])], z).note == ""
    spectral = spectral_product(w, z)
    spread = ((3 / 2) ** (2 / 3) + (math.sqrt(2) / math.sqrt(2)) ** (2 / 3)) ** 1.5
    assert spectral.value == pytest.approx(5.0 * 2 * math.sqrt(2) * spread / math.sqrt(2))
    assert spectral.kind == "proxy"
    assert spectral_product([np.zeros((1, 2))], z).value == 0.0
    network = torch.nn.Sequential(torch.nn.Linear(2, 2, bias=False), torch.nn.ReLU(), torch.nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        for layer, matrix in zip((network[0], network[2]), w, strict=True):
            layer.weight.copy_(torch.from_numpy(matrix))
    assert frobenius_product(network, z).value == pytest.approx(expected)
    assert frobenius_product(torch.nn.Conv2d(1, 2, 3), z).name == "frobenius_product[1 layers]"
    with pytest.raises(ValueError, match="no weight matrices"):
        frobenius_product(torch.nn.ReLU(), z)


def test_frobenius_product_dominates_the_linear_class():
    z = np.random.default_rng(0).normal(size=(100, 5))
    assert frobenius_product([np.ones((1, 5)) / math.sqrt(5)], z).value >= rademacher_linear(z, radius=1.0).high


def test_ranks_of_known_spectra():
    z = np.concatenate([np.diag([3.0, 2.0, 1.0]), -np.diag([3.0, 2.0, 1.0])])
    p = np.array([9, 4, 1]) / 14
    assert effective_rank(z).value == pytest.approx(math.exp(-(p * np.log(p)).sum()))
    assert stable_rank(z).value == pytest.approx(14 / 9)
    assert effective_rank(z + 7.0).value == pytest.approx(effective_rank(z).value)
    assert effective_rank(z + 7.0, centre=False).value < 1.5
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    assert effective_rank(5 * z @ rotation).value == pytest.approx(effective_rank(z).value)
    wide = np.random.default_rng(0).normal(size=(10, 50))
    assert 1 < stable_rank(wide).value < effective_rank(wide).value <= 9 + 1e-9


def test_twonn_recovers_the_dimension_and_its_interval_is_chi_squared():
    rng = np.random.default_rng(0)
    for d in (1, 2, 5):
        x = rng.uniform(size=(1500, d)) @ rng.normal(size=(d, 12))
        e = twonn_dimension(x)
        assert e.value == pytest.approx(d, rel=0.1)
        assert e.low < e.value < e.high
    kept = 1500 - 150
    assert e.high / e.value == pytest.approx(stats.chi2.ppf(0.975, 2 * kept) / (2 * kept))


def test_twonn_censored_likelihood_is_maximal_at_its_value():
    from estimators.capacity.dimension import _two_nearest

    x = np.random.default_rng(0).normal(size=(60, 3))
    first, second = _two_nearest(torch.from_numpy(x), np.arange(60))
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) + np.diag(np.full(60, np.inf))
    assert first == pytest.approx(np.sort(apart, 1)[:, 0])
    assert second == pytest.approx(np.sort(apart, 1)[:, 1])
    logs = np.sort(np.log(second / first))
    value = twonn_dimension(x, discard=0.2).value

    def likelihood(d):
        return 48 * math.log(d) - (d + 1) * logs[:48].sum() - d * 12 * logs[47]

    assert likelihood(value) > max(likelihood(1.001 * value), likelihood(0.999 * value))


def test_twonn_is_exact_far_from_the_origin():
    """Near neighbours 1e-4 apart, 1e3 from the mean: expanded squares alone would lose them."""
    rng = np.random.default_rng(0)
    clusters = 1e3 * np.repeat(rng.normal(size=(40, 4)), 12, 0)
    x = clusters + 1e-4 * rng.uniform(size=(480, 4))
    apart = np.linalg.norm(x[:, None] - x[None], axis=2) + np.diag(np.full(480, np.inf))
    from estimators.capacity.dimension import _two_nearest

    first, second = _two_nearest(torch.from_numpy(x), np.arange(480))
    nearest = np.sort(apart, 1)
    assert first == pytest.approx(nearest[:, 0], rel=1e-6)
    assert second == pytest.approx(nearest[:, 1], rel=1e-6)


def test_twonn_leaves_duplicates_out_and_says_so():
    x = np.random.default_rng(0).normal(size=(200, 3))
    doubled = np.concatenate([x, x[:20]])
    e = twonn_dimension(doubled)
    assert e.n == 180
    assert "40 rows with duplicates" in e.note
    grouped = twonn_dimension(doubled, groups=np.concatenate([np.arange(200), np.arange(20)]))
    assert grouped.n == 220
    with pytest.raises(ValueError, match="discard"):
        twonn_dimension(x, discard=1.0)


def test_bracketing_proxy():
    z = np.random.default_rng(0).normal(size=(100, 5))
    for name, one in (("effective_rank", effective_rank), ("stable_rank", stable_rank), ("twonn", twonn_dimension)):
        got = bracketing_proxy(z, samples=1000, dimension=name)
        assert got.value == pytest.approx(one(z).value * math.log(1000))
        assert got.kind == "proxy"
    with pytest.raises(ValueError, match="dimension must"):
        bracketing_proxy(z, dimension="other")
    with pytest.raises(ValueError, match="samples"):
        bracketing_proxy(z, samples=0)
