"""Colour drawings of 1,060 concepts, in six styles, to line drawings of the same concepts, in five."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import sha256
from xkd_bench.tasks._drawings import draw, rows
from xkd_bench.tasks._embedded import archive
from xkd_bench.tasks._rasterise import count
from xkd_bench.tasks._splits import TEST, TRAIN, VAL, generator, numbered, parts_by_group
from xkd_bench.tasks.base import Card, Index, Items, Progress, Split, Task, TaskData, check_split

MIN_GROUPS = 8
"""A subgroup is a class if it has this many groups of near-duplicates: train, val and test then have some each."""


class EmojiSketch(Task):
    """Labels are the Unicode standard's 8 groups, or with `emoji-sketch:subgroups` its larger subgroups.

    Each style's drawing is an item: a concept has up to six source items and five target items, and any source item
    of a concept pairs with any target item of it.
    """

    card = Card(
        name="emoji-sketch",
        title="Emoji: colour drawings to line drawings",
        source="colour drawings",
        target="line drawings",
        pairing="instance",
        origin="real",
        licence="MIT, Apache-2.0, CC-BY-4.0, OFL-1.1 or free for any use (by style)",
    )

    def __init__(self, argument: str = "") -> None:
        if argument not in ("", "groups", "subgroups"):
            raise UsageError(f"task 'emoji-sketch' takes 'groups' or 'subgroups' as its labels, not '{argument}'")
        self.fine = argument == "subgroups"
        if self.fine:
            self.card = replace(self.card, name="emoji-sketch:subgroups", title=f"{self.card.title}, by subgroup")

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> "EmojiSketchData":
        """Rasterise the drawings at the asked sizes, or read them from the cache; progress is told (done, total)."""
        shipped = archive()
        concepts = [concept for concept in shipped.concepts if concept.shared]
        codes = [concept.code for concept in concepts]
        add = count(len(rows(shipped.colour, codes)) + len(rows(shipped.line, codes)), progress)
        source = draw("emoji-colour", shipped.colour, codes, source_size, 3, add)
        target = draw("emoji-line", shipped.line, codes, target_size, 1, add)

        near = numbered([concept.near for concept in concepts])
        names = [concept.subgroup if self.fine else concept.group for concept in concepts]
        classes = large_classes(names, near, MIN_GROUPS if self.fine else 1)
        number = {name: i for i, name in enumerate(classes)}
        label = np.array([number.get(name, -1) for name in names], np.int64)
        return EmojiSketchData(
            source=Items(source.data, source.concept, near[source.concept]),
            target=Items(target.data, target.concept, near[target.concept]),
            near=near,
            label=label,
            concept_names=tuple(concept.label for concept in concepts),
            classes=classes,
            digest=sha256(source.digest, target.digest, source.concept, target.concept, near, label, classes),
        )


def large_classes(names: Sequence[str], near: Index, least: int) -> tuple[str, ...]:
    """The names, sorted, that at least `least` groups of near-duplicates bear."""
    groups = Counter(name for name, _ in set(zip(names, near.tolist(), strict=True)))
    return tuple(sorted(name for name, n in groups.items() if n >= least))


class EmojiSketchData(TaskData):
    """near, label: [concepts] group of near-duplicates, and class (-1: in no class, seen in pairs only)."""

    def __init__(
        self,
        source: Items,
        target: Items,
        near: Index,
        label: Index,
        concept_names: tuple[str, ...],
        classes: tuple[str, ...],
        digest: str,
    ) -> None:
        self.source, self.target, self.near, self.label = source, target, near, label
        self.concept_names, self.classes, self.digest = concept_names, classes, digest

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


TASK = EmojiSketch
