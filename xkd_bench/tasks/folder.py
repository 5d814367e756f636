"""Your own data, `folder:PATH`: a manifest of pairs, or folders source/LABEL/ and target/LABEL/ of images.

`PATH/manifest.csv` (or .parquet) has the columns `pair_id, source, target, label` and, if you like, `group` and
`split`; paths are relative to PATH. A row with one side blank is an unpaired item; a blank label is a pair without a
label. Rows that share a `pair_id` are the same thing: if it has several items on a side, every source item pairs with
every target item. Items that share a `group` (a scene, a person, a photo) are never parted between train, validation
and test. Without a manifest, `PATH/source/LABEL/NAME.png` and `PATH/target/LABEL/NAME.jpg` are a pair.

Splits: those of the column `split`, for every seed (without `val` rows, 15 % of the train groups validate, drawn by
seed); else 60 / 15 / 25 % by group, drawn by seed. Pairs are the train rows that have both sides.

Where every `pair_id` is the label itself, the data is paired by class: a pair then carries the label, so each seed
distils on 60 % of the classes and scores on the others, 50 / 10 / 40 % of each (or as the column `split` says).

`PATH/about.toml` may give `title`, `source`, `target`, `licence` and `origin` (real, rendered or simulated).
"""

import logging
import tomllib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import sha256
from xkd_bench.tasks._manifest import MANIFESTS, SPLITS, read_manifest
from xkd_bench.tasks._pictures import UnreadableError, pictures, twins, unreadable
from xkd_bench.tasks._rasterise import count
from xkd_bench.tasks._table import Side, Table, make_table
from xkd_bench.tasks.base import Card, Items, Progress, Split, Task, TaskData, check_split

_LOG = logging.getLogger(__name__)
_ORIGINS = ("real", "rendered", "simulated")


class Folder(Task):
    """Reads the manifest when made, so that what is wrong with it is said before anything is done; images later."""

    card = Card(
        name="folder",
        title="Images in a folder",
        source="source images",
        target="target images",
        pairing="instance",
        origin="real",
        licence="as its owner says",
    )

    def __init__(self, argument: str = "") -> None:
        if not argument:
            raise UsageError(
                "task 'folder' needs a path: folder:PATH, where PATH holds manifest.csv, or source/, target/"
            )
        self.root = Path(argument).expanduser()
        self.table = _table(self.root)
        self.card = _card(self.root, replace(self.card, name=f"folder:{self.root.resolve().name}"))
        self.card = replace(self.card, pairing="class" if self.table.by_class else "instance")

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> "FolderData":
        """Decode all images, or read them from the cache. Raises UsageError that names the unreadable ones."""
        table = self.table
        add = count(len(table.source.files) + len(table.target.files), progress)
        parts, bad = [], []
        for name, side, size in (("source", table.source, source_size), ("target", table.target, target_size)):
            try:
                parts.append(pictures(f"folder-{name}", self.root, side.files, size, name == "target", add))
            except UnreadableError as error:
                bad += error.files
        if bad:
            raise unreadable(self.root, bad, len(table.source.files) + len(table.target.files))
        (source, source_digest), (target, target_digest) = parts
        for name, side, images in (("source", table.source, source), ("target", table.target, target)):
            _warn_of_twins(name, side, images)
        return FolderData(
            table,
            Items(source, table.source.concept, table.source.group),
            Items(target, table.target.concept, table.target.group),
            sha256(source_digest, target_digest, *table.arrays(), table.classes, table.by_class),
        )


def _table(root: Path) -> Table:
    """What the manifest says; read once as long as it does not change, for a run makes its task several times."""
    for name in MANIFESTS:
        if (root / name).is_file():
            found = (root / name).stat()
            return _table_of(root, found.st_mtime_ns, found.st_size)
    return make_table(read_manifest(root))


@lru_cache(maxsize=4)
def _table_of(root: Path, mtime_ns: int, size: int) -> Table:
    return make_table(read_manifest(root))


def _warn_of_twins(name: str, side: Side, images: NDArray[np.uint8]) -> None:
    if found := twins(images, side.group):
        first, second = (side.files[i] for i in found[0])
        _LOG.warning(
            "%d %s images are the same as one of another group (first: %s and %s): if they may not be parted between "
            "train and test, give them one group in the manifest",
            *(len(found), name, first, second),
        )


def _card(root: Path, card: Card) -> Card:
    about = root / "about.toml"
    if not about.exists():
        return card
    try:
        said = tomllib.loads(about.read_text("utf8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError(f"'{about}' cannot be read: {error}") from None
    known = {"title", "source", "target", "licence", "origin"}
    for key, value in said.items():
        if key not in known or not isinstance(value, str):
            raise UsageError(f"'{about}': '{key}' is no text or not one of {', '.join(sorted(known))}")
    if said.get("origin", "real") not in _ORIGINS:
        raise UsageError(f"'{about}': origin is '{said['origin']}': use {', '.join(_ORIGINS)}")
    return replace(card, **said)


class FolderData(TaskData):
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


TASK = Folder
