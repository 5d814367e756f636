"""The contract of a task: two modalities, which items are pairs, and splits that leak nothing."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._packages import Package, Report, damage, fetch_all, silent, unpacked

Index = NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Told (items done, items in all)."""


@dataclass(frozen=True)
class Card:
    """What a task is, known without loading its data; it goes into every record and table.

    `pairing` says what a pair shares: the very thing drawn or photographed (`instance`), or only its
    category (`class`). Pairs by class carry the label, so such a task distils on some classes and scores
    on others. `origin` tags every figure that rests on rendered or simulated data. `aligned`: source and target of a
    pair lie on one grid of pixels, in the same row of both `Items`. `single_modality`: source and target are the same
    pictures (sets on which network is distilled into network, not modality into modality). `lineage`: the families that
    source and target descend from, where some of a task's modalities are made after others: what is measured on
    modalities of one family is not independent evidence ("" for one that stands alone). `source_kind`, `target_kind`:
    what the items are; they decide which teachers and students can take them.
    """

    name: str
    title: str
    source: str
    target: str
    pairing: Literal["instance", "class"]
    origin: Literal["real", "rendered", "simulated"]
    licence: str
    kind: Literal["classification", "segmentation"] = "classification"
    aligned: bool = False
    single_modality: bool = False
    target_kind: Literal["image", "depth", "audio", "vector"] = "image"
    source_kind: Literal["image", "depth", "audio", "vector"] = "image"
    lineage: tuple[str, str] = ("", "")

    @property
    def budget_kind(self) -> str:
        """Which of a budget's overrides are for this task."""
        return "segmentation" if self.kind == "segmentation" else self.target_kind


@dataclass(frozen=True)
class Items:
    """All items of one modality.

    data: [n, channels, height, width] uint8 (images), or [n, d] float32 (vectors). May be memory-mapped: read, never
    written. Images need not be square.
    concept: [n] items with the same concept in the two modalities are pairs.
    group: [n] near-duplicates share a group; no group is in two of train, val and test.
    """

    data: NDArray[np.generic]
    concept: Index
    group: Index

    def __len__(self) -> int:
        return len(self.concept)


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of the target items of a dense task, on the grid of `target.data`.

    data: [n_target, h, w] uint8: a class, or `ignore` (where padded, not labelled, or not scored). May be
    memory-mapped. pixels: [n_target, n_classes] how many of each class. palette: [n_classes, 3] uint8, to show them.
    labelled: [n_target] whether the item has a label map at all.
    """

    data: NDArray[np.uint8]
    pixels: Index
    labelled: NDArray[np.bool_]
    palette: NDArray[np.uint8]
    ignore: int = 255


@dataclass(frozen=True)
class Split:
    """Which items play which part, for one seed. All are indices, sorted, without repeats.

    pairs_source, pairs_target: what distillation sees, without labels.
    train, val, test: target items with labels: to draw labels from, to choose with, and to report on.
    label: [n_target] class of each target item, -1 for those outside train, val and test. Of a dense task -1
    throughout: its labels are `TaskData.maps`.
    absent: classes of a dense task without a pixel in train or in test: not scored, and listed.
    """

    pairs_source: Index
    pairs_target: Index
    train: Index
    val: Index
    test: Index
    label: Index
    classes: tuple[str, ...]
    absent: tuple[str, ...] = ()


Size = int | tuple[int, int]
"""Pixels: of a square's side, or (height, width)."""


