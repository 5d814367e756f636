"""Your own segmentation data: a manifest whose labels are label maps."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path

from xkd_bench.errors import UsageError
from xkd_bench.tasks import _planes
from xkd_bench.tasks._about import About
from xkd_bench.tasks._dense import Dense, Scene
from xkd_bench.tasks._manifest import Manifest, Row
from xkd_bench.tasks._planes import IGNORE, Bytes, Ids
from xkd_bench.tasks._table import together
from xkd_bench.tasks.base import Card

_LOG = logging.getLogger(__name__)


class DenseFolder(Dense):
    """The rows of the manifest are the scenes; `about.toml` names the classes."""

    val_of_train = 0.15

    def __init__(self, root: Path, card: Card, manifest: Manifest, about: About) -> None:
        self.root, self._about = root, about
        self.card = replace(card, kind="segmentation", aligned=True)
        self.classes, self.palette, self.absent = about.classes, about.palette, about.absent
        numbers = range(len(about.classes) or IGNORE)
        self.class_of = {**{i: i for i in numbers}, about.ignore_label: IGNORE}
        self._name, self._scenes = manifest.name, _scenes(manifest)
        if all(scene.source == scene.target for scene in self._scenes):
            self.card = replace(self.card, single_modality=True)
        self.target_nearest, self.ignore_empty = about.target_range is not None, about.ignore_empty

    def scenes(self) -> list[Scene]:
        """The rows, in the order of the manifest, about to be read. A group in both train and val is worth a line."""
        both = set.intersection(*({s.group for s in self._scenes if s.part == part} for part in ("train", "val")))
        if both:
            _say_once(
                f"'{self._name}': groups in both train and val: {len(both)}; choices made on val may be optimistic, "
                f"scores on test are not"
            )
        self.target_channels = _channels([self.root / scene.target for scene in self._scenes])
        return self._scenes

    def state(self) -> object:
        """What `about.toml` says."""
        return self._about.model_dump(mode="json")

    def read_source(self, file: str) -> Bytes:
        """[h, w, 3]; where `source_range` is given, grey by the values in the file."""
        return _picture(self.root / file, self._about.source_range, 3)

    def read_target(self, file: str) -> Bytes:
        """[h, w, 1] if all targets are grey, else [h, w, 3]; where `target_range` is given, by the file's values."""
        return _picture(self.root / file, self._about.target_range, self.target_channels)

    def read_label(self, file: str) -> Ids:
        """Numbers, or colours of the palette."""
        if _bands(self.root / file) == 1:
            return _planes.ids(self.root / file)
        if not self._about.palette:
            raise ValueError("its labels are colours: say in about.toml which class each stands for (palette)")
        colours = {colour: i for i, colour in enumerate(self._about.palette)}
        return _planes.coloured_ids(self.root / file, colours)


@cache
def _say_once(line: str) -> None:
    """Warn, once in this process: a command makes and reads its task several times."""
    _LOG.warning(line)


def _picture(path: Path, values: tuple[float, float] | None, channels: int) -> Bytes:
    if values is None:
        return _planes.grey(path) if channels == 1 else _planes.colour(path)
    found = _planes.numbers(path)
    if found.ndim != 2:
        raise ValueError("it has several channels: a range of values in about.toml is for images of one")
    return _planes.ranged(found, *values).repeat(channels, axis=2)


def _bands(path: Path) -> int:
    """Channels by the file's head (a palette's image has one); 1 where there is none to read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            return 1 if image.mode in ("1", "LA") else len(image.getbands())
    except (OSError, ValueError, Image.DecompressionBombError):
        return 1


def _scenes(manifest: Manifest) -> list[Scene]:
    """Checks what can be told without the images: no pair twice, nothing that belongs together is in two splits."""
    seen: dict[str, Row] = {}
    for row in manifest.rows:
        if (other := seen.setdefault(row.pair, row)) is not row:
            raise UsageError(
                f"'{manifest.name}', {row.where}: pair_id '{row.pair}' is at {other.where} too: for segmentation a "
                "pair is one row"
            )
    if not any(row.label for row in manifest.rows):
        raise UsageError(f"'{manifest.name}' has no label map")
    group = together(manifest, by_class=False, dense=True)
    return [
        Scene(row.pair, row.source, row.target, row.label, str(group["source", row.source]), row.split)
        for row in manifest.rows
    ]


def _channels(targets: list[Path]) -> int:
    with ThreadPoolExecutor(8) as pool:
        return 1 if all(bands == 1 for bands in pool.map(_bands, targets)) else 3
