import math

import numpy as np
import pytest

from estimators import tv_gibbs, tv_gibbs_grid, tv_gibbs_normalised
from estimators.total_variation import gibbs

from .references import gibbs_rows


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.fixture
def sides():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(40, 6))
    return a, a + 0.8 * rng.normal(size=(40, 6))


@pytest.mark.parametrize("form", ["intra", "seed"])
@pytest.mark.parametrize("mask", [True, False])
def test_matches_row_by_row_reference(sides, form, mask):
    a, b = map(unit, sides)
    got = tv_gibbs(*sides, temperature=0.2, form=form, bank="self", mask_self=mask)
    expected = gibbs_rows(a, b, a, b if form == "intra" else a, 0.2, mask).mean()
    assert got.value == pytest.approx(expected, abs=1e-12)
    assert math.isnan(got.low)
    assert got.kind == "plug-in"


@pytest.mark.parametrize("form", ["intra", "seed"])
@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("kept", [0, 10**9])
def test_null_is_the_value_of_permuted_pairs(sides, form, mask, kept, monkeypatch):
    """Both roads (all laws in memory, block by block) against the reference on pairs that are really permuted."""
    monkeypatch.setattr(gibbs, "_LAWS_KEPT", kept)
    monkeypatch.setattr(gibbs, "_BLOCK", 7)
    a, b = map(unit, sides)
    orders = [np.random.default_rng(s).permutation(40) for s in range(3)]
    problem = gibbs._Problem.read(*sides, form, "self", mask, True, None, np.random.default_rng(0))
    columns = orders if form == "intra" else [np.arange(40)] * 3
    got = problem.rows(0.3, list(zip(orders, columns, strict=True)))
    assert got.shape == (4, 40)
    for values, order in zip(got, [np.arange(40), *orders], strict=True):
        expected = gibbs_rows(a, b[order], a, b[order] if form == "intra" else a, 0.3, mask)
        assert values == pytest.approx(expected, abs=1e-12)


def test_held_out_bank_gives_an_interval_over_evaluated_groups(sides):
    e = tv_gibbs(*sides, temperature=0.2)
    assert e.n == 20
    assert e.kind == "interval"
    assert e.low < e.value < e.high


@pytest.mark.parametrize("bank", ["self", "held-out"])
def test_identical_features_are_at_distance_0_and_normalise_to_1(sides, bank):
    a, _ = sides
    grid = tv_gibbs_grid(a, a, bank=bank, permutations=20)
    assert [g.distance.value for g in grid] == [0.0] * 4
    assert [g.normalised.value for g in grid] == [1.0] * 4
    assert grid[0].p_value == pytest.approx(1 / 21)


def test_unaligned_pairs_normalise_to_0_and_p_is_uniform():
    rng = np.random.default_rng(1)
    values, p = [], []
    for seed in range(60):
        a, b = rng.normal(size=(40, 5)), rng.normal(size=(40, 5))
        g = tv_gibbs_grid(a, b, temperatures=[0.5], permutations=19, seed=seed)[0]
        values.append(g.normalised.value)
        p.append(g.p_value)
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(60) + 0.003
    assert 0.3 < np.mean(p) < 0.72


def test_intra_ignores_rotation_and_seed_does_not(sides):
    a, _ = sides
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    assert tv_gibbs(a, a @ rotation, temperature=0.2).value == pytest.approx(0, abs=1e-12)
    assert tv_gibbs(a, a @ rotation, temperature=0.2, form="seed").value > 0.3


def test_widths_may_differ_for_intra_only(sides):
    a, b = sides
    assert tv_gibbs(a, b[:, :3], temperature=0.2).value > 0
    with pytest.raises(ValueError, match="one common space"):
        tv_gibbs(a, b[:, :3], temperature=0.2, form="seed")


@pytest.mark.parametrize(
    ("d", "tau", "expected"), [(128, 0.2, 0.25), (128, 0.5, 0.10), (128, 1.0, 0.05), (512, 0.5, 0.05)]
)
def test_small_values_arise_with_no_alignment_at_all(d, tau, expected):
    """Figures of the specification, section 6: why the value is never to be read alone."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(256, d)), rng.normal(size=(256, d))
    assert tv_gibbs(a, b, temperature=tau, bank="self").value == pytest.approx(expected, abs=0.012)


def test_self_included_collapses_at_low_temperature():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(256, 128)), rng.normal(size=(256, 128))
    assert tv_gibbs(a, b, temperature=0.1, bank="self", mask_self=False).value < 0.05
    assert tv_gibbs(a, b, temperature=0.1, bank="self", mask_self=True).value > 0.3


def test_triangle_inequality_over_one_index_set():
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=(60, 5)) for _ in range(3))

    def distance(x, y):
        return tv_gibbs(x, y, temperature=0.3, bank="self").value

    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert distance(a, b) == pytest.approx(distance(b, a))


def test_groups_stay_out_of_their_own_bank():
    """With twins in the bank a row would find itself; by groups it does not."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(60, 8))
    a = np.repeat(base, 2, 0)
    b = np.repeat(rng.normal(size=(60, 8)), 2, 0)
    codes = np.repeat(np.arange(60), 2)
    e = tv_gibbs(a, b, temperature=0.1, groups=codes)
    assert e.n == 30
    grid = tv_gibbs_grid(a, b, temperatures=[0.1], groups=codes, permutations=10)
    assert grid[0].normalised.value == pytest.approx(0, abs=0.05)


def test_degenerate_input():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    constant = np.ones((20, 3))
    assert tv_gibbs(constant, constant, temperature=0.1).value == 0.0
    undefined = tv_gibbs_normalised(constant, constant, temperature=0.1, permutations=5)
    assert math.isnan(undefined.value)
    assert "distance 0" in undefined.note
    assert tv_gibbs(np.zeros((20, 3)), b, temperature=0.1).value > 0.1
    for bad in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="temperature"):
            tv_gibbs(a, b, temperature=bad)
    with pytest.raises(ValueError, match="form is"):
        tv_gibbs(a, b, temperature=0.1, form="other")
    with pytest.raises(ValueError, match="at least 8 groups"):
        tv_gibbs(a, b, temperature=0.1, groups=np.arange(20) // 4)
    with pytest.raises(ValueError, match="permutations"):
        tv_gibbs_grid(a, b, permutations=0)
    with pytest.raises(ValueError, match="pairs do not match"):
        tv_gibbs(a, b[:-1], temperature=0.1)
