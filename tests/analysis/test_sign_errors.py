"""Sign errors: conditions that differ in one factor, by hand, weighed by noise, and no better than chance by chance."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from xkd_bench.analysis.sign_errors import differ, factors, sign_errors, worst


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("emoji:noto>twemoji", {"source": "noto", "target": "twemoji"}),
        ("emoji:noto>twemoji:subgroups", {"source": "noto", "target": "twemoji"}),
        ("emoji:noto>noto@blur=0.4,noise=0.2", {"source": "noto", "target": "noto", "blur": "0.4", "noise": "0.2"}),
        ("twin-gaussian:gap=0.5,shift=0.2", {"gap": "0.5", "shift": "0.2"}),
        ("doodle@edge=1", {"edge": "1"}),
        ("doodle", {"condition": "doodle"}),
    ],
)
def test_factors_of_a_name(name, found):
    assert factors(name) == found


def test_the_clean_task_differs_from_each_degradation_in_one_factor():
    clean, blurred = factors("doodle", "doodle"), factors("doodle@blur=0.4", "doodle")
    both = factors("doodle@blur=0.4,noise=1", "doodle")
    assert (differ(clean, blurred), differ(blurred, both), differ(clean, both)) == ("blur", "noise", "")
    assert differ(factors("emoji:a>b"), factors("emoji:a>c")) == "target"
    assert not differ(factors("emoji:a>b"), factors("emoji:c>d"))


def table(gains, gaps, se=0.0, family="f"):
    names = [f"{family}@blur={i}" for i in range(len(gains))]
    return pd.DataFrame(
        {"family": family, "condition": names, "gain": gains, "gap": gaps, "gain_se": se, "gap_se": 0.0}
    )


def test_share_of_pairs_that_move_the_wrong_way():
    """Of ranks without ties it is (1 + Kendall's τ) / 2, for gains that should fall."""
    random = np.random.default_rng(0)
    gains, gaps = random.normal(size=12), random.normal(size=12)
    found = sign_errors(table(gains, gaps), shuffles=19).iloc[0]
    tau = stats.kendalltau(gains, gaps).statistic
    assert found["error"] == pytest.approx((1 + tau) / 2)
    assert (found["pairs"], found["weight"]) == (66, pytest.approx(66))
    assert sign_errors(table(gains, gaps), expected=1, shuffles=19).iloc[0]["error"] == pytest.approx((1 - tau) / 2)


def test_pairs_that_noise_can_turn_count_less_and_nothing_is_said_of_noise_alone():
    gains, gaps = [0.5, 0.0, 0.001, -0.4, -0.9], [0.1, 0.2, 0.3, 0.4, 0.5]
    bare = sign_errors(table(gains, gaps), shuffles=19).iloc[0]
    weighed = sign_errors(table(gains, gaps, se=0.05), shuffles=19).iloc[0]
    assert bare["error"] == pytest.approx(0.1)  # one pair of ten, by 0.001
    sure = 2 * stats.norm.cdf(0.001 / (0.05 * np.sqrt(2))) - 1
    assert weighed["error"] == pytest.approx(sure / weighed["weight"], rel=1e-6)
    noise = sign_errors(table(gains, gaps, se=50.0), shuffles=19)
    assert noise["error"].isna().all()
    assert np.isnan(worst(noise)[0])


def test_the_worst_environment_is_named():
    good, bad = table([3, 2, 1, 0.0], [1, 2, 3, 4]), table([0, 1, 2, 3.0], [1, 2, 3, 4], family="g")
    found = sign_errors(pd.concat([good, bad]), shuffles=49)
    assert worst(found) == (1.0, 0.5, "g, blur")
    assert list(found["error"]) == [1.0, 0.0]
    assert found["p"].iloc[1] < 0.2
    assert found["p"].iloc[0] == 1


def test_no_relation_is_told_no_more_often_than_its_level():
    random, n = np.random.default_rng(0), 150
    p = [sign_errors(table(random.normal(size=8), random.normal(size=8)), shuffles=99, seed=i)["p"].iloc[0]
         for i in range(n)]  # fmt: skip
    assert np.mean(np.array(p) <= 0.05) <= stats.binom.ppf(0.999, n, 0.05) / n


def test_a_family_without_pairs_has_no_row():
    assert sign_errors(table([1.0], [1.0])).empty
    lonely = table([1.0, 2.0], [1, 2]).assign(condition=["f@blur=1", "f@noise=1"])
    assert sign_errors(lonely).empty
