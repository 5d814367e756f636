"""Units of rankings: conditions of a data set count once, and only what is complete is compared."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.report.frames import study
from xkd_bench.analysis.condition_rows import data_set_of
from xkd_bench.analysis.contest import MIN_RANKED, Contest, contest, rows_of
from xkd_bench.analysis.ranking_tests import rank_tests
from xkd_bench.errors import UsageError

NAMES = ("cmc", "cmd", "ssl", "sup-ft")
SHAPE = {"shots": (None,), "draws": 2, "trained": ("head",)}


def rows(tasks, names=NAMES, seeds=3):
    parts = [rows_of(f"c{i}", study(names, rng=i, seeds=seeds, task=task, **SHAPE)) for i, task in enumerate(tasks)]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("task", "data_set"),
    [("emoji:noto>twemoji", "emoji"), ("emoji:noto>twemoji@blur=0.2", "emoji"),
     ("twin-gaussian:gap=0.1", "twin-gaussian"),
     ("doodle", "doodle"), ("folder:/a/b@noise=1", "folder:/a/b"), ("folder:/a/c", "folder:/a/c")],
)  # fmt: skip
def test_variants_of_a_data_set_are_made_of_it(task, data_set):
    assert data_set_of(task) == data_set


def test_a_data_set_is_the_mean_of_its_conditions():
    tasks = ["emoji:a>b", "emoji:b>a", "emoji:a>b@blur=1", "doodle"]
    given = rows(tasks)
    found = contest(given)
    assert found.conditions == {"doodle": ["doodle"], "emoji": sorted(tasks[:3])}
    assert found.methods == ["cmc", "cmd", "ssl"]
    assert found.seeds == 3
    assert not found.left_out
    frames = [study(NAMES, rng=i, task=task, **SHAPE) for i, task in enumerate(tasks)]
    for method in found.methods:
        means = [df[df["method"] == method].groupby("seed")["value"].mean() for df in frames]
        ours = found.scores[found.scores["method"] == method].set_index(["task", "seed"])["value"]
        assert ours["doodle"].tolist() == pytest.approx(means[3].tolist())
        assert ours["emoji"].tolist() == pytest.approx((sum(means[:3]) / 3).tolist())
    of_cmc = [df.loc[df["method"] == "cmc", "value"].mean() for df in frames[:3]]
    assert found.means().loc["emoji", "cmc"] == pytest.approx(np.mean(of_cmc))


def test_degrees_of_one_data_set_are_no_evidence_of_their_own():
    """Two data sets, whose methods differ by a chance of their own: nine degrees of each say no more than one does."""
    random, naive = np.random.default_rng(0), []
    for _ in range(40):
        luck = {name: random.normal(0, 0.05, 2) for name in ("a", "b")}
        table = pd.DataFrame({name: np.repeat(x, 9) + random.normal(0, 0.001, 18) for name, x in luck.items()})
        naive.append(rank_tests(table).p)
    assert np.mean(np.array(naive) < 0.05) > 0.3  # what counting degrees as tasks would claim
    tasks = [f"{name}:gap=0.{i}" for name in ("x", "y") for i in range(1, 10)]
    found = contest(rows(tasks))
    assert len(found.means()) == 2 < MIN_RANKED


def test_below_the_least_number_no_pair_can_be_told_apart():
    d = np.arange(1, MIN_RANKED + 1) / 10
    assert stats.wilcoxon(d).pvalue < 0.05 < stats.wilcoxon(d[:-1]).pvalue


def test_what_is_least_complete_is_left_out():
    tasks = ["a", "b", "c", "d", "e:x=1", "e:x=2"]
    given = rows(tasks, (*NAMES, "cmst"))
    few = given[~((given["variant"] == "cmst") & given["task"].isin(["a", "b", "c"]))]
    found = contest(few)
    assert found.methods == ["cmc", "cmd", "ssl"]
    assert found.left_out == {"cmst": "not on a and 2 more"}
    alone = given[(given["task"] != "a") | (given["variant"] == "ssl")]
    found = contest(alone)
    assert set(found.conditions) == {"b", "c", "d", "e"}
    assert found.left_out == {"a": "without cmc and 2 more"}
    lacking = given[~((given["variant"] == "cmd") & (given["task"] == "d") & (given["seed"] == 2))]
    assert "d" in contest(lacking).left_out or "cmd" in contest(lacking).left_out


def test_controls_and_networks_with_other_inputs_do_not_compete():
    names = ("cmc", "cmc · random teacher", "cmc · shuffled pairs", "cmd", "ssl")
    df = study(names, **SHAPE)
    both = df[df["method"] == "cmd"].assign(inputs="both")
    found = contest(rows_of("c", pd.concat([df.assign(inputs="target"), both], ignore_index=True)))
    assert found.methods == ["cmc", "cmd", "ssl"]


def test_too_little_is_said():
    with pytest.raises(UsageError, match="fewer than two methods have 3 seeds"):
        contest(rows(["a", "b"], seeds=2))
    given = rows(["a", "b"], seeds=4)
    apart = given[~((given["task"] == "a") & (given["seed"] < 1)) & ~((given["task"] == "b") & (given["seed"] > 2))]
    with pytest.raises(UsageError, match="2 seeds are shared"):
        contest(apart)


def test_the_common_scale_goes_from_the_floor_to_the_best():
    found = contest(rows(["a", "b", "c"]))
    scaled, zero = found.on_one_scale()
    assert zero == "random features"
    assert set(scaled["method"]) == {"cmc", "cmd", "ssl"}
    means = scaled.pivot_table(index="task", columns="method", values="value")
    assert means.max(axis=1).tolist() == pytest.approx([1, 1, 1])
    low = found.floor.groupby("task")["value"].mean()
    raw, top = found.means(), found.means().max(axis=1)
    assert means["ssl"].tolist() == pytest.approx(((raw["ssl"] - low) / (top - low)).tolist())
    alone = Contest(found.scores[found.scores["method"] != "ssl"], found.floor[:0], found.conditions, {})
    with pytest.raises(UsageError, match="none of random features, sup-ft, ssl"):
        alone.on_one_scale()
    below = Contest(found.scores, found.floor.assign(value=0.99), found.conditions, {})
    with pytest.raises(UsageError, match="on a no method is above 'random features'"):
        below.on_one_scale()