class Task(ABC):
    """A task is made from its name (`folder:PATH` passes `PATH` as `argument`), which is cheap, then loaded."""

    card: Card
    skip_bad: bool = False
    """Go on without files that cannot be read; `TaskData.skipped` names them. Else `load` raises, and lists them."""

    packages: tuple[Package, ...] = ()
    """What `prepare` fetches; `load` finds it with `folder`. An instance may need fewer than its class."""

    def __init__(self, argument: str = "") -> None:
        """Check `argument`; read no data. Raise UsageError with one line if it cannot be meant."""
        if argument:
            raise UsageError(f"task '{self.card.name}' takes no argument, got '{argument}'")

    @abstractmethod
    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> "TaskData":
        """Read (or rasterise, once) both modalities at the asked sizes in pixels; `progress` is told how far it is."""

    def prepare(self, report: Report = silent) -> None:
        """Get what `load` needs and does not come with the package; what is there and intact is kept.

        Fetches `packages`. Tasks that render or decode beforehand do so here, after `super().prepare(report)`.
        Raises UsageError that lists all that could not be had.
        """
        fetch_all(self.packages, report)

    def prepared(self) -> str:
        """What `prepare` got, in a few words."""
        size = sum(package.size for package in self.packages)
        return f"{len(self.packages)} packages, {size / 1e6:.1f} MB" if size else "it comes with xkd-bench, or is yours"

    def ready(self) -> bool:
        """Whether `load` has all it needs; looks at no bytes."""
        return all(unpacked(package) for package in self.packages)

    def check(self) -> list[str]:
        """What is missing or damaged of what `prepare` got: a line each, all of them. Reads every byte."""
        return [line for package in self.packages for line in damage(package)]

    def folder(self, package: Package) -> Path:
        """The folder with a package's files; raises UsageError that says how to prepare the task if it is not there."""
        if (folder := unpacked(package)) is None:
            raise self.not_prepared()
        return folder

    def not_prepared(self) -> UsageError:
        """The one line for a task whose data is not here yet."""
        name = self.card.name
        return UsageError(f"task '{name}' is not prepared: xkd-bench data prepare {quote(name)}")


class TaskData(ABC):
    """A loaded task: items of both modalities, and a split for each seed."""

    source: Items
    target: Items
    digest: str
    """sha256 (hex) of all that a result can depend on: arrays, concepts, groups, labels, class names."""

    maps: LabelMaps | None = None
    """Of dense tasks (`card.kind` is segmentation) only."""
    skipped: tuple[str, ...] = ()
    """Files that were left out because they cannot be read (`Task.skip_bad`)."""

    def at(self, seed: int) -> "TaskData":
        """The data as a run with this seed sees it: itself, unless scales are learned, which is from its pairs alone.

        A copy that differs between seeds has a digest of its own.
        """
        return self

    @abstractmethod
    def split(self, seed: int) -> Split:
        """The split of this seed, already passed through `check_split`. Same seed, same split, on any machine."""


def check_split(data: TaskData, split: Split) -> Split:
    """Raise UsageError where a split leaks or cannot be scored; return it otherwise.

    Checks: train, val and test share no item and no group; no concept and no group of val or test is in a pair;
    pairs have the same concepts on both sides; every class has items in train and in test; labels are in range.
    """
    group, concept = data.target.group, data.target.concept
    parts = {"train": split.train, "val": split.val, "test": split.test}
    for a, b in (("train", "val"), ("train", "test"), ("val", "test")):
        both = np.intersect1d(group[parts[a]], group[parts[b]])
        if len(both):
            raise UsageError(f"{len(both)} groups are in both {a} and {b} (first: {both[0]}): a split may not leak")
    paired = concept[split.pairs_target]
    for name in ("val", "test"):
        for what, key in (("concepts", concept), ("groups", group)):
            leaked = np.intersect1d(key[parts[name]], key[split.pairs_target])
            if len(leaked):
                raise UsageError(
                    f"{len(leaked)} {what} of {name} are in pairs (first: {leaked[0]}): a split may not leak"
                )
    if set(np.unique(data.source.concept[split.pairs_source])) != set(np.unique(paired)):
        raise UsageError("source and target pairs have different concepts: every pair needs both sides")
    n_classes = len(split.classes)
    for name, items in parts.items():
        labels = split.label[items]
        if len(labels) and (labels.min() < 0 or labels.max() >= n_classes):
            raise UsageError(f"a label of {name} is outside 0..{n_classes - 1}")
        empty = np.setdiff1d(np.arange(n_classes), labels)
        if not len(items):
            raise UsageError(
                f"no item is in {name}: a split needs items to learn from, to choose with and to report on"
            )
        if name != "val" and len(empty):
            raise UsageError(f"class '{split.classes[empty[0]]}' has no item in {name}: merge or drop it")
    return split
