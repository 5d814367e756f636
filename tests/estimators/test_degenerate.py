"""Every public estimator on every kind of degenerate input: a clear error, or the value that its page promises."""

import math

import numpy as np
import pytest
import torch

import estimators as est

FAST = {"families": ["ridge"]}
TWO_SAMPLE = {
    "tv_classifier": lambda x, y, **k: est.tv_classifier(x, y, **FAST, **k),
    "tv_threshold": lambda x, y, **k: est.tv_threshold(x, y, **FAST, **k),
    "tv_witness": lambda x, y, **k: est.tv_witness(x, y, **FAST, **k),
    "tv_jensen_shannon": lambda x, y, **k: est.tv_jensen_shannon(x, y, **FAST, **k),
    "henze_penrose": lambda x, y, **k: est.henze_penrose(x, y, **FAST, **k),
    "tv_modality_gap": est.tv_modality_gap,
    "proxy_a_distance": lambda x, y, **k: est.proxy_a_distance(x, y, **FAST, **k),
    "modality_gap": est.modality_gap,
    "mmd2": est.mmd2,
}
TESTS = {"mmd_test": lambda x, y, **k: est.mmd_test(x, y, permutations=9, **k)}
PAIRS = {
    "tv_smoothed": lambda x, y, **k: est.tv_smoothed(x, y, sigma=1.0, **FAST, **k),
    "tv_gibbs": lambda x, y, **k: est.tv_gibbs(x, y, temperature=0.5, **k),
    "tv_gibbs_normalised": lambda x, y, **k: est.tv_gibbs_normalised(x, y, temperature=0.5, permutations=5, **k),
    "cka": est.cka,
    "cka_rbf": lambda x, y, **k: est.cka(x, y, kernel="rbf", **k),
    "hsic": est.hsic,
    "svcca": est.svcca,
    "mutual_knn": lambda x, y, **k: est.mutual_knn(x, y, k=2, **k),
    "retrieval_recall": est.retrieval_recall,
    "hsic_test": lambda x, y, **k: est.hsic_test(x, y, permutations=9, **k),
    "cka_minibatch": lambda x, y, **k: est.cka_minibatch(x, y, batch_size=4, **k),
}
ONE = {
    "effective_rank": est.effective_rank,
    "stable_rank": est.stable_rank,
    "twonn_dimension": est.twonn_dimension,
    "rademacher_linear": lambda x: est.rademacher_linear(x, radius=1.0),
    "rademacher_linear_range": lambda x: est.rademacher_linear_range(x, radius=1.0),
    "rademacher_multiclass": lambda x: est.rademacher_multiclass(
        x, np.arange(len(x)) % 3, classes=3, radius=1.0, steps=3, ascent_draws=3
    ),
    "local_rademacher": lambda x: est.local_rademacher(x, r=1.0),
    "local_fixed_point": est.local_fixed_point,
    "random_label_fit": lambda x: est.random_label_fit(x, fit=lambda z, s, g: z[:, 0], draws=2),
    "frobenius_product": lambda x: est.frobenius_product([np.ones((1, x.shape[1]))], x),
    "spectral_product": lambda x: est.spectral_product([np.ones((1, x.shape[1]))], x),
    "bracketing_proxy": est.bracketing_proxy,
}
EVERY = (
    {n: lambda x, f=f: f(x, x[::-1] + 0.1, paired=True) for n, f in (TWO_SAMPLE | TESTS).items()}
    | {n: lambda x, f=f: f(x, x[::-1] + 0.1) for n, f in PAIRS.items()}
    | ONE
)
DEGENERATE = {**{n: lambda x, y, f=f: f(x, y, paired=True) for n, f in (TWO_SAMPLE | TESTS).items()}, **PAIRS}


