"""Loaded dense tasks: their splits, and what is checked of them."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks._planes import IGNORE
from xkd_bench.tasks._splits import SHARES, TEST, TRAIN, VAL, generator, numbered, parts_by_group
from xkd_bench.tasks.base import Index, Items, LabelMaps, Split, TaskData

if TYPE_CHECKING:
    from xkd_bench.tasks._dense import Bad, Dense, Scene

_LOG = logging.getLogger(__name__)
_PARTS = ("train", "val", "test")


class DenseData(TaskData):
    """Source, target and label maps are planes of one memory-mapped array: an item is read in one go."""

    maps: LabelMaps

    def __init__(self, task: "Dense", scenes: "Sequence[Scene]", packed: Array, digest: str, bad: "list[Bad]") -> None:
        n = len(scenes)
        counts = pixel_counts(packed[:, -1], digest)
        self.classes = task.classes or tuple(f"class {i}" for i in range(_found(counts)))
        self.concept_names = tuple(scene.name for scene in scenes)
        self.skipped = tuple(dict.fromkeys(file for _, file, _ in bad))
        self._usable = np.ones(n, bool)
        self._usable[[i for i, _, _ in bad]] = False
        self._allowed, self._val_of_train, self._name = task.absent, task.val_of_train, task.card.name
        self._groups = task.groups_of_parts
        self._given = np.array([_PARTS.index(scene.part) if scene.part else -1 for scene in scenes], np.int64)
        group, concept = numbered([scene.group for scene in scenes]), np.arange(n)
        self.source = Items(packed[:, :3], concept, group)
        self.target = self.source if task.card.single_modality else Items(packed[:, 3:-1], concept, group)
        self.maps = LabelMaps(
            data=packed[:, -1],
            pixels=counts[:, : len(self.classes)],
            labelled=np.array([bool(scene.label) for scene in scenes]) & self._usable,
            palette=palette(task.palette, len(self.classes)),
            ignore=IGNORE,
        )
        self.digest = sha256(digest, group, self._given, self.maps.labelled, self.classes, self.concept_names)

    def split(self, seed: int) -> Split:
        """The given split, or one drawn by group. Pairs are all usable scenes of train, labelled or not."""
        part = np.where(self._usable, self._parts(seed), -1)
        labelled = self.maps.labelled
        train, val, test = (np.flatnonzero((part == i) & labelled) for i in (TRAIN, VAL, TEST))
        pairs = np.flatnonzero(part == TRAIN)
        return check_dense(
            self,
            Split(
                pairs_source=pairs,
                pairs_target=pairs,
                train=train,
                val=val,
                test=test,
                label=np.full(len(part), -1),
                classes=self.classes,
                absent=absent(self.maps, self.classes, train, test),
            ),
            self._allowed,
        )

    def _parts(self, seed: int) -> Index:
        """Given, or drawn by group so that rare classes are spread; without val, some of train validates."""
        group, rarest = self.target.group, _rarest(self.maps.pixels)
        if self._groups is not None:
            return _dealt(group, self._groups, generator(seed, "split"))
        if (self._given < 0).all():
            return parts_by_group(group, rarest, generator(seed, "split"), SHARES)
        if (self._given == VAL).any():
            return self._given
        part = self._given.copy()
        train = np.flatnonzero((part == TRAIN) & self._usable)
        shares = (1 - self._val_of_train, self._val_of_train)
        rng = generator(seed, "val")
        if len(np.unique(group[train])) > 1:
            part[train] = parts_by_group(group[train], rarest[train], rng, shares)
            if (part[train] == VAL).any():
                return part
        part[train] = TRAIN
        part[_run(train, shares[1], rng)] = VAL
        return part


def _dealt(group: Index, groups_of_parts: Sequence[int], rng: np.random.Generator) -> Index:
    """[n] part of each item: so many groups train, validate and test, drawn whatever is in them."""
    names, inverse = np.unique(group, return_inverse=True)
    return np.repeat((TRAIN, VAL, TEST), groups_of_parts)[rng.permutation(len(names))][inverse]


def _run(train: Index, share: float, rng: np.random.Generator) -> Index:
    """Some neighbours in the order given: frames of one recording are parted at two places, not at all."""
    n = max(1, round(share * len(train)))
    start = int(rng.integers(0, len(train) - n + 1))
    return train[start : start + n]


def _rarest(pixels: Index) -> Index:
    """[n] the class of each image that the fewest images have, -1 without any."""
    shows = pixels > 0
    images = np.where(shows, shows.sum(0), len(pixels) + 1)
    return np.where(shows.any(1), images.argmin(1), -1)


def _found(counts: Index) -> int:
    """How many classes label maps of unnamed classes have: the largest number in them, and one."""
    present = np.flatnonzero(counts[:, :IGNORE].sum(0))
    return int(present[-1]) + 1 if len(present) else 0


def pixel_counts(maps: NDArray[np.uint8], digest: str) -> Index:
    """[n, 256] how often each value is in each label map; counted once for these maps (`digest` names them)."""

    def build(allocate: Allocate) -> Array:
        return np.stack([np.bincount(one.ravel(), minlength=256) for one in maps]).astype(np.int64).view(np.uint8)

    return cached("pixel-counts", digest, build)[0].view(np.int64)


def palette(given: Sequence[Sequence[int]], n: int) -> NDArray[np.uint8]:
    """[n, 3] the given colours, or the PASCAL VOC colour map, whose bits are spread so that neighbours differ."""
    if given:
        return np.array(given, np.uint8).reshape(n, 3)
    number = np.arange(n)[:, None]
    bits = (number[:, :, None] >> (3 * np.arange(8) + np.arange(3)[:, None])) & 1  # [n, 3, 8]
    return (bits << (7 - np.arange(8))).sum(2).astype(np.uint8)


def absent(maps: LabelMaps, classes: tuple[str, ...], train: Index, test: Index) -> tuple[str, ...]:
    """Classes without a pixel in train, or without one in test."""
    have = (maps.pixels[train].sum(0) > 0) & (maps.pixels[test].sum(0) > 0)
    return tuple(name for name, there in zip(classes, have, strict=True) if not there)


def check_dense(data: TaskData, split: Split, may_be_absent: tuple[str, ...] | None = ()) -> Split:
    """Raise UsageError where a dense split leaks or cannot be scored; return it otherwise.

    Checks: source, target and maps lie on one grid, row by row; test shares no item and no group with train, val or
    the pairs; val shares no item with train or the pairs; every part has items; every class has pixels in train and in
    test, but for those of `may_be_absent` (None: any). Val may share groups with train where there is no other way
    (one recording to learn from): that costs the choice of hyper-parameters, never the score, and is logged.
    """
    maps, group = data.maps, data.target.group
    if maps is None:
        raise UsageError("a dense task needs label maps")
    shapes = {x.shape[:1] + x.shape[-2:] for x in (data.source.data, data.target.data, maps.data)}
    if len(shapes) > 1 or not np.array_equal(data.source.concept, data.target.concept):
        raise UsageError(f"source, target and label maps are not on one grid, row by row: {sorted(shapes)}")
    if not np.array_equal(split.pairs_source, split.pairs_target):
        raise UsageError("source and target pairs are different rows: every pair needs both sides")
    parts = {"train": split.train, "val": split.val, "test": split.test, "the pairs": split.pairs_target}
    for name in _PARTS:
        if not len(parts[name]):
            raise UsageError(
                f"no labelled image is in {name}: a split needs some to learn from, choose with, report on"
            )
    for a, b in (("train", "test"), ("val", "test"), ("the pairs", "test")):
        if len(both := np.intersect1d(group[parts[a]], group[parts[b]])):
            first = _name(data, parts[b][np.isin(group[parts[b]], both)][0])
            raise UsageError(
                f"{len(both)} groups are in both {a} and {b} (first: that of {first}): a split may not leak"
            )
    for name in ("train", "the pairs"):
        if len(both := np.intersect1d(parts[name], split.val)):
            first = _name(data, both[0])
            raise UsageError(f"{len(both)} items are in both {name} and val (first: {first}): a split may not leak")
    missing = absent(maps, split.classes, split.train, split.test)
    if may_be_absent is not None and (unexpected := [name for name in missing if name not in may_be_absent]):
        raise UsageError(
            f"class '{unexpected[0]}' has no pixel in train or none in test: merge it, or say it is absent"
        )
    return split


def _name(data: TaskData, item: int) -> str:
    names: tuple[str, ...] = getattr(data, "concept_names", ())
    return f"'{names[item]}'" if names else f"item {item}"
