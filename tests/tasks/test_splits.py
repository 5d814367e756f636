"""Splits by group: whole groups, near the shares, every class where it must be, the same everywhere."""

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from xkd_bench.tasks._splits import generator, numbered, parts_by_group


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3)), min_size=6, max_size=60),
    seed=st.integers(0, 1000),
)
def test_groups_stay_whole_and_classes_are_in_both_ends(sizes, seed):
    group = np.repeat(np.arange(len(sizes)), [size for size, _ in sizes])
    stratum = np.repeat([label for _, label in sizes], [size for size, _ in sizes])
    part = parts_by_group(group, stratum, generator(seed, "test"))
    for g in np.unique(group):
        assert len(set(part[group == g].tolist())) == 1
    for s in np.unique(stratum):
        if len(np.unique(group[stratum == s])) >= 2:
            assert {0, 2} <= set(part[stratum == s].tolist())


def test_shares_are_met_where_groups_are_single():
    part = parts_by_group(np.arange(1000), np.arange(1000) % 10, generator(0, "test"))
    assert np.bincount(part).tolist() == [600, 150, 250]


def test_one_large_group_still_leaves_a_test_part():
    group = np.array([0] * 10 + [1, 2])
    for seed in range(20):
        part = parts_by_group(group, np.zeros(12, int), generator(seed, "test"))
        assert {0, 2} <= set(part.tolist())


def test_with_few_groups_no_part_is_empty():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        group = np.repeat(np.arange(10), 16)
        stratum = np.where(rng.random(160) < 0.6, rng.integers(0, 10, 10)[group], rng.integers(0, 10, 160))
        part = parts_by_group(group, stratum, generator(seed, "test"))
        assert set(part.tolist()) == {0, 1, 2}
        for s in np.unique(stratum):
            if len(np.unique(group[stratum == s])) >= 2:
                assert {0, 2} <= set(part[stratum == s].tolist())


def test_random_numbers_are_named_and_pinned():
    assert generator(0, "split").integers(1 << 30) != generator(0, "val").integers(1 << 30)
    drawn = parts_by_group(np.arange(500) // 3, np.arange(500) % 7, generator(42, "split"))
    digest = hashlib.sha256(drawn.astype(np.uint8).tobytes()).hexdigest()
    assert digest[:16] == "70755f70efc4fbd0"


def test_numbered():
    assert numbered(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]
