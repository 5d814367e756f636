"""Which items meet in a batch: pairs of distinct concepts, shuffled pairs, fractions of the pairs, draws of labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xkd_bench.errors import UsageError
from xkd_bench.seeds import stream
from xkd_bench.tasks.base import Index, Split, TaskData

MOST_EXCHANGED = 16
"""Wrong partners that an item has at most, in the control of shuffled pairs."""


@dataclass(frozen=True)
class PairSampler:
    """Batches of (target item, paired source item) for label-free training.

    target: [m] target items; concept: [m] their concepts; partners: for each target item the source items it is paired
    with (empty where the method uses none). `distinct` never puts a concept twice into a batch, so that no positive is
    taken for a negative; `all` shuffles the items freely.
    """

    target: Index
    concept: Index
    partners: dict[int, Index]
    batch: int
    positives: Literal["distinct", "all"]
    seed: int

    def epoch(self, number: int) -> Iterator[tuple[Index, Index]]:
        """Batches of indices (target [b], source [b]) of one pass over the target items; the last, partial one is left
        out.

        Source indices are -1 where there are no partners. The same seed and epoch give the same batches.
        """
        rng = np.random.default_rng(stream(self.seed, "batches", number))
        order = self._distinct(rng) if self.positives == "distinct" else rng.permutation(len(self.target))
        for start in range(0, len(order) - self.batch + 1, self.batch):
            chosen = order[start : start + self.batch]
            target = self.target[chosen]
            source = [self._partner(int(t), rng) for t in target]
            yield target, np.array(source, dtype=np.int64)

    def __len__(self) -> int:
        """Steps in an epoch (the same for all epochs: it depends on how many items each concept has)."""
        return sum(1 for _ in self.epoch(0))

    def _partner(self, target: int, rng: np.random.Generator) -> int:
        return int(rng.choice(self.partners[target])) if self.partners else -1

    def _distinct(self, rng: np.random.Generator) -> Index:
        """An order in which any `batch` items that follow a multiple of `batch` are of different concepts.

        Round r holds the r-th item of each concept, shuffled; concepts left over in the batch begun by the round
        before come last in their round, so that they fall into a later batch.
        """
        shuffled = rng.permutation(len(self.target))
        by_concept = shuffled[np.argsort(self.concept[shuffled], kind="stable")]
        concepts = self.concept[by_concept]
        first = np.r_[0, np.flatnonzero(np.diff(concepts)) + 1]
        rank = np.arange(len(concepts)) - np.repeat(first, np.diff(np.r_[first, len(concepts)]))
        order: list[int] = []
        for r in range(rank.max() + 1):
            items = rng.permutation(by_concept[rank == r])
            if len(items) < self.batch:
                break  # fewer concepts than a batch have this many items
            begun = order[len(order) - len(order) % self.batch :]
            wait = np.isin(self.concept[items], self.concept[begun])
            order += [*items[~wait], *items[wait]]
        return np.array(order, dtype=np.int64)


def pair_sampler(
    data: TaskData,
    split: Split,
    *,
    seed: int,
    batch: int,
    fraction: float = 1.0,
    shuffled: bool = False,
    uses_pairs: bool = True,
    positives: str = "distinct",
) -> PairSampler:
    """The sampler of a split's pairs.

    fraction: of the concepts; a smaller fraction's are among a larger's. shuffled: items exchange their partners (the
    control that breaks what pairs know). The batch is capped at the number of distinct concepts (`distinct`) or items
    (`all`).
    """
    concepts = np.unique(data.target.concept[split.pairs_target])
    rng = np.random.default_rng(stream(seed, "pair-fraction"))
    kept = np.sort(rng.permutation(concepts)[: max(2, round(fraction * len(concepts)))])
    target = split.pairs_target[np.isin(data.target.concept[split.pairs_target], kept)]
    concept = data.target.concept[target]
    partners: dict[int, Index] = {}
    if uses_pairs:
        partners = partners_by_concept(target, concept, split.pairs_source, data.source.concept[split.pairs_source])
        partners = exchanged(partners, seed) if shuffled else partners
    distinct = positives == "distinct" and uses_pairs
    room = len(kept) if distinct else len(target)
    return PairSampler(target, concept, partners, min(batch, room), "distinct" if distinct else "all", seed)


def partners_by_concept(target: Index, concept: Index, source: Index, source_concept: Index) -> dict[int, Index]:
    """For each target item, of these concepts, the source items of its concept."""
    mates = {int(c): source[source_concept == c] for c in np.unique(concept)}
    return {int(t): mates[int(c)] for t, c in zip(target, concept, strict=True)}


def exchanged(partners: dict[int, Index], seed: int) -> dict[int, Index]:
    """Partners that say nothing of the item: in as many rounds as it has partners, items exchange theirs at random.

    Each item keeps its new partners for the whole run, and gets as many as it had, at most `MOST_EXCHANGED`. Chance may
    give it a true one: were those left out, the partners would tell which concept the item is *not* of, and among few
    classes that is much of the label. Nor do the items of a concept stay together: one concept would then stand for
    another, and still tell them apart.
    """
    rng = np.random.default_rng(stream(seed, "shuffled-pairs"))
    every, size = np.concatenate(list(partners.values())), np.array([len(own) for own in partners.values()])
    rounds = min(MOST_EXCHANGED, int(size.max()))
    others = np.stack([rng.permutation(len(size)) for _ in range(rounds)], axis=1)
    dealt = every[(size.cumsum() - size)[others] + rng.integers(size[others])]
    return {item: row[:k] for item, row, k in zip(partners, dealt, size, strict=True)}


def draw_labels(split: Split, per_class: int | None, *, seed: int, draw: int) -> Index:
    """The labelled items of one draw: [k · per_class], sorted; all of train for None.

    Draws are nested (5 labels of a class contain its 1 label of the same draw) and the same for every method.
    """
    if per_class is None:
        return split.train
    rng = np.random.default_rng(stream(seed, "labels", draw))
    labels = split.label[split.train]
    chosen = []
    for k, name in enumerate(split.classes):
        items = rng.permutation(split.train[labels == k])
        if len(items) < per_class:
            raise UsageError(
                f"class '{name}' has {len(items)} labelled items to train on: {per_class} a class cannot be drawn"
            )
        chosen.append(items[:per_class])
    return np.sort(np.concatenate(chosen))
