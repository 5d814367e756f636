"""Where conditions belong: families, and clusters of common descent."""

import pandas as pd
import pytest

from xkd_bench.analysis.condition_rows import _error, cluster_of, family_of

SIDES = {"source": "noto colour drawings", "target": "twemoji colour drawings"}
CARD = {"lineage": ("noto", ""), "origin": "real", **SIDES}


@pytest.mark.parametrize(
    ("task", "family"),
    [
        ("emoji:noto>twemoji", "emoji"),
        ("emoji:noto>twemoji:subgroups", "emoji"),
        ("emoji:noto>twemoji@blur=0.4,noise=0.1", "emoji:noto>twemoji"),
        ("twin-gaussian", "twin-gaussian"),
        ("twin-gaussian:gap=0.5,noise=0.25", "twin-gaussian"),
        ("folder:/data/mine", "folder:/data/mine"),
        ("folder:/data/mine@grey=1", "folder:/data/mine"),
        ("emoji-sketch", "emoji-sketch"),
    ],
)
def test_families_are_tasks_without_what_varies(task, family):
    assert family_of(task) == family


def test_clusters_go_by_descent_and_by_items():
    assert cluster_of("emoji:noto>twemoji", CARD) == "emoji: noto > twemoji colour drawings"
    kin = {**CARD, "source": "noto-v1 colour drawings"}
    assert cluster_of("emoji:noto-v1>twemoji", kin) == cluster_of("emoji:noto>twemoji", CARD)
    graded = [cluster_of(f"emoji:noto>twemoji@blur={s}", {**CARD, "origin": "simulated"}) for s in (0.2, 0.9)]
    assert set(graded) == {"emoji:noto>twemoji"}  # the same items


def test_an_error_is_no_less_than_one_seed_s_own():
    value = pd.Series([0.5, 0.51, 0.49])
    assert _error(value, pd.Series([float("nan")] * 3)) == pytest.approx(0.01 / 3**0.5)
    assert _error(value, pd.Series([0.1, 0.2, 0.3])) == pytest.approx(0.2)
    assert pd.isna(_error(pd.Series([0.5]), pd.Series([float("nan")])))
