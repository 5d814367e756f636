"""Tasks whose pairs share no more than their class: distilled on some classes, scored on the others."""

from collections.abc import Sequence

import numpy as np

from xkd_bench.tasks._cache import sha256
from xkd_bench.tasks._splits import TEST, TRAIN, VAL, generator, parts_by_group
from xkd_bench.tasks.base import Index, Items, Split, TaskData, check_split

SCORED_SHARES = (0.50, 0.10, 0.40)
"""Of the scored classes' items: train, validation, test."""


class ByClass(TaskData):
    """Any source item of a class pairs with any target item of it; `Items.concept` is the class.

    Such a pair carries the label, so a student never sees, in distillation, a class that it is scored on. Groups may
    span classes (a speaker says all words): then those of validation and test are in no pair either.

    distilled: how many classes are, drawn by seed. part: [n_target] TRAIN, VAL or TEST, where it is given; TRAIN
    alone: some of it validates. Else drawn by group and seed. digests: of the two arrays.
    """

    def __init__(
        self,
        source: Items,
        target: Items,
        classes: Sequence[str],
        distilled: int,
        digests: Sequence[str],
        part: Index | None = None,
    ) -> None:
        self.source, self.target, self.part = source, target, part
        self.concept_names, self.distilled = tuple(classes), distilled
        keys = [key for items in (source, target) for key in (items.concept, items.group)]
        given = [] if part is None else [part]
        self.digest = sha256(*digests, *keys, *given, self.concept_names, distilled)

    def split(self, seed: int) -> Split:
        """`distilled` classes are pairs; of the others' target items some train, some validate and some test."""
        n = len(self.concept_names)
        distilled = np.sort(generator(seed, "classes").permutation(n)[: self.distilled])
        scored = np.setdiff1d(np.arange(n), distilled)
        kind, group = self.target.concept, self.target.group
        part, is_scored = self._parts(seed), np.isin(kind, scored)
        held_out = group[is_scored & (part != TRAIN)]
        pairs = ~is_scored & ~np.isin(group, held_out)
        if self.part is not None:
            pairs &= self.part == TRAIN
        label = np.full(n, -1)
        label[scored] = np.arange(len(scored))
        split = Split(
            pairs_source=np.flatnonzero(np.isin(self.source.concept, distilled)),
            pairs_target=np.flatnonzero(pairs),
            train=np.flatnonzero(is_scored & (part == TRAIN)),
            val=np.flatnonzero(is_scored & (part == VAL)),
            test=np.flatnonzero(is_scored & (part == TEST)),
            label=label[kind],
            classes=tuple(self.concept_names[i] for i in scored),
        )
        return check_split(self, split)

    def _parts(self, seed: int) -> Index:
        rng, kind, group = generator(seed, "split"), self.target.concept, self.target.group
        if self.part is None:
            return parts_by_group(group, kind, rng, SCORED_SHARES)
        if VAL in self.part:
            return self.part
        part, train = self.part.copy(), np.flatnonzero(self.part == TRAIN)
        part[train] = parts_by_group(group[train], kind[train], rng, (0.85, 0.15))
        return part
