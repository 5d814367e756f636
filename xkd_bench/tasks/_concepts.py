"""Tasks on the concepts of the Unicode standard: labels, groups of near-duplicates, and splits by these."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from xkd_bench.tasks._cache import sha256
from xkd_bench.tasks._embedded import Concept
from xkd_bench.tasks._splits import TEST, TRAIN, VAL, generator, numbered, parts_by_group
from xkd_bench.tasks.base import Index, Items, Split, TaskData, check_split

MIN_GROUPS = 8
"""A subgroup is a class if it has this many groups of near-duplicates: train, val and test then have some each."""


class ConceptData(TaskData):
    """Drawings of concepts in two modalities; labels are the standard's 8 groups, or its larger subgroups (fine).

    source, target: (data [n, channels, side, side], concept [n] positions in `concepts`) of each modality. pixels:
    what tells the two arrays apart from others. near, label: [concepts] group of near-duplicates, and class (-1: in no
    class, seen in pairs only).
    """

    def __init__(
        self,
        source: tuple[np.ndarray, Index],
        target: tuple[np.ndarray, Index],
        concepts: Sequence[Concept],
        fine: bool,
        pixels: Sequence[str],
    ) -> None:
        self.near = numbered([concept.near for concept in concepts])
        names = [concept.subgroup if fine else concept.group for concept in concepts]
        self.classes = large_classes(names, self.near, MIN_GROUPS if fine else 1)
        number = {name: i for i, name in enumerate(self.classes)}
        self.label = np.array([number.get(name, -1) for name in names], np.int64)
        self.concept_names = tuple(concept.label for concept in concepts)
        self.source, self.target = (Items(data, concept, self.near[concept]) for data, concept in (source, target))
        self.digest = sha256(*pixels, source[1], target[1], self.near, self.label, self.classes)

    def split(self, seed: int) -> Split:
        """60 % of the concepts are pairs, and the pool that labels are drawn from; 15 % validate, 25 % test."""
        part = parts_by_group(self.near, self.label, generator(seed, "split"))
        item_part = part[self.target.concept]
        label = self.label[self.target.concept]
        labelled = label >= 0
        split = Split(
            pairs_source=np.flatnonzero(part[self.source.concept] == TRAIN),
            pairs_target=np.flatnonzero(item_part == TRAIN),
            train=np.flatnonzero((item_part == TRAIN) & labelled),
            val=np.flatnonzero((item_part == VAL) & labelled),
            test=np.flatnonzero((item_part == TEST) & labelled),
            label=label,
            classes=self.classes,
        )
        return check_split(self, split)


def large_classes(names: Sequence[str], near: Index, least: int) -> tuple[str, ...]:
    """The names, sorted, that at least `least` groups of near-duplicates bear."""
    groups = Counter(name for name, _ in set(zip(names, near.tolist(), strict=True)))
    return tuple(sorted(name for name, n in groups.items() if n >= least))
