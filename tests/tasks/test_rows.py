"""Pairs by row: groups stay whole, vectors can be looked at, and their gap is of what a run sees."""

import numpy as np
import pytest
from PIL import Image

from xkd_bench.raw_features import raw_features
from xkd_bench.tasks._rows import RowData, standardised
from xkd_bench.tasks._sheet import contact_sheet
from xkd_bench.tasks.base import Card

CARD = Card("rows", "Rows", "a", "b", "instance", "simulated", "none", source_kind="vector", target_kind="vector")


def rows(n: int = 60, standardise: bool = False, group: np.ndarray | None = None) -> RowData:
    rng = np.random.default_rng(0)
    source, target = (rng.normal(5, 3, (n, d)).astype(np.float32) for d in (6, 7))
    return RowData(source, target, np.arange(n) % 3, "abc", group=group, standardise=standardise)


def test_groups_stay_in_one_part():
    group = np.arange(60) // 2
    data = rows(group=group)
    for seed in range(5):
        split = data.split(seed)
        parts = [set(group[part].tolist()) for part in (split.train, split.val, split.test)]
        assert sum(map(len, parts)) == 30
        assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]


def test_all_that_matters_is_in_the_digest():
    base = rows()
    changed = rows()
    changed_target = np.array(changed.target.data)
    changed_target[0, 0] += 1
    others = [
        RowData(base.source.data, changed_target, base.label, "abc"),
        RowData(base.source.data, base.target.data, (base.label + 1) % 3, "abc"),
        RowData(base.source.data, base.target.data, base.label, "abd"),
        rows(group=np.arange(60) // 2),
        rows(standardise=True),
    ]
    assert len({base.digest, *(other.digest for other in others)}) == 1 + len(others)
    assert base.digest == rows().digest == base.at(3).digest


def test_standardised_is_what_numpy_says_on_the_rows():
    x = np.random.default_rng(1).normal(100, 0.5, (40, 3)).astype(np.float32)
    x[:, 2] = 7
    x[30:, 2] = 8  # constant over the rows that are looked at
    found = standardised(x, np.arange(30))
    expected = (x - x[:30].mean(0, dtype=float)) / np.where(x[:30].std(0) > 0, x[:30].std(0, dtype=float), 1)
    assert np.allclose(found[:, :2], expected[:, :2], atol=1e-5)
    assert not found[:, 2].any()
    assert found.dtype == np.float32


@pytest.mark.parametrize("standardise", [False, True])
def test_raw_features_of_vectors_are_their_rows_as_a_run_sees_them(standardise):
    data = rows(standardise=standardise)
    source, target, groups = raw_features(data, CARD, seed=2)
    assert np.allclose(source, data.at(2).source.data)
    assert np.allclose(target, data.at(2).target.data)
    assert np.array_equal(groups, np.arange(60))
    assert source.dtype == np.float64


def test_vectors_are_shown_as_grids(tmp_path):
    data = rows()
    sheet = np.asarray(Image.open(contact_sheet(data, data.split(0), tmp_path / "sheet.png")).convert("L"))
    assert len(np.unique(sheet[14:86, 28:100])) > 10, "the first source item: six entries, of which no two are alike"
    flat = RowData(np.ones((60, 6), np.float32), data.target.data, data.label, "abc")
    assert contact_sheet(flat, flat.split(0), tmp_path / "flat.png").exists(), "entries that are all the same"
