"""Lower bounds and intervals for TV: what each formula says, on data of known distance."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from estimators import (
    gaussian_shift,
    henze_penrose,
    modality_gap,
    proxy_a_distance,
    tv_classifier,
    tv_gaussian_shift,
    tv_jensen_shannon,
    tv_modality_gap,
    tv_smoothed,
    tv_threshold,
    tv_witness,
)
from estimators.concentration import clopper_pearson_lower
from estimators.inputs import as_two_sample
from estimators.total_variation import scorers
from estimators.total_variation.classifier import two_sided_bound
from estimators.total_variation.scorers import FAMILIES, advantage, fit_candidates
from estimators.total_variation.smoothed import coupling_bound
from estimators.total_variation.splits import one_row_per_group, split_by_group
from estimators.total_variation.threshold import largest_gap

BOUNDS = [tv_classifier, tv_threshold, tv_witness, tv_jensen_shannon, henze_penrose]
FAST = {"families": ["ridge"]}


def shifted(n, d, delta, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    y[:, 0] += delta
    return x, y


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_see_a_large_gap_and_stay_below_the_truth(bound):
    x, y = shifted(3000, 3, 3.0)
    estimate = bound(x, y, paired=False, **FAST)
    assert estimate.kind == "lower bound"
    assert estimate.high == 1.0
    truth = tv_gaussian_shift(3.0)  # 0.866
    floor = {tv_classifier: 0.81, tv_threshold: 0.79, tv_witness: 0.79, tv_jensen_shannon: 0.55, henze_penrose: 0.6}
    assert floor[bound] < estimate.low < truth
    assert estimate.n == 1200


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_are_nearly_symmetric_and_repeatable(bound):
    x, y = shifted(1500, 2, 2.0)
    one, again = bound(x, y, paired=True, seed=3, **FAST), bound(x, y, paired=True, seed=3, **FAST)
    assert one == again
    assert bound(y, x, paired=True, seed=3, **FAST).low == pytest.approx(one.low, abs=0.02)
    assert bound(x, y, paired=True, seed=np.random.default_rng(3), **FAST) == one
    assert bound(torch.from_numpy(x).float(), torch.from_numpy(y).float(), paired=True, seed=3, **FAST).low == (
        pytest.approx(one.low, abs=1e-4)
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_fits_are_the_same_remembered_or_not(family, monkeypatch):
    """Bounds on one seed share fits: that must change no number, the later random ones included."""
    x, y = shifted(200, 3, 1.0)
    shared = [b(x, y, paired=True, families=[family]) for b in BOUNDS]
    monkeypatch.setattr(scorers, "_FITS_KEPT", 0)
    scorers._REMEMBERED.clear()
    assert [b(x, y, paired=True, families=[family]) for b in BOUNDS] == shared
    assert len(scorers._REMEMBERED) == 0
    changed = x.copy()
    changed[0, 0] += 1e-9
    parts = [
        split_by_group(as_two_sample(s, y, True, None), (0.4, 0.2, 0.4), np.random.default_rng(0)) for s in (x, changed)
    ]
    keys = {scorers._fingerprint(p[0], f, np.random.default_rng(1)) for p in parts for f in (["ridge"], ["mlp"])}
    assert len(keys) == (4 if 0 in parts[0].fit.data.source_groups else 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_learns_its_kind_of_gap(family):
    x, y = shifted(1200, 4, 2.5)
    assert tv_classifier(x, y, paired=False, families=[family]).low > 0.65
    rng = np.random.default_rng(0)
    inside, ring = rng.normal(size=(1200, 2)), rng.normal(size=(1200, 2))
    ring *= 4 / np.linalg.norm(ring, axis=1, keepdims=True)
    curved = tv_classifier(inside, ring, paired=False, families=[family]).low
    assert curved > 0.8 if family in ("mlp", "trees") else curved < 0.3


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_of_the_sides_do_not_tilt_the_classifier(family):
    """A tenfold larger side must not pull the threshold: both accuracies stay near that of the best rule."""
    x, y = shifted(2000, 2, 2.0)
    data = as_two_sample(x, y[:200], False, None)
    parts = split_by_group(data, (0.4, 0.2, 0.4), np.random.default_rng(0))
    candidate = fit_candidates(parts.fit, [family], np.random.default_rng(0))[-1]
    fresh_x, fresh_y = shifted(4000, 2, 2.0, seed=1)
    accuracies = (candidate.score(fresh_x) <= 0).mean(), (candidate.score(fresh_y) > 0).mean()
    assert min(accuracies) > 0.70
    assert advantage(candidate.score(fresh_x), candidate.score(fresh_y)) > 0.55


def test_the_classifier_bound_is_two_clopper_pearson_bounds():
    hits = np.arange(100) < 90, np.arange(50) < 40
    expected = clopper_pearson_lower(90, 100, 0.025) + clopper_pearson_lower(40, 50, 0.025) - 1
    assert two_sided_bound(*hits, 0.05) == pytest.approx(expected)
    assert two_sided_bound(np.zeros(9, bool), np.ones(9, bool), 0.05) == 0.0


def test_pooled_is_tighter_and_refuses_dependent_sides():
    x, y = shifted(2000, 2, 0.8)
    pooled = tv_classifier(x, y, paired=False, pooled=True, **FAST)
    assert pooled.low > tv_classifier(x, y, paired=False, **FAST).low
    with pytest.raises(ValueError, match="pooled bound is invalid for paired data"):
        tv_classifier(x, y, paired=True, pooled=True, **FAST)
    groups = np.arange(2000), np.arange(1999, 3999)  # one group on both sides
    with pytest.raises(ValueError, match="groups on both sides"):
        tv_classifier(x, y, paired=False, groups=groups, pooled=True, **FAST)


def test_pooling_paired_data_would_break_the_level():
    """Why it refuses: with pairs whose errors agree, the pooled count is far more spread than a binomial one."""
    rng = np.random.default_rng(0)
    m, below = 200, 0
    for _ in range(400):
        wrong_together = rng.random(m) < 0.5
        below += 2 * clopper_pearson_lower(2 * int((~wrong_together).sum()), 2 * m, 0.05) - 1 <= 0.0
    assert below / 400 < 0.93


def test_in_sample_accuracy_means_nothing_and_held_out_is_centred():
    """The figure of the package page: P = Q, d = 256, 200 rows a side."""
    inside, held = [], []
    for seed in range(12):
        x, y = shifted(400, 256, 0.0, seed)
        data = as_two_sample(x, y, False, None)
        parts = split_by_group(data, (0.5, 0.1, 0.4), np.random.default_rng(seed))
        score = fit_candidates(parts.fit, ["logistic"], np.random.default_rng(0))[2].score  # weak penalty, raw
        inside.append(advantage(score(parts.fit.data.source), score(parts.fit.data.target)))
        held.append(advantage(score(parts.certify.data.source), score(parts.certify.data.target)))
    assert np.mean(inside) > 0.95
    assert abs(np.mean(held)) < 3 * np.std(held, ddof=1) / math.sqrt(12)


def test_groups_are_never_split_and_count_as_one():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(60), 5)
    x, y = rng.normal(size=(300, 2)), rng.normal(size=(300, 2))
    data = as_two_sample(x, y, True, codes)
    parts = split_by_group(data, (0.4, 0.2, 0.4), rng)
    members = [set(p.data.source_groups) for p in parts]
    assert [len(m) for m in members] == [24, 12, 24]
    assert set.union(*members) == set(range(60))  # with the sizes above: disjoint
    rows = one_row_per_group(parts.certify.data.source_groups, rng)
    assert len(rows) == 24
    assert tv_classifier(x, y, paired=True, groups=codes, **FAST).n == 24


def test_copies_within_groups_prove_nothing_more():
    """Twenty copies of every row are one unit: the bound must not rise with them (without groups it does)."""
    x, y = shifted(40, 1, 1.0, seed=5)
    many_x, many_y, codes = np.repeat(x, 20, 0), np.repeat(y, 20, 0), np.repeat(np.arange(40), 20)
    with_groups = tv_classifier(many_x, many_y, paired=True, groups=codes, **FAST)
    assert with_groups.n == 16
    assert with_groups.low < tv_classifier(many_x, many_y, paired=True, **FAST).low


def test_threshold_needs_no_threshold_of_its_own():
    """A score whose own zero is useless: the classifier sees nothing, the threshold bound does."""
    x, y = shifted(2000, 1, 2.0)
    estimate = tv_threshold(x, y, paired=False, score=lambda z: z[:, 0] + 100)
    assert 0.6 < estimate.low < tv_gaussian_shift(2.0)
    assert estimate.n == 2000


def test_threshold_statistic_matches_kolmogorov_smirnov():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50).round(1), rng.normal(0.4, 1, 70).round(1)
    assert largest_gap(a, b) == pytest.approx(stats.ks_2samp(a, b, alternative="greater").statistic)


def test_threshold_two_sided_interval_contains_the_truth():
    x, y = shifted(4000, 2, 1.0)
    e = tv_threshold(x, y, paired=False, score=lambda z: z[:, 0], estimand="thresholds")
    assert e.kind == "interval"
    assert e.low < tv_gaussian_shift(1.0) < e.high
    assert e.high - e.low == pytest.approx(4 * math.sqrt(math.log(80) / 8000))
    with pytest.raises(ValueError, match="estimand"):
        tv_threshold(x, y, paired=False, estimand="other")
    with pytest.raises(ValueError, match="one finite number per row"):
        tv_threshold(x, y, paired=False, score=lambda z: z)


def test_witness_gains_from_pairs():
    rng = np.random.default_rng(0)
    content = 3 * rng.normal(size=(2000, 1))
    x, y = content, content + 1.0
    paired = tv_witness(x, y, paired=True, **FAST)
    assert paired.low > tv_witness(x, y, paired=False, **FAST).low + 0.02
    assert paired.low > tv_classifier(x, y, paired=True, **FAST).low
    assert paired.low < tv_gaussian_shift(1 / 3)


def test_witness_interval_may_be_negative_but_the_bound_is_not():
    x, y = shifted(300, 2, 0.0, seed=1)
    e = tv_witness(x, y, paired=False, estimand="witness", **FAST)
    assert e.kind == "interval"
    assert e.low < 0 < e.high
    assert tv_witness(x, y, paired=False, **FAST).low == 0.0
    with pytest.raises(ValueError, match="estimand"):
        tv_witness(x, y, paired=False, estimand="other", **FAST)


def test_loss_bounds_converge_to_their_own_divergences():
    """With much data the held-out losses reach the true JS and HP (numeric integrals), which lie below TV."""
    delta = 2.0
    x, y = shifted(40_000, 1, delta)
    grid = np.linspace(-10, 12, 20_001)
    p, q = stats.norm.pdf(grid), stats.norm.pdf(grid, delta)
    step = grid[1] - grid[0]
    hp = 0.5 * ((p - q) ** 2 / (p + q)).sum() * step
    m = 0.5 * (p + q)
    js = 0.5 * ((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum()) * step / math.log(2)
    assert henze_penrose(x, y, paired=False, families=["logistic"]).value == pytest.approx(hp, abs=0.02)
    got = tv_jensen_shannon(x, y, paired=False, families=["logistic"], floor=0.001).value
    assert got == pytest.approx(js, abs=0.02)


def test_smoothed_interval_holds_the_gaussian_truth_at_every_sigma():
    """The simulation of the specification: d = 16, shift 0.5; the upper side at sigma 1 is 0.197 and a little."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4000, 16))
    y = x.copy()
    y[:, 0] += 0.5
    for sigma, upper in ((1.0, 0.197), (2.0, 0.0995)):
        e = tv_smoothed(x, y, sigma=sigma, **FAST)
        truth = tv_gaussian_shift(0.5 / math.sqrt(1 + sigma**2))
        assert e.low <= truth <= e.high
        assert upper < e.high < upper + 0.03
        assert e.value == pytest.approx((e.low + e.high) / 2)


