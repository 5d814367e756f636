"""HSIC, CKA and MMD against literal loops, golden values, and their invariances."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats

from estimators import Kernel, StreamingCKA, cka, cka_minibatch, hsic, hsic_test, mmd2, mmd_test
from estimators.kernels import gram_sums as gram_sums_module
from estimators.kernels import moments as moments_module
from estimators.kernels.gram_sums import gram_sums
from estimators.kernels.kernel import bandwidth, median

from . import references

KERNELS = ["linear", "rbf", "laplace_l1", "laplace_l2"]


@pytest.fixture
def golden():
    """The pair of the Google notebook: seed 1337, 100 rows, 10 columns."""
    state = np.random.RandomState(1337)
    x = state.randn(100, 10)
    return x, state.randn(100, 10) + x


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"debiased": False}, 0.5576132566117589),
        ({"debiased": True}, 0.5134564895055259),
        ({"debiased": False, "kernel": Kernel("rbf", scale=0.5)}, 0.6548311822614982),
        ({"debiased": False, "kernel": "laplace_l1"}, 0.6922987922931364),
    ],
)
def test_golden_values(golden, options, value):
    assert cka(*golden, **options).value == pytest.approx(value, abs=1e-12)


def test_golden_value_of_positions():
    k = np.arange(2 * 8 * 4 * 8)
    sides = np.sin(0.37 * k + 0.2) + 0.1 * np.cos(0.011 * k), np.cos(0.23 * k + 0.5) + 0.2 * np.sin(0.017 * k)
    fs, ft = (s.reshape(2, 8, 4, 8).transpose(0, 2, 3, 1).reshape(-1, 8) for s in sides)
    assert cka(fs, ft, debiased=False).value == pytest.approx(0.043440233231294145, abs=1e-13)


def small(seed=0, n=9, d=3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    return x, np.tanh(x @ rng.normal(size=(d, 4))) + 0.3 * rng.normal(size=(n, 4))


@pytest.mark.parametrize("kind", KERNELS)
@pytest.mark.parametrize("unbiased", [True, False])
def test_hsic_and_cka_match_literal_definitions(kind, unbiased):
    x, y = small()
    hx, hy = references.median_bandwidth(x, kind), references.median_bandwidth(y, kind)
    k, l = references.gram(x, kind, hx), references.gram(y, kind, hy)  # noqa: E741
    reference = references.hsic_unbiased if unbiased else references.hsic_biased
    expected = reference(k, l)
    assert hsic(x, y, kernel=kind, unbiased=unbiased).value == pytest.approx(expected, rel=1e-10)
    ratio = expected / math.sqrt(reference(k, k) * reference(l, l))
    assert cka(x, y, kernel=kind, debiased=unbiased).value == pytest.approx(ratio, rel=1e-10)


def test_two_kernels_at_once():
    x, y = small()
    k = references.gram(x, "linear")
    l = references.gram(y, "rbf", references.median_bandwidth(y, "rbf"))  # noqa: E741
    got = hsic(x, y, kernel="linear", target_kernel="rbf")
    assert got.value == pytest.approx(references.hsic_unbiased(k, l), rel=1e-10)
    assert got.name == "hsic_unbiased[linear x rbf]"


@pytest.mark.parametrize("debiased", [True, False])
def test_moments_and_gram_blocks_agree(debiased):
    """The d x d road (d < n) and the row-block road give one value; so does splitting into tiny blocks."""
    rng = np.random.default_rng(0)
    x, y = torch.from_numpy(rng.normal(3.0, 1.0, size=(200, 7))), torch.from_numpy(rng.normal(size=(200, 5)))
    y = y + x[:, :5]
    expected = gram_sums(x, y, Kernel(), Kernel(), np.zeros(200, np.int64)).triple(debiased)
    value = expected[0] / math.sqrt(expected[1] * expected[2])
    assert cka(x, y, debiased=debiased).value == pytest.approx(value, rel=1e-12)


def test_blocks_do_not_matter(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 6)), rng.normal(size=(300, 6))
    whole = [cka(x, y).value, cka(x, y, kernel="rbf").value, mmd2(x, y, paired=False).value]
    monkeypatch.setattr(moments_module, "_BLOCK_BYTES", 8 * 12 * 64)
    monkeypatch.setattr(gram_sums_module, "_BLOCK_BYTES", 8 * 4 * 300 * 7)
    import estimators.kernels.mmd as mmd_module

    monkeypatch.setattr(mmd_module, "_BLOCK_BYTES", 8 * 3 * 600 * 7)
    assert [cka(x, y).value, cka(x, y, kernel="rbf").value, mmd2(x, y, paired=False).value] == pytest.approx(
        whole, rel=1e-12
    )


@pytest.mark.parametrize("kind", KERNELS)
def test_invariances(kind):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 5)) * np.arange(1, 6)
    y = x[:, :3] + rng.normal(size=(60, 3))
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    base = cka(x, y, kernel=kind).value
    order = rng.permutation(60)
    assert cka(x[order], y[order], kernel=kind).value == pytest.approx(base, rel=1e-9)
    assert cka(y, x, kernel=kind).value == pytest.approx(base, rel=1e-9)
    assert cka(-7.0 * x + 3.0, y, kernel=kind).value == pytest.approx(base, rel=1e-9)
    rotated = cka(x @ rotation, y, kernel=kind).value
    assert (rotated == pytest.approx(base, rel=1e-9)) is (kind != "laplace_l1")
    assert cka(x, x * np.arange(1, 6), debiased=False).value < 0.999  # not for unequal scaling of columns


def test_biased_cka_is_near_one_for_anything_when_rows_are_few():
    """Figures of the specification: independent Gaussians, d = 1000."""
    rng = np.random.default_rng(0)
    for n, figure in ((4, 0.9975), (16, 0.984), (64, 0.940)):
        values = [cka(*rng.normal(size=(2, n, 1000)), debiased=False, interval=None).value for _ in range(10)]
        assert np.mean(values) == pytest.approx(figure, abs=0.004)
        if n > 4:
            unbiased = [cka(*rng.normal(size=(2, n, 1000)), interval=None).value for _ in range(30)]
            assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / math.sqrt(30)
    assert cka(*rng.normal(size=(2, 2, 5)), debiased=False).value == pytest.approx(1.0)


def test_unbiased_hsic_is_unbiased():
    rng = np.random.default_rng(0)
    values = []
    for _ in range(3000):
        x = rng.normal(size=(6, 2))
        values.append(hsic(x, 0.5 * x + rng.normal(size=(6, 2)), interval=None).value)
    assert abs(np.mean(values) - 2 * 0.25) < 4 * np.std(values) / math.sqrt(3000)  # |0.5 I_2|_F^2


def test_float32_input_is_accumulated_in_float64():
    rng = np.random.default_rng(0)
    x = (1000.0 + rng.normal(size=(5000, 8))).astype(np.float32)
    y = (x + rng.normal(size=(5000, 8))).astype(np.float32)
    assert cka(x, y).value == pytest.approx(cka(x.astype(np.float64), y.astype(np.float64)).value, abs=1e-12)
    half = torch.from_numpy(x).half()
    assert cka(half, half).value == pytest.approx(1.0)


@pytest.mark.parametrize("debiased", [True, False])
def test_streaming_equals_full_batch_exactly(debiased):
    rng = np.random.default_rng(0)
    x = rng.normal(50.0, 1.0, size=(101, 6))
    y = np.tanh(x[:, :4] - 50) + 0.1 * rng.normal(size=(101, 4))
    stream = StreamingCKA(debiased)
    for part in np.split(np.arange(101), [1, 30, 31, 80]):  # odd sizes, one row too
        stream.update(x[part], y[part])
    assert stream.estimate().value == pytest.approx(cka(x, y, debiased=debiased).value, abs=1e-10)
    with pytest.raises(ValueError, match="6 columns"):
        stream.update(x[:, :2], y)


def test_streaming_needs_rows_and_variation():
    stream = StreamingCKA()
    with pytest.raises(ValueError, match="at least 4 rows"):
        stream.estimate()
    stream.update(np.full((5, 2), 0.1), np.random.default_rng(0).normal(size=(5, 2)))
    assert math.isnan(stream.estimate().value)


@pytest.mark.parametrize("kind", ["linear", "rbf"])
def test_minibatch_averages_equal_full_batch_in_expectation(kind):
    """Averaged over *all* batches of 4 out of 7 rows, each unbiased HSIC is the full one: equality, not a limit."""
    x, y = small(n=7)
    kernel = Kernel(kind, bandwidth=1.3)
    zeros = np.zeros(4, np.int64)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    batches = [
        gram_sums(tx[list(rows)], ty[list(rows)], kernel, kernel, zeros).triple(True)
        for rows in itertools.combinations(range(7), 4)
    ]
    full = gram_sums(tx, ty, kernel, kernel, np.zeros(7, np.int64)).triple(True)
    assert np.mean(batches, axis=0) == pytest.approx(np.array(full), rel=1e-10)


def test_minibatch_nears_full_batch_and_beats_averaged_ratios():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(960, 10))
    y = x + 2.0 * rng.normal(size=(960, 10))
    full = cka(x, y, kernel="rbf", interval=None).value
    near = cka_minibatch(x, y, kernel="rbf", batch_size=32, passes=3)
    assert near.value == pytest.approx(full, abs=0.01)
    biased = np.mean(
        [cka(a, b, kernel="rbf", debiased=False).value for a, b in zip(np.split(x, 30), np.split(y, 30), strict=True)]
    )
    assert abs(biased - full) > 10 * abs(near.value - full)
    for bad in ({"batch_size": 3}, {"batch_size": 961}, {"passes": 0}):
        with pytest.raises(ValueError, match="batch_size"):
            cka_minibatch(x, y, **bad)


@pytest.mark.parametrize("kind", ["rbf", "laplace_l1", "laplace_l2", "linear"])
def test_mmd_matches_literal_definition(kind):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(0.5, 1.0, size=(9, 3))
    h = references.median_bandwidth(np.concatenate([x, y]), kind)
    got = mmd2(x, y, paired=False, kernel=kind)
    assert got.value == pytest.approx(references.mmd2_unbiased(x, y, kind, h), abs=1e-12)


def test_mmd_leaves_pairs_and_groups_out_of_its_sums():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 2)), rng.normal(1.0, 1.0, size=(30, 2))
    codes = np.repeat(np.arange(10), 3)
    both = np.concatenate([x, y])
    h = references.median_bandwidth(both, "rbf")
    k = references.gram(both, "rbf", h)
    apart = np.concatenate([codes, codes])[:, None] != np.concatenate([codes, codes])[None, :]

    def mean(rows, columns):
        block = np.ix_(rows, columns)
        return (k * apart)[block].sum() / apart[block].sum()

    s, t = np.arange(30), np.arange(30, 60)
    expected = mean(s, s) + mean(t, t) - 2 * mean(s, t)
    assert mmd2(x, y, paired=True, groups=codes).value == pytest.approx(expected, abs=1e-12)


def test_mmd_test_statistic_is_mmd():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(25, 2))
    assert mmd_test(x, y, paired=False, permutations=5).statistic.value == pytest.approx(mmd2(x, y, paired=False).value)


@pytest.mark.parametrize("paired", [True, False])
def test_mmd_permutation_level_is_exact(paired):
    """P(p <= 0.05) = 0.05 under the null with 19 permutations, whatever n: 300 draws, binomial bounds at 1e-4."""
    rng = np.random.default_rng(0)
    rejected = 0
    for seed in range(300):
        x = rng.standard_t(2, size=(12, 2))
        y = (
            np.where(rng.random((12, 1)) < 0.5, x, rng.standard_t(2, size=(12, 2)))
            if paired
            else rng.standard_t(2, size=(12, 2))
        )
        rejected += mmd_test(x, y, paired=paired, permutations=19, seed=seed).p_value <= 0.05
    assert stats.binom.ppf(1e-4, 300, 0.05) <= rejected <= stats.binom.ppf(1 - 1e-4, 300, 0.05)


def test_mmd_gamma_level_is_near_nominal_and_has_power():
    rng = np.random.default_rng(0)
    rejected = sum(
        mmd_test(*rng.normal(size=(2, 60, 2)), paired=False, method="gamma").p_value <= 0.05 for _ in range(300)
    )
    assert 4 <= rejected <= 33
    x, y = rng.normal(size=(60, 2)), rng.normal(1.0, 1.0, size=(60, 2))
    assert mmd_test(x, y, paired=False, method="gamma").p_value < 1e-4


def test_mmd_test_refuses_what_it_cannot_do():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 2)), rng.normal(size=(20, 2))
    with pytest.raises(ValueError, match="unpaired data of equal sizes"):
        mmd_test(x, y, paired=True, method="gamma")
    with pytest.raises(ValueError, match="unpaired data of equal sizes"):
        mmd_test(x, y[:10], paired=False, method="gamma")
    with pytest.raises(ValueError, match="rbf and Laplace"):
        mmd_test(x, y, paired=False, kernel="linear", method="gamma")
    with pytest.raises(ValueError, match="on both sides"):
        mmd_test(x, y, paired=False, groups=(np.arange(20), np.arange(20)))
    with pytest.raises(ValueError, match="method"):
        mmd_test(x, y, paired=False, method="other")


def test_hsic_test_level_and_power_by_groups():
    """Rows of a group are copies: with groups the level holds, without them it cannot."""
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(12), 4)
    with_groups = without = 0
    for seed in range(150):
        x, y = np.repeat(rng.normal(size=(12, 2)), 4, 0), np.repeat(rng.normal(size=(12, 2)), 4, 0)
        with_groups += hsic_test(x, y, groups=codes, permutations=19, seed=seed).p_value <= 0.05
        without += hsic_test(x, y, permutations=19, seed=seed).p_value <= 0.05
    assert with_groups <= stats.binom.ppf(1 - 1e-4, 150, 0.05)
    assert without > 60
    x = rng.normal(size=(80, 1))
    assert hsic_test(x, np.abs(x), permutations=99).p_value == pytest.approx(0.01)
    assert hsic_test(x, np.abs(x), permutations=99).statistic.value == pytest.approx(
        hsic(x, np.abs(x), kernel="rbf").value
    )


def test_jackknife_interval_covers_population_cka():
    """Gaussian pairs with correlation 0.6 in every column: population CKA 0.36. Level 90%, 200 draws."""
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        x = rng.normal(size=(150, 4))
        e = cka(x, 0.6 * x + 0.8 * rng.normal(size=(150, 4)), confidence=0.9)
        inside += e.low <= 0.36 <= e.high
    assert stats.binom.ppf(1e-4, 200, 0.88) <= inside <= stats.binom.ppf(1 - 1e-4, 200, 0.93)


def test_jackknife_leaves_out_groups():
    """Ten copies of each row: the interval with groups is that of the rows, not sqrt(10) narrower."""
    x, y = small(n=40)
    e = cka(np.repeat(x, 10, 0), np.repeat(y, 10, 0), groups=np.repeat(np.arange(40), 10), debiased=False)
    naive = cka(np.repeat(x, 10, 0), np.repeat(y, 10, 0), debiased=False)
    one = cka(x, y, debiased=False)
    assert e.n == 40
    assert e.high - e.low == pytest.approx(one.high - one.low, rel=0.25)
    assert naive.high - naive.low < 0.6 * (e.high - e.low)


def test_median_and_bandwidth():
    values = torch.tensor([[3.0, 1.0, 2.0, 10.0], [1.0, 1.0, 1.0, 1.0]])
    assert median(values).tolist() == [2.5, 1.0]
    assert median(values[:, :3]).tolist() == [2.0, 1.0]
    x = np.random.default_rng(0).normal(size=(15, 3))
    for kind in KERNELS[1:]:
        assert float(bandwidth(Kernel(kind), torch.from_numpy(x))) == pytest.approx(
            references.median_bandwidth(x, kind)
        )
    assert float(bandwidth(Kernel("rbf", bandwidth=2.0), torch.from_numpy(x))) == 2.0
    for bad in ({"name": "other"}, {"scale": 0.0}, {"bandwidth": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            Kernel(**bad)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KERNELS)
def test_gpu_gives_the_same_values(kind):
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.normal(size=(500, 20)))
    y = x[:, :10] + torch.from_numpy(rng.normal(size=(500, 10)))
    assert cka(x.cuda(), y.cuda(), kernel=kind).value == pytest.approx(cka(x, y, kernel=kind).value, abs=1e-6)
    z = x + 0.1
    assert mmd2(x.cuda(), z.cuda(), paired=True, kernel=kind).value == pytest.approx(
        mmd2(x, z, paired=True, kernel=kind).value, abs=1e-6
    )
