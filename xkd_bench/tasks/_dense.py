"""Dense tasks on files: scenes of two aligned pictures and a label map, decoded once at the asked size."""

import json
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from xkd_bench.errors import UsageError
from xkd_bench.tasks import _planes
from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks._dense_data import DenseData
from xkd_bench.tasks._pictures import UnreadableError, say_skipped, stamp, unreadable, why
from xkd_bench.tasks._planes import IGNORE, Bytes, Grid, Ids
from xkd_bench.tasks._rasterise import count
from xkd_bench.tasks.base import Progress, Size, Task

_THREADS, _BLOCK = 8, 64
_T = TypeVar("_T")
Bad = tuple[int, str, str]
"""Number of a scene, its file that is no good, and why."""


@dataclass(frozen=True)
class Scene:
    """One pair. Files are below the task's folder, with `#` and a place where a file holds many; "": no label map.

    group: scenes that must not be parted. part: train, val or test; "" in all: to be drawn by group.
    """

    name: str
    source: str
    target: str
    label: str
    group: str
    part: str

    def files(self) -> list[str]:
        """What it is read from, each once."""
        return list(dict.fromkeys(file for file in (self.source, self.target, self.label) if file))


class Dense(Task):
    """What a reader of a data set says of it, and reading. Those of single modality decode their pictures once.

    class_of: the class of each number in the label maps, IGNORE for those not scored; other numbers are errors.
    version: part of the cache's key: change it when what is read from the same files changes.
    """

    root: Path
    classes: tuple[str, ...]
    palette: Sequence[Sequence[int]]
    class_of: Mapping[int, int]
    target_channels: int = 1
    target_nearest: bool = False
    ignore_empty: bool = False
    """Pixels that are black in source and target alike (beyond the edge of a mosaic) are not scored."""
    val_of_train: float = 0.1
    absent: tuple[str, ...] | None = None
    """Classes that may lack pixels in train or test; None: any (the split is the publisher's, and cannot be mended)."""
    groups_of_parts: tuple[int, int, int] | None = None
    """How many groups train, validate and test have, where there are a few large ones; None: by shares of scenes."""
    version: int = 1

    @abstractmethod
    def scenes(self) -> list[Scene]:
        """All scenes of the folder, in an order that does not change. Reads lists and names, no images."""

    def state(self) -> object:
        """What the planes of a scene depend on beside its files, for the cache's key; JSON can hold it."""
        return None

    def read_source(self, file: str) -> Bytes:
        """[h, w, 3] of a scene's `source`."""
        return _planes.colour(self.root / file)

    def read_target(self, file: str) -> Bytes:
        """[h, w, target_channels] of a scene's `target`."""
        return _planes.grey(self.root / file)

    def read_label(self, file: str) -> Ids:
        """[h, w] numbers of a scene's `label`, as in the file."""
        return _planes.ids(self.root / file)

    def load(self, source_size: Size, target_size: Size, progress: Progress | None = None) -> DenseData:
        """Decode all scenes, or read them from the cache. Raises UsageError that names every file that is no good.

        Pictures are fitted into the grid (`_planes.fit`): never enlarged, padded below and to the right, where the
        label is `ignore`.
        """
        grid = one_grid(self.card.name, source_size, target_size)
        scenes = self.scenes()
        if not scenes:
            raise UsageError(f"'{self.root}' holds no scene of '{self.card.name}'")
        add = count(len(scenes), progress)
        try:
            packed, digest, bad = _packed(self, scenes, grid, add)
        except UnreadableError as error:
            total = sum(len(scene.files()) for scene in scenes)
            raise unreadable(self.root, error.files, total, "files") from None
        data = DenseData(self, scenes, packed, digest, bad)
        say_skipped(self.card.name, data.skipped)
        return data

    def channels(self) -> int:
        """Planes of a packed scene: source, target (not again, where they are the same), label map."""
        return 3 + (0 if self.card.single_modality else self.target_channels) + 1


def one_grid(name: str, source_size: Size, target_size: Size) -> Grid:
    """(height, width) of both modalities, which are on one grid."""
    sizes = [size if isinstance(size, tuple) else (size, size) for size in (source_size, target_size)]
    if sizes[0] != sizes[1]:
        raise UsageError(f"task '{name}' is dense: source and target have one size, not {sizes[0]} and {sizes[1]}")
    if min(sizes[0]) < 1:
        raise UsageError(f"a picture has at least one pixel, not {sizes[0][0]} × {sizes[0][1]}")
    return sizes[0]