@pytest.mark.parametrize("sigma", [0.05, 0.5, 1.0, 5.0])
@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_smoothed_sides_do_not_cross(sigma, shift):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 3))
    e = tv_smoothed(x, x + shift + 0.3 * rng.normal(size=x.shape), sigma=sigma, **FAST)
    assert e.note == ""
    assert 0.0 <= e.low < e.high <= 1.0


def test_coupling_bound_shrinks_with_sigma_and_vanishes_for_identical_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 4)), rng.normal(size=(500, 4))
    codes = np.arange(500)
    bounds = [coupling_bound(x, y, codes, sigma, 0.025)[0] for sigma in (0.1, 1.0, 10.0, 1000.0)]
    assert bounds == sorted(bounds, reverse=True)
    nothing = 1 - 0.025 ** (1 / 500)
    assert bounds[-1] == pytest.approx(nothing, abs=0.01)
    assert coupling_bound(x, x, codes, 1.0, 0.025)[0] == pytest.approx(nothing)


def test_smoothed_scale_is_the_nearest_neighbour_distance_and_of_other_groups():
    rng = np.random.default_rng(0)
    base = 10.0 * rng.normal(size=(100, 2))
    x = np.repeat(base, 9, 0) + 1e-3 * rng.normal(size=(900, 2))
    y = x + 1.0
    codes = np.repeat(np.arange(100), 9)

    def sigma(estimate):
        return float(estimate.name.split("sigma ")[1].split(",")[0])

    assert sigma(tv_smoothed(x, y, scale=1.0, **FAST)) < 0.1  # twins are neighbours
    assert sigma(tv_smoothed(x, y, groups=codes, scale=1.0, **FAST)) > 0.3
    half = sigma(tv_smoothed(x, y, groups=codes, scale=0.5, **FAST))
    assert half == pytest.approx(sigma(tv_smoothed(x, y, groups=codes, scale=1.0, **FAST)) / 2, rel=0.01)