def rows(n=40, d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


def number(result):
    return getattr(result, "statistic", result)


def test_every_estimator_is_in_this_file():
    values = {"Estimate", "TestResult", "GibbsDistance", "Kernel", "StreamingCKA", "tv_gibbs_grid"}
    exact = {
        n
        for n in est.__all__
        if n.endswith(("_discrete", "_value", "_loss")) or n.startswith(("tv_from", "tv_gaussian"))
    }
    assert set(est.__all__) - values - exact - {"gaussian_shift"} <= set(EVERY)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_named(name, bad):
    x = rows()
    x[7, 1] = bad
    with pytest.raises(ValueError, match=r"1 of 40 rows hold NaN or infinity \(first: row (7|32)\)"):
        EVERY[name](x)


@pytest.mark.parametrize("name", EVERY)
def test_other_shapes_and_types_are_refused(name):
    with pytest.raises((ValueError, IndexError), match=r"shape|index|dim"):
        EVERY[name](np.zeros(5))
    with pytest.raises((TypeError, ValueError, AttributeError)):
        EVERY[name]([[1.0, 2.0]])
    with pytest.raises(TypeError, match="real numbers"):
        EVERY[name](np.array([[1j, 2.0]] * 8))


@pytest.mark.parametrize("name", EVERY)
def test_large_finite_values_are_not_mistaken_for_infinity(name):
    x = rows().astype(np.float32)
    x[:, 0] += 3e4
    EVERY[name](torch.from_numpy(x)[torch.arange(40)].numpy())


@pytest.mark.parametrize("name", DEGENERATE)
def test_mismatched_pairs(name):
    with pytest.raises(ValueError, match="pairs do not match: source has 40 rows, target 39"):
        DEGENERATE[name](rows(), rows(39))


@pytest.mark.parametrize("name", [*TWO_SAMPLE, *TESTS, "tv_smoothed", "retrieval_recall"])
def test_different_spaces(name):
    with pytest.raises(ValueError, match="one common space"):
        DEGENERATE[name](rows(), rows(d=4))


@pytest.mark.parametrize("name", DEGENERATE)
def test_fewer_than_four_rows(name):
    with pytest.raises(ValueError, match="at least"):
        DEGENERATE[name](rows(3), rows(3, seed=1))


@pytest.mark.parametrize("name", ["effective_rank", "stable_rank", "twonn_dimension", "bracketing_proxy"])
def test_fewer_than_four_rows_of_one_sample(name):
    with pytest.raises(ValueError, match="at least 4 rows, got 3"):
        ONE[name](rows(3))


@pytest.mark.parametrize("name", DEGENERATE)
def test_smallest_sizes_give_a_number(name):
    n = 8 if "gibbs" in name else 4
    estimate = number(DEGENERATE[name](rows(n, 1), rows(n, 1, seed=1)))
    assert estimate.n >= 1


@pytest.mark.parametrize("name", ONE)
def test_smallest_sizes_of_one_sample_give_a_number(name):
    assert ONE[name](rows(4, 1)).n >= 1


@pytest.mark.parametrize("name", TWO_SAMPLE)
@pytest.mark.parametrize("value", [0.0, 0.1, 1e8])
def test_constant_features_have_no_distance(name, value):
    x = np.full((40, 3), value)
    estimate = TWO_SAMPLE[name](x, x, paired=True)
    assert estimate.value == pytest.approx(0, abs=1e-9)
    assert estimate.low <= 1e-9


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8])
def test_constant_features_in_pairs(value):
    x, y = np.full((40, 3), value), rows()
    assert PAIRS["tv_smoothed"](x, x).low == 0.0
    assert 0 < PAIRS["tv_smoothed"](x, x).high < 0.1  # of order 1 / n
    assert PAIRS["tv_gibbs"](x, x).value == pytest.approx(0, abs=1e-12)
    for name in ("cka", "cka_rbf", "svcca", "tv_gibbs_normalised", "cka_minibatch"):
        estimate = PAIRS[name](x, x)
        assert math.isnan(estimate.value), name
        assert estimate.note.startswith("undefined"), name
    for name in ("cka", "cka_rbf", "svcca"):
        assert math.isnan(PAIRS[name](x, y).value), name
        assert math.isnan(PAIRS[name](y, x).value), name
    assert PAIRS["hsic"](x, y).value == pytest.approx(0, abs=1e-9)
    assert PAIRS["mutual_knn"](x, x).value == 1.0
    assert PAIRS["retrieval_recall"](x, x).value == 0.0
    assert est.hsic_test(x, y, permutations=9).p_value == 1.0
    assert est.mmd_test(x, x, paired=True, permutations=9).p_value == 1.0
    assert est.mmd_test(x, x, paired=False, method="gamma").p_value == 1.0


def test_smoothed_scale_needs_spread():
    x = np.ones((40, 3))
    with pytest.raises(ValueError, match="pass sigma"):
        est.tv_smoothed(x, x, **FAST)
    for bad in ({"sigma": 0.0}, {"sigma": -1.0}, {"scale": 0.0}):
        with pytest.raises(ValueError, match="must be positive"):
            est.tv_smoothed(rows(), rows(), **bad, **FAST)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8])
def test_constant_features_of_one_sample(value):
    x = np.full((40, 3), value)
    for name in ("effective_rank", "stable_rank", "twonn_dimension", "bracketing_proxy"):
        estimate = ONE[name](x)
        assert math.isnan(estimate.value), name
        assert estimate.note.startswith("undefined"), name
    if value == 0.0:
        for name in ("rademacher_linear", "rademacher_linear_range", "local_rademacher", "local_fixed_point",
                     "frobenius_product", "spectral_product"):  # fmt: skip
            assert ONE[name](x).value == 0.0, name


@pytest.mark.parametrize("name", EVERY)
def test_more_columns_than_rows(name):
    estimate = number(EVERY[name](rows(24, 100)))
    assert math.isfinite(estimate.value) or estimate.note.startswith("undefined")
    if name == "svcca":
        assert "always correlate" in estimate.note


