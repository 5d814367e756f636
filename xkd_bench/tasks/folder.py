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

Where the labels are images (label maps), it is a task for segmentation: every row has both sides, which lie on one
grid of pixels with the label map; a pair is one row. `val` may then share a group with `train` (with one line in the
log), `test` never; where train is one group and there is no `val`, 15 % of its rows in a row validate.

Items are images, arrays (`.npy`: vectors [d], or bytes [c, h, w]), clips (twelve frames of each, evenly spaced) or
sounds (log-mel spectrograms of the first `seconds`), one sort a side; `_modalities` reads them.

`PATH/about.toml` may give `title`, `source`, `target`, `licence` and `origin` (real, rendered or simulated),
`seconds` (10); for segmentation also `classes`, `ignore_label` (255), `palette`, `absent`, `source_range` and
`target_range`.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from xkd_bench.errors import UsageError
from xkd_bench.tasks._about import read_about
from xkd_bench.tasks._dense_folder import DenseFolder
from xkd_bench.tasks._listed import Listed
from xkd_bench.tasks._manifest import MANIFESTS, Manifest, read_manifest
from xkd_bench.tasks._table import Table, make_table
from xkd_bench.tasks.base import Card, Progress, Size, Task, TaskData


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
        root = Path(argument).expanduser()
        found, about = _read(root), read_about(root)
        card = replace(self.card, name=f"folder:{root.resolve().name}", **about.card())
        self._task: DenseFolder | Listed
        if isinstance(found, Manifest):
            self._task = DenseFolder(root, card, found, about)
        else:
            card = replace(card, pairing="class" if found.by_class else "instance")
            self._task = Listed(root, found, card, about.seconds)
        self.card = self._task.card

    def load(self, source_size: Size, target_size: Size, progress: Progress | None = None) -> TaskData:
        """Decode all images, or read them from the cache. Raises UsageError that names the unreadable ones."""
        self._task.skip_bad = self.skip_bad
        if isinstance(self._task, DenseFolder):
            return self._task.load(source_size, target_size, progress)
        return self._task.load(source_size, target_size, progress)


def _read(root: Path) -> Table | Manifest:
    """What the manifest says; read once as long as it does not change, for a run makes its task several times."""
    for name in MANIFESTS:
        if (root / name).is_file():
            found = (root / name).stat()
            return _read_once(root, found.st_mtime_ns, found.st_size)
    return _read_once.__wrapped__(root, 0, 0)


@lru_cache(maxsize=4)
def _read_once(root: Path, mtime_ns: int, size: int) -> Table | Manifest:
    manifest = read_manifest(root)
    return manifest if manifest.dense else make_table(manifest)


TASK = Folder