def test_smoothed_claims_nothing_where_bounds_cross():
    """Pairs that agree although their laws differ cannot exist: forced here by lying about the coupling."""
    from estimators.total_variation import smoothed

    x, y = shifted(400, 1, 8.0)
    original = smoothed.coupling_bound
    try:
        smoothed.coupling_bound = lambda *a: (0.01, 400)
        e = tv_smoothed(x, y, sigma=0.5, **FAST)
    finally:
        smoothed.coupling_bound = original
    assert (e.low, e.high) == (0.0, 1.0)
    assert "nothing is claimed" in e.note


def test_modality_gap_is_debiased_and_covers():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 50)), rng.normal(size=(300, 50))
    e = modality_gap(x, y, paired=False, normalise=False)
    plain = np.linalg.norm(x.mean(0) - y.mean(0))
    assert e.low == 0.0 < plain
    assert e.value < 0.5 * plain  # the sample distance is all noise
    y[:, 0] += 2.0
    e = modality_gap(x, y, paired=False, normalise=False)
    assert e.low < 2.0 < e.high
    assert modality_gap(x, y, paired=True, normalise=False).value == pytest.approx(e.value, abs=0.1)


def test_modality_gap_of_unit_rows_bounds_tv():
    rng = np.random.default_rng(0)
    x, y = rng.normal(2.0, 1.0, size=(4000, 3)), rng.normal(0.0, 1.0, size=(4000, 3))
    gap = modality_gap(x, y, paired=False)
    bound = tv_modality_gap(x, y, paired=False)
    assert bound.low < gap.value / 2 < bound.low + 0.05
    assert tv_classifier(x, y, paired=False, **FAST).value > gap.value / 2