def read_scene(task: Dense, scene: Scene, grid: Grid) -> Bytes | list[tuple[str, str]]:
    """[channels, *grid], or the files that are no good with the reason for each."""
    bad: list[tuple[str, str]] = []

    def attempt(read: Callable[[str], _T], file: str) -> _T | None:
        try:
            return read(file)
        except Exception as error:
            bad.append((file, why(task.root / file.split("#")[0], error)))
            return None

    source = attempt(task.read_source, scene.source)
    target = None if task.card.single_modality else attempt(task.read_target, scene.target)

    def classes(file: str) -> Bytes:
        return _planes.as_classes(task.read_label(file), dict(task.class_of))

    label = attempt(classes, scene.label) if scene.label else None
    if source is None:
        return bad
    for file, plane in ((scene.target, target), (scene.label, label)):
        if plane is not None and plane.shape[:2] != source.shape[:2]:
            bad.append((file, f"{_by(plane)}, but {scene.source} is {_by(source)}"))
    if bad:
        return bad
    if task.ignore_empty and label is not None:
        empty = (source == 0).all(2) & (True if target is None else (target == 0).all(2))
        label = np.where(empty, IGNORE, label).astype(np.uint8)
    planes = [_planes.fit(source, grid, nearest=False)]
    if target is not None:
        planes.append(_planes.fit(target, grid, task.target_nearest))
    unlabelled = np.full((1, *grid), IGNORE, np.uint8)
    planes.append(unlabelled if label is None else _planes.fit(label[:, :, None], grid, nearest=True, fill=IGNORE))
    return np.concatenate(planes)


def _by(plane: Bytes) -> str:
    return f"{plane.shape[1]} × {plane.shape[0]}"


def _packed(
    task: Dense, scenes: Sequence[Scene], grid: Grid, add: Callable[[int], None]
) -> tuple[Array, str, list[Bad]]:
    """All scenes [n, channels, *grid], their sha256, and what was skipped; from the cache where no file changed."""
    files = list(dict.fromkeys(file.split("#")[0] for scene in scenes for file in scene.files()))
    with ThreadPoolExecutor(_THREADS) as pool:
        stamps = dict(zip(files, pool.map(lambda file: stamp(task.root / file), files), strict=True))
    missing = {file: said for file, said in stamps.items() if isinstance(said, str)}
    told, found = 0, None

    def tell(n: int) -> None:
        nonlocal told
        told += n
        add(n)

    def build(allocate: Allocate) -> Array:
        nonlocal found
        array, found = _read_all(task, scenes, grid, missing, allocate, tell)
        return array

    def note(_: Allocate) -> Array:
        bad = _read_all(task, scenes, grid, missing, _scrap, lambda n: None)[1] if found is None else found
        return np.frombuffer(json.dumps(bad).encode(), np.uint8)

    if missing and not task.skip_bad:
        build(_scrap)
    key = sha256(
        *(str(task.root.resolve()), [scene.files() for scene in scenes], list(stamps.items()), list(grid)),
        *(task.version, sorted(task.class_of.items()), task.target_nearest, task.skip_bad, task.state()),
    )
    name = task.card.name.split(":")[0]
    packed, digest = cached(f"{name}-{grid[0]}x{grid[1]}", key, build)
    add(len(scenes) - told)
    bad = json.loads(cached(f"{name}-skipped", key, note)[0].tobytes()) if task.skip_bad else []
    return packed, digest, [(int(i), str(file), str(reason)) for i, file, reason in bad]


def _scrap(shape: tuple[int, ...]) -> Array:
    """Room for pixels that nobody will look at."""
    return np.broadcast_to(np.zeros(1, np.uint8), shape)


def _read_all(
    task: Dense,
    scenes: Sequence[Scene],
    grid: Grid,
    missing: Mapping[str, str],
    allocate: Allocate,
    tell: Callable[[int], None],
) -> tuple[Array, list[Bad]]:
    """Each scene in its row. A bad one is zeros without a label where bad ones are skipped; else all are named."""
    out = allocate((len(scenes), task.channels(), *grid))
    bad: list[Bad] = []

    def read(scene: Scene) -> Bytes | list[tuple[str, str]]:
        absent = [(file, missing[file.split("#")[0]]) for file in scene.files() if file.split("#")[0] in missing]
        return absent or read_scene(task, scene, grid)

    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(scenes), _BLOCK):
            block = scenes[start : start + _BLOCK]
            for i, planes in enumerate(pool.map(read, block), start):
                if isinstance(planes, list):
                    bad += [(i, file, reason) for file, reason in planes]
                if out.flags.writeable:
                    out[i] = 0 if isinstance(planes, list) else planes
                    if isinstance(planes, list):
                        out[i, -1] = IGNORE
            tell(len(block))
    if bad and not task.skip_bad:
        # A file of several scenes is one problem.
        raise UnreadableError(list(dict.fromkeys((file, reason) for _, file, reason in bad)))
    return out, bad
