"""Comparisons by hand-made numbers: names and order of rows, closed forms, pairing, refusals."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.report.frames import METHODS, cells, frame, row, study
from xkd_bench.analysis.compare import distinguish, gains, summarise, variants


def test_rows_are_named_and_ordered_methods_controls_references_floor() -> None:
    named = variants(study(("sup-ft", "ssl", "cmc · shuffled pairs", "cmd", "cmc · random teacher", "cmc")))
    order = named.sort_values("order").drop_duplicates("variant")
    assert list(order["variant"]) == [
        *("cmc", "cmd", "cmc · random teacher", "cmc · shuffled pairs", "ssl", "sup-ft", "random features")
    ]
    assert list(order["role"]) == ["method"] * 2 + ["control"] * 2 + ["reference"] * 2 + ["floor"]
    assert set(named.loc[named["variant"] == "random features", "trained"]) == {"head"}
    assert set(named.loc[named["variant"] == "sup-ft", "trained"]) == {"all"}


def test_changed_options_are_shown_and_sorted_by_size() -> None:
    runs = [{"method": "cmc", "teacher": "imagenet", "changes": {"tau": tau}} for tau in (0.5, 0.07, 0.2, 10.0)]
    named = variants(frame([row(run, 0.5) for run in runs] + [row(METHODS["cmc"], 0.5)]))
    assert list(named["variant"]) == ["cmc", "cmc (tau=0.07)", "cmc (tau=0.2)", "cmc (tau=0.5)", "cmc (tau=10)"]


def test_names_of_teachers_and_students_appear_only_when_there_are_several() -> None:
    two = [row({**METHODS["cmc"], "teacher": name}, 0.5) for name in ("imagenet", "simclr")]
    rest = [row(METHODS[name], 0.4) for name in ("cmc · random teacher", "ssl")]
    assert list(variants(frame(two + rest))["variant"]) == [
        *("cmc · imagenet teacher", "cmc · simclr teacher", "cmc · random teacher", "ssl")
    ]
    usual = [row({**METHODS[name], "teacher": "imagenet"}, 0.4) for name in ("cmd", "cmst")]
    assert list(variants(frame(two + usual))["variant"]) == ["cmc", "cmc · simclr teacher", "cmd", "cmst"]
    students = [row(METHODS["ssl"], 0.5, student=name) for name in ("small", "large")]
    assert list(variants(frame(students))["variant"]) == ["ssl · large student", "ssl · small student"]
    assert list(variants(frame(two[:1] + rest))["variant"]) == ["cmc", "cmc · random teacher", "ssl"]


def test_networks_are_ordered_by_the_numbers_in_their_names() -> None:
    students = [row(METHODS["ssl"], 0.5, student=f"conv4-w{width}") for width in (16, 8, 128)]
    widths = [name.removeprefix("ssl · conv4-w").split()[0] for name in variants(frame(students))["variant"]]
    assert widths == ["8", "16", "128"]
    teachers = [row({**METHODS["cmc"], "teacher": f"resnet{depth}"}, 0.5) for depth in (101, 18, 50)]
    assert [name.split()[2] for name in variants(frame(teachers))["variant"]] == ["resnet18", "resnet50", "resnet101"]


def test_the_teacher_that_a_reference_was_run_beside_is_no_teacher_of_it() -> None:
    named = variants(frame([row(METHODS["cmc"], 0.5), row({"method": "ssl", "teacher": "simclr"}, 0.4)]))
    assert list(named["variant"]) == ["cmc", "ssl"]


def test_interval_over_seeds_is_students_t_of_the_means_over_draws() -> None:
    x = np.array([[0.50, 0.60, 0.55], [0.40, 0.45, 0.50], [0.61, 0.59, 0.63], [0.52, 0.48, 0.53]])
    one = summarise(cells({"cmc": x}), confidence=0.9).iloc[0]
    means = x.mean(1)
    low, high = stats.t.interval(0.9, 3, means.mean(), stats.sem(means))
    assert one[["mean", "low", "high"]].astype(float).to_list() == pytest.approx([means.mean(), low, high])
    assert one["sd_seeds"] == pytest.approx(means.std(ddof=1))
    assert one["sd_draws"] == pytest.approx(np.sqrt(x.var(axis=1, ddof=1).mean()))
    assert (one["n_seeds"], one["n_draws"], one["n_scores"]) == (4, 3, 12)
    assert one["covers"] == "splits, initial weights and label draws"


def test_one_seed_has_an_interval_over_draws_that_says_so() -> None:
    x = np.array([[0.50, 0.60, 0.55, 0.52]])
    one = summarise(cells({"cmc": x})).iloc[0]
    low, high = stats.t.interval(0.95, 3, x.mean(), stats.sem(x[0]))
    assert (one["low"], one["high"]) == (pytest.approx(low), pytest.approx(high))
    assert one["covers"] == "label draws only; one split"
    assert np.isnan(one["sd_seeds"])


def test_one_draw_a_seed_has_an_interval_over_seeds_only() -> None:
    one = summarise(cells({"cmc": [[0.5], [0.6]]})).iloc[0]
    assert one["high"] - one["mean"] == pytest.approx(stats.t.ppf(0.975, 1) * 0.05)
    assert one["covers"] == "splits and initial weights"
    assert np.isnan(one["sd_draws"])


def test_one_score_has_no_interval() -> None:
    one = summarise(cells({"cmc": [[0.5]]})).iloc[0]
    assert one["mean"] == 0.5
    assert one[["low", "high", "sd_seeds", "sd_draws"]].isna().all()
    assert one["covers"] == "one score: no interval"


def test_settings_with_all_labels_keep_them_as_missing() -> None:
    summary = summarise(study(shots=(5, None), trained=("head",)))
    assert summary.loc[summary["variant"] == "cmc", "labels_per_class"].isna().tolist() == [False, True]


def test_differences_are_paired_within_seed_and_draw() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(0.5, 0.1, (5, 4))  # far larger than the difference: only a paired test sees it
    cmc, cmd = shared + 0.01 + rng.normal(0, 0.002, (5, 4)), shared
    verdicts = distinguish(cells({"cmc": cmc, "cmd": cmd})).set_index("variant")
    expected = stats.ttest_rel(cmc.mean(1), cmd.mean(1)).pvalue
    assert verdicts.loc["cmd", "p"] == pytest.approx(expected)
    assert verdicts.loc["cmd", "status"] == "distinguishable"
    assert verdicts.loc["cmd", "difference"] == pytest.approx((cmc - cmd).mean())
    assert stats.ttest_ind(cmc.ravel(), cmd.ravel()).pvalue > 0.5


def test_every_pair_of_a_setting_counts_in_the_correction() -> None:
    names = ("cmc", "cmd", "cmst", "ssl")
    df = study(names, trained=("head",), shots=(1,), seeds=5)
    x = df.pivot_table(index="seed", columns="method", values="value")
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    p = [stats.ttest_rel(x[a], x[b]).pvalue for a, b in pairs]
    adjusted = dict(zip(pairs, multipletests(p, method="holm")[1], strict=True))
    found = distinguish(df).set_index("variant")["p_holm"]
    assert found["cmd":"ssl"].to_list() == pytest.approx([adjusted["cmc", name] for name in names[1:]])


def test_the_best_need_not_come_first() -> None:
    rng = np.random.default_rng(4)
    low = rng.uniform(0.1, 0.2, (6, 2))
    high = low + rng.uniform(0.5, 0.51, (6, 2))
    verdicts = distinguish(cells({"cmc": low, "cmst": high, "ssl": low + 0.01})).set_index("variant")
    assert verdicts["status"].to_dict() == {"cmc": "distinguishable", "cmst": "best", "ssl": "distinguishable"}
    assert verdicts.loc["cmc", "difference"] == pytest.approx((high - low).mean())
    assert verdicts.loc["ssl", "difference"] == pytest.approx((high - low).mean() - 0.01)


def test_a_variant_that_beats_the_best_where_both_ran_is_not_called_worse() -> None:
    rng = np.random.default_rng(6)
    shared = rng.uniform(0.3, 0.31, (6, 1))
    cmc = np.vstack([shared, np.full((6, 1), 0.9)])  # best by seeds that cmd never ran
    cmd = np.vstack([shared + rng.uniform(0.1, 0.101, (6, 1)), np.full((6, 1), np.nan)])
    verdict = distinguish(cells({"cmc": cmc, "cmd": cmd})).set_index("variant").loc["cmd"]
    assert verdict["p_holm"] < 0.001
    assert verdict["difference"] < 0
    assert verdict["status"] == "not distinguishable"


def test_unbalanced_draws_are_compared_on_those_in_common() -> None:
    rng = np.random.default_rng(2)
    cmc = rng.uniform(0.5, 0.6, (3, 4))
    cmd = cmc - rng.uniform(0.0, 0.02, (3, 4))
    cmd[2, 1:] = cmd[1, 0] = np.nan
    verdict = distinguish(cells({"cmc": cmc, "cmd": cmd})).set_index("variant").loc["cmd"]
    assert verdict["difference"] == pytest.approx(np.nanmean(cmc - cmd, axis=1).mean())
    assert verdict["p"] == pytest.approx(stats.ttest_1samp(np.nanmean(cmc - cmd, axis=1), 0).pvalue)
    assert (verdict["n_seeds"], verdict["n_draws"]) == (3, 1)


def test_no_draws_in_common_is_undecided() -> None:
    cmc, cmd = [[0.9, 0.91, np.nan, np.nan]], [[np.nan, np.nan, 0.1, 0.11]]
    verdict = distinguish(cells({"cmc": cmc, "cmd": cmd})).set_index("variant").loc["cmd"]
    assert verdict["status"] == "undecided"
    assert verdict["n_seeds"] == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
def test_too_few_scores_never_mark_a_difference(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    low = rng.uniform(0.1, 0.12, shape)
    verdict = distinguish(cells({"cmc": low + 0.5, "cmd": low + rng.uniform(0, 0.01, shape)})).set_index("variant")
    assert verdict.loc["cmc", "status"] == "best"
    assert verdict.loc["cmd", "status"] == ("undecided" if shape == (1, 1) else "distinguishable")
    if shape == (1, 5):
        assert verdict.loc["cmd", "covers"] == "label draws only; one split"


def test_ties_are_all_best_and_a_single_variant_is_not_compared() -> None:
    same = [[0.5, 0.6], [0.4, 0.5]]
    verdicts = distinguish(cells({"cmc": same, "cmd": same, "cmst": [[0.1, 0.2], [0.1, 0.1]]}))
    assert verdicts["status"].tolist() == ["best", "best", "not distinguishable"]
    assert verdicts["p"].tolist()[1] == 1.0
    assert distinguish(cells({"cmc": same}))["status"].tolist() == ["only"]


@pytest.mark.parametrize(("seeds", "p"), [(2, 0.5), (3, 0.25), (8, 2**-7)])
def test_without_any_spread_p_is_that_of_the_sign_test(seeds: int, p: float) -> None:
    flat = np.full((seeds, 2), 0.5)
    verdict = distinguish(cells({"cmc": flat + 0.25, "cmd": flat})).set_index("variant").loc["cmd"]
    assert verdict["p"] == p
    assert stats.binomtest(seeds, seeds).pvalue == pytest.approx(p)
    assert verdict["status"] == ("distinguishable" if p < 0.05 else "not distinguishable")
    summary = summarise(cells({"cmc": flat})).iloc[0]
    assert summary["low"] == summary["high"] == 0.5


def test_gain_splits_into_parts_that_add_up() -> None:
    df = study(("cmc", "cmc · random teacher", "cmc · shuffled pairs", "ssl"), seeds=4)
    parts = gains(df).pivot(index=["trained", "labels_per_class"], columns="part", values="difference")
    assert len(parts) == 6
    assert np.allclose(parts["gain"], parts["knowledge"] + parts["pairing"] + parts["objective"], atol=1e-12)
    one = df[(df["trained"] == "head") & (df["labels_per_class"] == 5)].set_index(["seed", "draw"])
    cmc = one[(one["method"] == "cmc") & (one["teacher"] == "imagenet") & (one["pairs"] == "true")]["value"]
    random = one[one["teacher"] == "random"]["value"]
    means = (cmc - random).groupby("seed").mean()
    found = gains(df).query("part == 'knowledge' and trained == 'head' and labels_per_class == 5").iloc[0]
    low, high = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert found[["difference", "low", "high"]].astype(float).to_list() == pytest.approx([means.mean(), low, high])
    assert found["p"] == pytest.approx(stats.ttest_1samp(means, 0).pvalue)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("cmc", "ssl"), {"gain"}),
        (("cmc", "cmc · random teacher", "ssl"), {"gain", "knowledge"}),
        (("cmc", "cmc · shuffled pairs", "ssl"), {"gain", "objective"}),
        (("cmc", "cmc · random teacher", "cmc · shuffled pairs"), {"knowledge", "pairing"}),
        (("cmc",), set()),
    ],
)
def test_parts_without_their_control_are_left_out(names: tuple[str, ...], expected: set[str]) -> None:
    assert set(gains(study(names))["part"]) == expected


def test_controls_of_another_option_do_not_count() -> None:
    other = [row({**METHODS["cmc · random teacher"], "changes": {"tau": 0.5}}, 0.3, seed=s) for s in range(3)]
    own = [row(METHODS[name], 0.5, seed=s) for s in range(3) for name in ("cmc", "ssl")]
    assert set(gains(frame(other + own))["part"]) == {"gain"}


def test_a_control_that_changes_both_is_neither() -> None:
    both = {"method": "cmc", "teacher": "random", "pairs": "shuffled"}
    runs = [both, METHODS["cmc"], METHODS["ssl"]]
    df = frame([row(run, 0.5 - 0.1 * i, seed=s) for s in range(2) for i, run in enumerate(runs)])
    assert "cmc · random teacher · shuffled pairs" in set(variants(df)["variant"])
    assert set(gains(df)["part"]) == {"gain"}


def test_gains_stay_within_one_student() -> None:
    names, rows = ("cmc", "cmc · random teacher", "ssl"), []
    for student, low in (("large", 0.1), ("small", 0.4)):
        values = {"cmc": 0.5, "cmc · random teacher": low + 0.05, "ssl": low}
        rows += [
            row(METHODS[name], values[name] + 0.01 * s, seed=s, student=student) for s in range(2) for name in names
        ]
    found = gains(frame(rows)).set_index(["variant", "part"])["difference"]
    assert found["cmc · large student", "gain"] == pytest.approx(0.4)
    assert found["cmc · large student", "knowledge"] == pytest.approx(0.35)
    assert found["cmc · small student", "gain"] == pytest.approx(0.1)
    assert found["cmc · small student", "knowledge"] == pytest.approx(0.05)


def test_a_reference_without_pairs_stands_for_every_fraction() -> None:
    df = study(("cmc", "ssl"), shots=(None,), trained=("head",), fractions=(0.1, 1.0))
    df = df[(df["method"] != "ssl") | (df["pair_fraction"] == 1.0)]
    found = gains(df)
    assert found["pair_fraction"].tolist() == [0.1, 1.0]
    assert found["against_fraction"].tolist() == [1.0, 1.0]
    ssl = df.loc[df["method"] == "ssl", "value"].mean()
    cmc = df.loc[(df["method"] == "cmc") & (df["pair_fraction"] == 0.1), "value"].mean()
    assert found["difference"].iloc[0] == pytest.approx(cmc - ssl)


def test_gains_of_several_methods_are_corrected_within_a_column() -> None:
    found = gains(study(("cmc", "cmd", "cmst", "ssl"), trained=("head",), shots=(1,)))
    p = np.sort(found["p"])
    assert np.sort(found["p_holm"]) == pytest.approx(np.maximum.accumulate(np.minimum(p * [3, 2, 1], 1)))


@pytest.mark.parametrize("column", ["task", "budget", "protocol", "protocol_version", "metric", "origin"])
def test_what_does_not_compare_is_refused(column: str) -> None:
    df = study()
    df[column] = df[column].astype(object)
    df.loc[3, column] = "other"
    with pytest.raises(ValueError, match=f"different {column.replace('_', ' ')}") as error:
        summarise(df)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("column", "value"), [("data_digest", "other"), ("n_test", 1)])
def test_one_seed_has_one_test_set_but_seeds_may_differ(column: str, value: object) -> None:
    df = study()
    whole = df.copy()
    whole[column] = whole[column].astype(object)
    whole.loc[whole["seed"] == 1, column] = value
    assert len(summarise(whole)) == len(summarise(df))
    df[column] = df[column].astype(object)
    df.loc[0, column] = value
    with pytest.raises(ValueError, match="seed 0 has scores of 2 different"):
        distinguish(df)


@pytest.mark.parametrize("function", [variants, summarise, distinguish, gains])
def test_broken_frames_are_refused_by_every_function(function) -> None:
    df = study()
    with pytest.raises(ValueError, match="lack the column value"):
        function(df.drop(columns="value"))
    with pytest.raises(ValueError, match="no scores"):
        function(df.iloc[:0])
    with pytest.raises(ValueError, match="more than one score for seed 0, draw 0"):
        function(pd.concat([df, df.iloc[[0]]]))
    with pytest.raises(ValueError, match="1 of 360 scores have no 'value'"):
        function(df.assign(value=df["value"].where(df.index != 7)))
    with pytest.raises(ValueError, match="fraction, not a percentage"):
        function(df.assign(value=df["value"] * 100))
    with pytest.raises(ValueError, match="'trained' is one of head, all, not 'body'"):
        function(df.assign(trained="body"))


def test_defaults_that_changed_between_runs_are_refused() -> None:
    rows = [row(METHODS["cmc"], 0.5), row(METHODS["cmc"], 0.5, seed=1, options=json.dumps({"tau": 0.2}))]
    with pytest.raises(ValueError, match="different runs would both be called 'cmc'"):
        summarise(frame(rows))


@pytest.mark.parametrize("function", [variants, summarise, distinguish, gains])
def test_the_order_of_rows_does_not_matter(function) -> None:
    df = study()
    pd.testing.assert_frame_equal(function(df), function(df.sample(frac=1, random_state=1)), check_exact=True)


def test_the_frame_given_is_left_alone() -> None:
    df = study()
    before = df.copy()
    gains(df)
    distinguish(df)
    pd.testing.assert_frame_equal(df, before)
