"""Classification tasks on files: the items of a table, of any modality, read once at the asked sizes."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import sha256
from xkd_bench.tasks._manifest import SPLITS
from xkd_bench.tasks._modalities import Modality, modality, no_good, read_side
from xkd_bench.tasks._pictures import UnreadableError, say_skipped, twins, unreadable
from xkd_bench.tasks._rasterise import count
from xkd_bench.tasks._table import Side, Table
from xkd_bench.tasks.base import Card, Items, Progress, Size, Split, Task, TaskData, check_split

_LOG = logging.getLogger(__name__)


class Listed(Task):
    """The files of `table`, below `root`; a clip becomes several items of one concept, its frames."""

    def __init__(self, root: Path, table: Table, card: Card, seconds: float = 10.0) -> None:
        self.root, self.table = root, table
        self.source, self.target = (
            modality(root, name, side.files, seconds)
            for name, side in (("source", table.source), ("target", table.target))
        )
        self.card = replace(card, source_kind=self.source.kind, target_kind=self.target.kind)

    def load(self, source_size: Size, target_size: Size, progress: Progress | None = None) -> "ListedData":
        """Decode all files, or read them from the cache. Raises UsageError that names the unreadable ones."""
        table, skipped = self._without_bad() if self.skip_bad else (self.table, ())
        add = count(len(table.source.files) + len(table.target.files), progress)
        parts, bad, own = [], [], self.card.name.split(":")[0]
        for name, side, kind, size in (
            ("source", table.source, self.source, source_size),
            ("target", table.target, self.target, target_size),
        ):
            try:
                parts.append(read_side(kind, f"{own}-{name}", self.root, side.files, size, name == "target", add))
            except UnreadableError as error:
                bad += error.files
        if bad:
            what = "images" if {self.source.media, self.target.media} == {"image"} else "files"
            raise unreadable(self.root, bad, len(table.source.files) + len(table.target.files), what)
        (source, source_digest), (target, target_digest) = parts
        table = replace(table, source=_spread(table.source, self.source), target=_spread(table.target, self.target))
        for name, side, items in (("source", table.source, source), ("target", table.target, target)):
            _warn_of_twins(name, side, items)
        data = ListedData(
            table,
            Items(source, table.source.concept, table.source.group),
            Items(target, table.target.concept, table.target.group),
            sha256(source_digest, target_digest, *table.arrays(), table.classes, table.by_class),
        )
        data.skipped = skipped
        say_skipped(self.card.name, skipped)
        return data

    def _without_bad(self) -> tuple[Table, tuple[str, ...]]:
        """The table without the items that cannot be read, and their files."""
        sides, skipped, own = [], [], self.card.name.split(":")[0]
        for name, side, kind in (
            ("source", self.table.source, self.source),
            ("target", self.table.target, self.target),
        ):
            bad = dict(no_good(kind, f"{own}-{name}", self.root, side.files))
            sides.append(side.at(np.flatnonzero([file not in bad for file in side.files])))
            skipped += list(bad)
        return replace(self.table, source=sides[0], target=sides[1]), tuple(skipped)


def _spread(side: Side, kind: Modality) -> Side:
    """The side's items where each file has several."""
    return side.at(np.repeat(np.arange(len(side.files)), kind.each))


def _warn_of_twins(name: str, side: Side, images: NDArray[np.generic]) -> None:
    if found := twins(images, side.group):
        first, second = (side.files[i] for i in found[0])
        _LOG.warning(
            "%d %s images are the same as one of another group (first: %s and %s): if they may not be parted between "
            "train and test, give them one group in the manifest",
            *(len(found), name, first, second),
        )


class ListedData(TaskData):
    """The table says what each item is; the splits are made from it."""

    def __init__(self, table: Table, source: Items, target: Items, digest: str) -> None:
        self.table, self.source, self.target, self.digest = table, source, target, digest
        self.concept_names = table.concept_names

    def split(self, seed: int) -> Split:
        """The given split, or one drawn by group; by class, some classes are distilled and the others scored."""
        parts = self.table.parts(seed)
        paired = np.intersect1d(self.source.concept, self.target.concept[parts.pairs])
        label = np.where(parts.scored, parts.label, -1)
        labelled = label >= 0
        split = Split(
            pairs_source=np.flatnonzero(np.isin(self.source.concept, paired) & parts.source_pairs),
            pairs_target=np.flatnonzero(parts.pairs & np.isin(self.target.concept, paired)),
            train=np.flatnonzero((parts.part == SPLITS.index("train")) & labelled),
            val=np.flatnonzero((parts.part == SPLITS.index("val")) & labelled),
            test=np.flatnonzero((parts.part == SPLITS.index("test")) & labelled),
            label=label,
            classes=parts.classes,
        )
        if not len(split.pairs_source):
            raise UsageError(f"'{self.table.name}': no pair in train has both sides: nothing to distil from")
        return check_split(self, split)
