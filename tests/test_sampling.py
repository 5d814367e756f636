"""Batches never hold a concept twice, epochs cover the items, controls and fractions are what they say."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toy import ToyData
from xkd_bench.errors import UsageError
from xkd_bench.sampling import MOST_EXCHANGED, PairSampler, draw_labels, exchanged, pair_sampler
from xkd_bench.tasks.base import Items, Split

ids = np.arange


def sampler(counts: list[int], batch: int, positives: str = "distinct", seed: int = 0) -> PairSampler:
    """Concept 10·k has counts[k] target items and three source items."""
    concept = np.repeat(10 * ids(len(counts)), counts)
    partners = {7 + i: 100 * int(c) + ids(3) for i, c in enumerate(concept)}
    return PairSampler(7 + ids(len(concept)), concept, partners, batch, positives, seed)


def uneven(counts: list[int], sources: list[int]) -> tuple[SimpleNamespace, Split]:
    """Data and a split in which all items are in pairs."""
    target, source = (np.repeat(ids(len(n)), n) for n in (counts, sources))
    data = SimpleNamespace(source=Items(source, source, source), target=Items(target, target, target))
    none = ids(0)
    split = Split(ids(len(source)), ids(len(target)), none, none, none, none, ())
    return data, split


cases = st.lists(st.integers(1, 9), min_size=2, max_size=40).flatmap(
    lambda counts: st.tuples(st.just(counts), st.integers(2, len(counts)), st.integers(0, 2**32), st.integers(0, 5))
)


@settings(max_examples=300)
@given(cases)
def test_no_batch_of_distinct_concepts_holds_one_twice(case):
    counts, batch, seed, epoch = case
    pairs = sampler(counts, batch, seed=seed)
    concept = dict(zip(pairs.target.tolist(), pairs.concept.tolist(), strict=True))
    seen: list[int] = []
    batches = list(pairs.epoch(epoch))
    for target, source in batches:
        assert len(target) == len(source) == batch
        concepts = [concept[t] for t in target.tolist()]
        assert len(set(concepts)) == batch
        assert [s // 1000 * 10 for s in source.tolist()] == concepts  # partners are of the same concept
        seen += target.tolist()
    assert len(set(seen)) == len(seen)  # no item twice in an epoch
    assert len(batches) == len(pairs) >= 1


@settings(max_examples=100)
@given(cases)
def test_an_epoch_leaves_out_only_what_fills_no_batch_of_distinct_concepts(case):
    counts, batch, seed, _ = case
    # Round r can be filled while at least a batch of concepts have r items; of what that gives, less than a batch is
    # left over.
    usable = sum(n for r in range(1, max(counts) + 1) if (n := sum(c >= r for c in counts)) >= batch)
    assert len(sampler(counts, batch, seed=seed)) == usable // batch


@settings(max_examples=100)
@given(cases)
def test_shuffled_items_are_covered_but_for_a_partial_batch(case):
    counts, batch, seed, epoch = case
    pairs = sampler(counts, batch, "all", seed)
    seen = np.concatenate([target for target, _ in pairs.epoch(epoch)])
    assert len(np.unique(seen)) == len(seen) == sum(counts) // batch * batch


def test_over_epochs_every_item_and_every_partner_has_its_turn():
    pairs = sampler([4, 1, 2, 1, 3, 1], batch=4)
    targets, sources = zip(*(batch for e in range(60) for batch in pairs.epoch(e)), strict=True)
    assert set(np.concatenate(targets).tolist()) == set(pairs.target.tolist())
    assert set(np.concatenate(sources).tolist()) == {1000 * k + i for k in range(6) for i in range(3)}


def test_one_item_a_concept_is_a_plain_epoch():
    pairs = sampler([1] * 12, batch=4)
    seen = np.concatenate([target for target, _ in pairs.epoch(0)])
    assert sorted(seen.tolist()) == pairs.target.tolist()


@pytest.mark.parametrize("positives", ["distinct", "all"])
def test_the_same_seed_and_epoch_give_the_same_batches_and_others_do_not(positives):
    def flat(seed: int, epoch: int) -> list[int]:
        batches = sampler([3] * 20, 8, positives, seed).epoch(epoch)
        return [i for target, source in batches for i in (*target.tolist(), *source.tolist())]

    assert flat(1, 2) == flat(1, 2)
    assert len({tuple(flat(s, e)) for s in range(3) for e in range(3)}) == 9


@settings(max_examples=200)
@given(st.lists(st.integers(1, 2 * MOST_EXCHANGED), min_size=1, max_size=40), st.integers(0, 2**40))
def test_exchanged_partners_are_as_many_and_each_round_every_item_gives_one_away(counts, seed):
    partners = {5 + i: 1000 * i + ids(n) for i, n in enumerate(counts)}
    new = exchanged(partners, seed)
    assert [(item, len(own)) for item, own in new.items()] == [
        (5 + i, min(n, MOST_EXCHANGED)) for i, n in enumerate(counts)
    ]
    fewest = min([*counts, MOST_EXCHANGED])
    for r in range(fewest):
        givers = [int(own[r]) // 1000 for own in new.values()]
        assert sorted(givers) == list(range(len(counts)))
    assert all((exchanged(partners, seed)[item] == own).all() for item, own in new.items())


@pytest.mark.parametrize("concepts", [4, 40])
def test_shuffled_partners_say_nothing_of_the_concept_and_true_ones_say_which(concepts):
    data, split = uneven([400 // concepts] * concepts, [6] * concepts)
    for shuffled in (False, True):
        found = np.zeros((concepts, concepts))
        for seed in range(40):
            pairs = pair_sampler(data, split, seed=seed, batch=4, shuffled=shuffled)
            for item, own in pairs.partners.items():
                found[data.target.concept[item]] += np.bincount(data.source.concept[own], minlength=concepts)
        if shuffled:  # of each concept as many as of each other, its own too
            expected = found.sum() / found.size
            assert np.abs(found / expected - 1).max() < 5 / expected**0.5
        else:
            assert (np.diag(found) > 0).all()
            assert (found > 0).sum() == concepts


def test_the_items_of_a_concept_do_not_share_their_shuffled_partners():
    """Else one concept would stand for another, and still tell its items from those of the rest."""
    data, split = uneven([50] * 20, [6] * 20)
    pairs = pair_sampler(data, split, seed=0, batch=4, shuffled=True)
    for concept in range(20):
        own = [pairs.partners[int(item)] for item in split.pairs_target[data.target.concept == concept]]
        assert len(np.unique(data.source.concept[np.concatenate(own)])) == 20  # 300 partners, of every concept some


@settings(max_examples=60)
@given(st.integers(2, 80), st.integers(0, 1000))
def test_fractions_of_the_pairs_are_nested_and_as_large_as_they_say(concepts, seed):
    data, split = uneven([1 + k % 3 for k in range(concepts)], [1] * concepts)
    smaller: set[int] = set()
    for fraction in (0.05, 0.1, 0.2, 0.3, 0.5, 1.0):
        pairs = pair_sampler(data, split, seed=seed, batch=64, fraction=fraction)
        kept = set(pairs.concept.tolist())
        assert len(kept) == max(2, round(fraction * concepts))
        assert smaller <= kept
        assert set(pairs.partners) == set(pairs.target.tolist())
        assert set(pairs.target.tolist()) == set(np.flatnonzero(np.isin(data.target.concept, list(kept))).tolist())
        smaller = kept


def test_the_batch_is_capped_at_what_there_is():
    data, split = uneven([3] * 6, [1] * 6)
    assert pair_sampler(data, split, seed=0, batch=256).batch == 6  # concepts
    assert pair_sampler(data, split, seed=0, batch=256, positives="all").batch == 18  # items
    assert pair_sampler(data, split, seed=0, batch=256, uses_pairs=False).batch == 18
    assert pair_sampler(data, split, seed=0, batch=4).batch == 4


def test_methods_without_pairs_get_no_partner_and_the_same_fraction():
    data, split = uneven([2] * 20, [1] * 20)
    with_pairs = pair_sampler(data, split, seed=5, batch=4, fraction=0.3)
    without = pair_sampler(data, split, seed=5, batch=4, fraction=0.3, uses_pairs=False)
    assert set(with_pairs.target.tolist()) == set(without.target.tolist())
    assert all((source == -1).all() for _, source in without.epoch(0))


def test_label_draws_are_nested_balanced_and_from_the_train_part():
    split = ToyData(8, 8).split(0)
    for draw in range(5):
        smaller: set[int] = set()
        for per_class in (1, 5, 10):
            items = draw_labels(split, per_class, seed=0, draw=draw)
            assert np.bincount(split.label[items]).tolist() == [per_class] * len(split.classes)
            assert (np.diff(items) > 0).all()
            assert smaller <= set(items.tolist()) <= set(split.train.tolist())
            smaller = set(items.tolist())
    assert (draw_labels(split, None, seed=0, draw=0) == split.train).all()


def test_label_draws_differ_between_draws_and_seeds_and_repeat_for_the_same():
    split = ToyData(8, 8).split(0)
    drawn = {(s, d): tuple(draw_labels(split, 3, seed=s, draw=d)) for s in range(3) for d in range(5)}
    assert len(set(drawn.values())) == 15
    assert all(tuple(draw_labels(split, 3, seed=s, draw=d)) == items for (s, d), items in drawn.items())


def test_every_labelled_item_is_drawn_some_time():
    split = ToyData(8, 8).split(0)
    drawn = set(np.concatenate([draw_labels(split, 2, seed=0, draw=d) for d in range(200)]).tolist())
    assert drawn == set(split.train.tolist())


def test_more_labels_than_a_class_has_are_refused():
    split = ToyData(8, 8).split(0)
    fewest = np.bincount(split.label[split.train]).min()
    draw_labels(split, int(fewest), seed=0, draw=0)
    with pytest.raises(UsageError, match=f"has {fewest} labelled items to train on: {fewest + 1} a class"):
        draw_labels(split, int(fewest) + 1, seed=0, draw=0)
