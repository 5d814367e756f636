"""Gains: equal to `compare.gains` and to closed forms, and intervals that cover."""

import numpy as np
import pytest
from scipy import stats

from tests.report.frames import study
from xkd_bench.analysis import compare
from xkd_bench.analysis.gains import DEFINITIONS, _estimate, gain_table
from xkd_bench.analysis.gains_bootstrap import bootstrap, ratio, replicates_of, resample, worths
from xkd_bench.errors import UsageError


def world(seeds, draws, items, rng, gain=0.1, between=0.05, base=0.5):
    """Worth of items of two methods: a shared chance of each item, a seed's own gain around the true one."""
    random = np.random.default_rng(rng)
    a, b = {}, {}
    for seed in range(seeds):
        shift = random.normal(0, between)
        luck = random.random((draws, items))
        a[seed] = dict(enumerate((luck < base + gain + shift).astype(float)))
        b[seed] = dict(enumerate((luck < base).astype(float)))
    return a, b


def test_raw_and_net_are_those_of_compare():
    df = study(shots=(1, 5), trained=("head",))
    found = gain_table(df, ["ssl"])
    reference = compare.gains(df, "ssl")
    for definition, part in (("raw", "gain"), ("net", "knowledge")):
        ours = found[found["definition"] == definition].set_index("labels_per_class")
        theirs = reference[reference["part"] == part].set_index("labels_per_class")
        for mine, name in (
            ("gain", "difference"),
            ("low", "low"),
            ("high", "high"),
            ("p", "p"),
            ("n_seeds", "n_seeds"),
        ):
            assert ours[mine].astype(float).tolist() == pytest.approx(
                theirs.loc[ours.index, name].astype(float).tolist()
            )


def test_relative_and_error_reduction_are_ratios_of_means():
    df = study(shots=(5,), trained=("head",))
    found = gain_table(df, ["ssl"]).set_index("definition")
    means = df.groupby(["method", "teacher", "pairs"])["value"].mean()
    method, reference = means["cmc", "imagenet", "true"], means["ssl", "", "true"]
    assert found.loc["relative", "gain"] == pytest.approx((method - reference) / reference)
    assert found.loc["error_reduction", "gain"] == pytest.approx((method - reference) / (1 - reference))
    assert set(found.index) == set(DEFINITIONS)
    assert found["boot_low"].isna().all()


def test_delta_interval_of_a_ratio_covers():
    n, covered = 400, 0
    random = np.random.default_rng(0)
    for _ in range(n):
        level = 0.4 + random.normal(0, 0.03, (6, 1))
        found = _estimate(1.2 * level + random.normal(0, 0.01, (6, 3)), level + np.zeros((6, 3)), "relative", 0.95)
        covered += found["low"] <= 0.2 <= found["high"]
    assert covered / n == pytest.approx(0.95, abs=4 * np.sqrt(0.05 * 0.95 / n))


def test_every_reference_that_was_run_has_rows():
    found = gain_table(study(shots=(5,)))
    assert set(found["against"]) == {"ssl", "sup-ft", "random teacher"}
    assert not found.duplicated(["variant", "against", "definition", "trained"]).any()
    assert (found["p_holm"] >= found["p"] - 1e-12).all()
    assert gain_table(study(["ssl", "sup-ft"])).empty


def test_replicates_of_one_seed_are_the_binomial_of_paired_items():
    a, b = world(1, 1, 400, 0)
    means = replicates_of(a, b, 4000, levels=("items",))
    d = a[0][0] - b[0][0]
    assert np.std(means[0] - means[1]) == pytest.approx(d.std() / np.sqrt(400), rel=0.06)
    assert means[2] == 400


def test_replicates_of_seeds_alone_are_their_means_resampled():
    a, b = world(5, 2, 50, 1)
    d = np.array([np.mean([a[s][r] - b[s][r] for r in range(2)]) for s in range(5)])
    means = replicates_of(a, b, 4000, levels=("seeds",))
    assert np.std(means[0] - means[1]) == pytest.approx(d.std() / np.sqrt(5), rel=0.06)
    whole = replicates_of(a, b, 1, levels=())
    assert whole[0] - whole[1] == pytest.approx(d.mean())


def test_items_are_paired_between_methods():
    """Two methods right on the very same items differ by nothing in every replicate."""
    a, _ = world(3, 2, 100, 2)
    means = replicates_of(a, a, 50)
    assert np.allclose(means[0], means[1])
    assert means[0].std() > 0.01


@pytest.mark.parametrize("definition", ["relative", "error_reduction"])
def test_intervals_of_ratios_over_seeds_draws_and_items_cover(definition):
    n = 80
    found = [bootstrap(*world(4, 3, 200, i), definition, replicates=200, seed=i)[:2] for i in range(n)]
    assert np.mean([low <= 0.2 <= high for low, high in found]) >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / n)