@pytest.mark.parametrize("name", EVERY)
def test_duplicates_give_a_number(name):
    estimate = number(EVERY[name](np.repeat(rows(10), 4, axis=0)))
    defined = math.isfinite(estimate.value)
    assert defined or name == "twonn_dimension"  # every row has a twin at distance 0


@pytest.mark.parametrize("name", [*TWO_SAMPLE, *TESTS])
def test_one_group_only(name):
    call = (TWO_SAMPLE | TESTS)[name]
    with pytest.raises(ValueError, match="at least 4 groups, got 1"):
        call(rows(), rows(seed=1), paired=True, groups=np.zeros(40))
    with pytest.raises(ValueError, match="at least 4 groups, got 1"):
        call(rows(), rows(seed=1), paired=False, groups=(np.arange(40), np.full(40, -1)))


def test_one_group_only_in_pairs():
    x, y, one = rows(), rows(seed=1), np.zeros(40)
    for name in ("tv_smoothed", "tv_gibbs", "tv_gibbs_normalised", "svcca", "mutual_knn", "hsic_test"):
        with pytest.raises(ValueError, match="groups"):
            PAIRS[name](x, y, groups=one)
    for name in ("cka", "hsic"):
        assert math.isnan(PAIRS[name](x, y, groups=one).low), name
        assert PAIRS[name](x, y, groups=one).value == pytest.approx(PAIRS[name](x, y).value)
    assert PAIRS["retrieval_recall"](x, y, groups=one).value == 1.0
    assert math.isnan(est.effective_rank(x, groups=one).low)
    with pytest.raises(ValueError, match="at least 3 groups"):
        est.twonn_dimension(x, groups=one)


def test_groups_are_checked():
    x, y = rows(), rows(seed=1)
    with pytest.raises(ValueError, match="one label for each of 40 rows"):
        est.tv_classifier(x, y, paired=True, groups=np.arange(39))
    with pytest.raises(ValueError, match="labels are NaN"):
        est.cka(x, y, groups=np.full(40, math.nan))
    with pytest.raises(ValueError, match="a tuple"):
        est.tv_classifier(x, y, paired=False, groups=np.arange(40))
    with pytest.raises(ValueError, match="one group label per pair"):
        est.tv_classifier(x, y, paired=True, groups=(np.arange(40), np.arange(40)))
    names = np.array(["photo"] * 10 + ["clip"] * 10 + ["scene"] * 10 + ["page"] * 10)
    assert est.cka(x, y, groups=names).n == 4
    assert est.cka(x, y, groups=torch.arange(40) // 4).n == 10


def test_options_are_checked():
    x, y = rows(), rows(seed=1)
    for split in ((0.5, 0.5), (0.5, 0.5, 0.0), (0.5, 0.3, 0.3)):
        with pytest.raises(ValueError, match="split must be"):
            est.tv_classifier(x, y, paired=True, split=split, **FAST)
    for families in ([], ["svm"]):
        with pytest.raises(ValueError, match="families must be"):
            est.tv_classifier(x, y, paired=True, families=families)
    for confidence in (0.3, 1.0, math.nan):
        with pytest.raises(ValueError, match="confidence"):
            est.tv_classifier(x, y, paired=True, confidence=confidence, **FAST)
    with pytest.raises(TypeError, match="seed must be"):
        est.tv_classifier(x, y, paired=True, seed=None, **FAST)
    with pytest.raises(ValueError, match="interval must be"):
        est.cka(x, y, interval="bootstrap")
    with pytest.raises(ValueError, match="floor"):
        est.tv_jensen_shannon(x, y, paired=True, floor=0.5, **FAST)
    with pytest.raises(ValueError, match="kernel must be"):
        est.cka(x, y, kernel="cosine")
    with pytest.raises(TypeError, match="paired"):
        est.tv_classifier(x, y)


def test_too_few_groups_after_stratifying():
    x, y = rows(8), rows(8, seed=1)
    shared = np.arange(8)
    with pytest.raises(ValueError, match="too few groups"):
        est.tv_classifier(x, y, paired=False, groups=(shared, np.array([0, 0, 0, 1, 1, 20, 20, 21])), **FAST)


@pytest.mark.parametrize("dtype", [np.int32, bool, np.float16, np.float32])
def test_other_dtypes_work(dtype):
    x = (10 * rows()).astype(dtype)
    assert math.isfinite(est.mmd2(x, x, paired=True).value)


def test_grad_and_no_grad_do_not_matter():
    x = torch.from_numpy(rows()).requires_grad_()
    y = torch.from_numpy(rows(seed=1))
    expected = est.tv_classifier(x, y, paired=True, families=["mlp"], seed=1)
    with torch.no_grad():
        assert est.tv_classifier(x, y, paired=True, families=["mlp"], seed=1).low == expected.low
    assert x.grad is None