def test_grouped_unpaired_modality_gap_resamples_shared_groups_once():
    rng = np.random.default_rng(0)
    content = 5 * rng.normal(size=(200, 2))
    x, y = content + np.array([0.5, 0.0]), content
    shared = np.arange(200)
    together = modality_gap(x, y, paired=False, groups=(shared, shared), normalise=False)
    apart = modality_gap(x, y, paired=False, normalise=False)
    assert together.high - together.low < 0.2 * (apart.high - apart.low)


def test_proxy_a_distance_is_twice_the_advantage():
    x, y = shifted(4000, 1, 1.0)
    e = proxy_a_distance(x, y, paired=False)
    assert e.kind == "proxy"
    assert e.low < 2 * tv_gaussian_shift(1.0) < e.high
    assert e.value / 2 == pytest.approx(tv_gaussian_shift(1.0), abs=0.04)


def test_power_figure_of_the_specification():
    """An observed advantage of 0.045 on 2000 certify rows a side is about the least that excludes 0."""
    m = 2000
    for share, seen in ((0.53, True), (0.515, False)):
        hits = np.arange(m) < share * m
        assert (two_sided_bound(hits, hits, 0.05) > 0) is seen


def test_gaussian_shift_of_published_distance_is_invisible_at_small_n():
    x, y = shifted(795, 2, gaussian_shift(0.06))
    assert tv_classifier(x, y, paired=True, **FAST).low == 0.0