@pytest.mark.parametrize("between", [0.05, 0.0])
def test_interval_covers_where_percentiles_of_three_seeds_do_not(between):
    n, covered, naive = 80, 0, 0
    for i in range(n):
        a, b = world(3, 1, 400, i, between=between)
        low, high, _ = bootstrap(a, b, "raw", replicates=200, seed=i)
        covered += low <= 0.1 <= high
        means = replicates_of(a, b, 200, i, levels=("seeds",))
        naive += np.quantile(means[0] - means[1], 0.025) <= 0.1 <= np.quantile(means[0] - means[1], 0.975)
    assert covered / n >= 0.95 - 4 * np.sqrt(0.05 * 0.95 / n)
    assert naive / n < 0.87


def test_one_seed_speaks_of_its_own_split_by_percentiles():
    a, b = world(1, 3, 300, 3)
    low, high, items = bootstrap(a, b, "relative")
    assert low < ratio(*(np.array([np.mean(list(x[0].values()))]) for x in (a, b)), "relative")[0] < high
    assert items == 300


def stored(df, rng=0, items=200):
    """A record for each run and seed, its scores in the frame's order; worth whose means are the scores' values."""
    df = df.sort_values(["method", "teacher", "pairs", "trained", "seed"], kind="stable").reset_index(drop=True)
    df["key"] = df.groupby(["method", "teacher", "pairs", "trained", "seed"], dropna=False).ngroup().map(str)
    df["value"] = (df["value"] * items).round() / items
    df["n_test"] = items
    random = np.random.default_rng(rng)
    tables = {}
    for key, part in df.groupby("key"):
        tables[key] = np.stack([random.permutation(np.arange(items) < round(v * items)) for v in part["value"]])
    return df, tables


def test_many_pairs_at_once_are_resampled_as_each_alone():
    """The same draws for all that share seeds and label draws; a pair that lacks some has its own."""
    a, b = world(4, 3, 100, 4)
    c, _ = world(4, 3, 100, 5)
    few = {seed: {0: c[seed][0], 2: c[seed][2]} for seed in (0, 1, 3)}
    pairs = [(a, b), (c, b), (few, a), (a, c), (a, {9: a[0]})]
    together = resample(pairs, 200, seed=1)
    assert together[-1] is None
    for (x, y), found in zip(pairs[:-1], together[:-1], strict=True):
        (alone,) = resample([(x, y)], 200, seed=1)
        assert (found.seeds, found.items) == (alone.seeds, alone.items) == (len(set(x) & set(y)), 100)
        assert found.a == pytest.approx(alone.a)
        assert found.b == pytest.approx(alone.b)
        for definition in DEFINITIONS:
            assert found.interval(definition) == pytest.approx(bootstrap(x, y, definition, replicates=200, seed=1)[:2])
    with pytest.raises(UsageError, match="share no seed"):
        bootstrap(a, {9: a[0]}, "raw")


def test_nothing_is_relative_to_a_reference_of_nothing():
    zero, one, some = np.zeros((3, 2)), np.ones((3, 2)), np.full((3, 2), 0.3)
    assert np.isnan([_estimate(some, zero, "relative", 0.95)[name] for name in ("gain", "se", "low", "high")]).all()
    assert np.isnan(_estimate(some, one, "error_reduction", 0.95)["gain"])
    assert _estimate(some, zero, "raw", 0.95)["gain"] == pytest.approx(0.3)


def test_the_table_with_per_item_worth():
    df, tables = stored(study(shots=(1, 5), trained=("head",)))
    found = gain_table(df, ["ssl"], tables.__getitem__, replicates=300)
    assert found[["boot_low", "boot_high"]].notna().all(axis=None)
    assert (found["boot_low"] < found["gain"]).all()
    assert (found["gain"] < found["boot_high"]).all()
    assert (found["n_items"] == 200).all()
    by = worths(df, tables.__getitem__)
    named = compare.variants(df)
    for (variant, _, labels, _), worth in by.items():
        scores = named[(named["variant"] == variant) & (named["labels_per_class"] == labels)]
        for one in scores.to_dict("records"):
            assert worth[one["seed"]][one["draw"]].mean() == pytest.approx(one["value"])
    short = {key: table[:1] for key, table in tables.items()}
    with pytest.raises(UsageError, match="has 1 scores"):
        worths(df, short.__getitem__)


def test_p_is_the_paired_t_test():
    df = study(shots=(5,), draws=1, trained=("head",), seeds=5)
    found = gain_table(df, ["ssl"]).set_index("definition")
    cmc = df[(df["method"] == "cmc") & (df["teacher"] == "imagenet") & (df["pairs"] == "true")].sort_values("seed")[
        "value"
    ]
    ssl = df[df["method"] == "ssl"].sort_values("seed")["value"]
    assert found.loc["raw", "p"] == pytest.approx(stats.ttest_rel(cmc.to_numpy(), ssl.to_numpy()).pvalue)
