"""The specification curve: its parts equal to single fits, its joint test exact under no relation, able to see one."""

import numpy as np
import pandas as pd
import pytest

from xkd_bench.analysis.permutation import association
from xkd_bench.analysis.specification import CHOICES, curve, in_words
from xkd_bench.errors import UsageError


def world(slope=0.0, tasks=3, each=6, estimators=3, methods=2, rng=0, missing=()):
    """Conditions with a latent gap seen by several estimators, and methods whose gains share the condition's noise."""
    random = np.random.default_rng(rng)
    rows = []
    for task in range(tasks):
        level = random.normal()
        for i in range(each):
            latent, shared = random.normal() + 3 * level, random.normal()
            gaps = {f"tv{e}": latent + 0.3 * random.normal() for e in range(estimators)}
            for m in range(methods):
                gain = level * 5 + slope * latent + 0.7 * shared + 0.5 * random.normal()
                for definition, scale in (("raw", 1.0), ("relative", 2.0 + m)):
                    for name, gap in gaps.items():
                        rows.append({"family": f"t{task}", "condition": f"t{task}c{i}", "method": f"m{m}",
                                     "protocol": "linear-eval", "definition": definition, "estimator": name,
                                     "gain": scale * gain, "gain_se": 0.1, "gap": gap,
                                     "gap_se": 0.1, "n_seeds": 3})  # fmt: skip
    df = pd.DataFrame(rows)
    return df[~df["condition"].isin(missing) | (df["estimator"] != "tv0")]


def test_each_specification_is_a_rank_correlation_within_task():
    df = world(missing=("t0c0", "t2c3"))
    found = curve(df, shuffles=49)
    assert len(found.specifications) == 3 * 2 * 2
    assert found.specifications["r"].is_monotonic_increasing
    for row in found.specifications.to_dict("records"):
        part = df[(df[list(CHOICES)] == pd.Series(row)[list(CHOICES)]).all(axis=1)]
        single = association(part["gap"], part["gain"], part["family"], draws=9)
        assert row["r"] == pytest.approx(single.r)
        assert row["n"] == single.n == (16 if row["estimator"] == "tv0" else 18)
    assert (found.conditions, found.families) == (18, 3)


def test_a_relation_is_seen_with_its_sign():
    found = curve(world(slope=-1.0), shuffles=199)
    joint = found.joint.set_index("statistic")
    assert (joint.loc[["median", "significant"], "p"] <= 0.02).all()
    assert joint.loc["share", "value"] == 1
    assert joint.loc["share", "p"] > 0.05  # agreement alone says little: shuffled specifications agree as well
    assert in_words(found).startswith(
        "100% of 12 specifications say that gains fall with the gap; median correlation −0."
    )
    reverse = curve(world(slope=1.0), shuffles=199).joint.set_index("statistic")
    assert reverse.loc["median", "p"] <= 0.02
    assert reverse.loc["share", "value"] == 0
    assert reverse.loc["significant", "p"] == 1  # none has the expected sign


def test_no_relation_is_found_at_the_level_though_specifications_agree():
    """Twelve specifications of the same scores err together: a test that took them as independent would not hold."""
    n, p, pretended = 40, [], []
    for i in range(n):
        found = curve(world(rng=i), shuffles=79)
        p.append(found.joint.set_index("statistic")["p"])
        pretended.append((found.specifications["r"] < 0).mean() in (0.0, 1.0))
    rates = (pd.DataFrame(p) <= 0.05).mean()
    assert (rates <= 0.05 + 4 * np.sqrt(0.05 * 0.95 / n)).all()
    assert np.mean(pretended) > 0.3  # independent specifications would agree in one of 2048


def test_rows_in_any_order_give_the_same():
    df = world()
    a, b = curve(df, shuffles=19), curve(df.sample(frac=1, random_state=1), shuffles=19)
    pd.testing.assert_frame_equal(a.specifications, b.specifications)
    pd.testing.assert_frame_equal(a.joint, b.joint)


def test_what_cannot_be_fitted_is_said():
    with pytest.raises(UsageError, match="5 conditions"):
        curve(world(tasks=1, each=4))
    with pytest.raises(UsageError, match="twice"):
        curve(pd.concat([world(), world()]))
    with pytest.raises(UsageError, match="lack the column estimator"):
        curve(world().drop(columns="estimator"))
