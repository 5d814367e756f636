"""Colour emoji to hand-drawn sketches of 260 categories: distilled on 160 of them, scored on the 100 others."""

from collections import defaultdict

import numpy as np

from xkd_bench.tasks._cache import sha256
from xkd_bench.tasks._drawings import draw, rows
from xkd_bench.tasks._embedded import SKETCHES_PER_CATEGORY, Archive, archive, sketches
from xkd_bench.tasks._rasterise import count, sketches_at
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks.base import Card, Index, Items, Progress, Split, Task, TaskData, check_split

DISTILLED = 160
TRAIN_PER_CLASS, VAL_PER_CLASS = 50, 10


class Doodle(Task):
    """Paired by class: any colour drawing of a category pairs with any sketch of it.

    Such a pair carries the label, so a student never sees, in distillation, a category that it is scored on.
    """

    card = Card(
        name="doodle",
        title="Emoji to hand-drawn sketches",
        source="colour drawings",
        target="sketches",
        pairing="class",
        origin="real",
        licence="CC-BY-4.0 (sketches); MIT, Apache-2.0 or CC-BY-4.0 (drawings, by style)",
    )

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> "DoodleData":
        """Rasterise the drawings at the asked sizes, or read them from the cache; progress is told (done, total)."""
        shipped = archive()
        names = sorted(shipped.categories)
        codes = [shipped.categories[name] for name in names]
        add = count(len(rows(shipped.colour, codes)), progress)
        source = draw("doodle-colour", shipped.colour, codes, source_size, 3, add)
        ink = sketches()
        target = sketches_at(ink.reshape(-1, *ink.shape[2:]), target_size)
        concept = np.repeat(np.arange(len(names)), SKETCHES_PER_CATEGORY)
        subject = subjects(shipped, names)
        return DoodleData(
            source=Items(source.data, source.concept, subject[source.concept]),
            # Each sketch was drawn by somebody else: each is a group of its own, numbered after the subjects.
            target=Items(target, concept, len(names) + np.arange(len(concept))),
            subject=subject,
            concept_names=tuple(names),
            digest=sha256(source.digest, target, source.concept, subject, names),
        )


def subjects(shipped: Archive, names: list[str]) -> Index:
    """[categories] a number that categories share whose emoji are near-duplicates, or which people draw alike."""
    near = {concept.code: concept.near for concept in shipped.concepts}
    number = {name: i for i, name in enumerate(names)}
    by_near = defaultdict(list)
    for name in names:
        by_near[near[shipped.categories[name]]].append(number[name])
    out = np.arange(len(names))
    for alike in [*by_near.values(), *([number[name] for name in same] for same in shipped.same_subject)]:
        out[np.isin(out, out[alike])] = out[alike].min()
    return out


class DoodleData(TaskData):
    """subject: [categories] what is never parted between distillation and scoring; concept_names: of the categories."""

    def __init__(
        self, source: Items, target: Items, subject: Index, concept_names: tuple[str, ...], digest: str
    ) -> None:
        self.source, self.target, self.subject = source, target, subject
        self.concept_names, self.digest = concept_names, digest

    def split(self, seed: int) -> Split:
        """160 categories are pairs; of each of the others 50 sketches train, 10 validate and 40 test."""
        rng = generator(seed, "split")
        distilled = self._distilled(rng)
        scored = np.setdiff1d(np.arange(len(self.concept_names)), distilled)
        order = np.argsort(rng.random((len(scored), SKETCHES_PER_CATEGORY)), axis=1)
        items = scored[:, None] * SKETCHES_PER_CATEGORY + order
        val = TRAIN_PER_CLASS + VAL_PER_CLASS
        label = np.full(len(self.concept_names), -1)
        label[scored] = np.arange(len(scored))
        split = Split(
            pairs_source=np.flatnonzero(np.isin(self.source.concept, distilled)),
            pairs_target=np.flatnonzero(np.isin(self.target.concept, distilled)),
            train=np.sort(items[:, :TRAIN_PER_CLASS], axis=None),
            val=np.sort(items[:, TRAIN_PER_CLASS:val], axis=None),
            test=np.sort(items[:, val:], axis=None),
            label=label[self.target.concept],
            classes=tuple(self.concept_names[i] for i in scored),
        )
        return check_split(self, split)

    def _distilled(self, rng: np.random.Generator) -> Index:
        """Whole subjects in random order, each taken if it still fits, until there are 160 categories."""
        names, size = np.unique(self.subject, return_counts=True)
        taken, room = [], DISTILLED
        for i in rng.permutation(len(names)):
            if size[i] <= room:
                taken.append(names[i])
                room -= size[i]
        return np.flatnonzero(np.isin(self.subject, taken))


TASK = Doodle
