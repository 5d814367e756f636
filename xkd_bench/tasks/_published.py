"""The papers' data sets, read from a local folder in their published layout: what all readers share."""

import logging
from abc import abstractmethod
from collections import Counter, defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from xkd_bench.errors import UsageError
from xkd_bench.tasks._dense import Dense, Scene, read_scene
from xkd_bench.tasks._listed import Listed
from xkd_bench.tasks._manifest import Manifest, Row
from xkd_bench.tasks._modalities import Modality, no_good
from xkd_bench.tasks._packages import Report, silent
from xkd_bench.tasks._pictures import stamp
from xkd_bench.tasks._planes import IGNORE
from xkd_bench.tasks._table import Table, make_table
from xkd_bench.tasks.base import Card

_LOG = logging.getLogger(__name__)


class Local:
    """Where a data set lies, and where to ask for it. Mixed into a task whose argument is `PATH` or `PATH:VARIANT`.

    home: where its owners give it out. layout: its files in a few words. needs: of these, what tells the layout.
    published: items of each part as published, for `check`. variants: words that may follow the path.
    """

    card: Card
    root: Path
    variant: str = ""
    home: str
    layout: str
    needs: tuple[str, ...]
    published: Mapping[str, int]
    variants: tuple[str, ...] = ()

    def __init__(self, argument: str = "") -> None:
        name = self.card.name
        path, _, word = argument.rpartition(":")
        path, self.variant = (path, word) if word in self.variants else (argument, "")
        if not path:
            raise UsageError(f"task '{name}' needs a path: {name}:PATH, where PATH holds {self.layout}; {self.asked()}")
        self.root = Path(path).expanduser()
        if not self.root.is_dir():
            raise UsageError(f"'{self.root}' is no folder: {name}:PATH, where PATH holds {self.layout}; {self.asked()}")
        if missing := [need for need in self.needs if not (self.root / need).exists()]:
            raise UsageError(f"'{self.root}' lacks {', '.join(missing)}: task '{name}' reads {self.layout}")
        if self.variant:
            self.card = replace(self.card, name=f"{name}:{self.variant}")

    def asked(self) -> str:
        """Where the data comes from: it is not ours to give out."""
        return f"ask for the data at {self.home}"

    def prepare(self, report: Report = silent) -> None:
        """Nothing to do: the folder is there, or making the task would have failed."""

    def ready(self) -> bool:
        """Whether the folder is there."""
        return self.root.is_dir()

    def not_prepared(self) -> UsageError:
        """It is the user's copy that is not whole."""
        return UsageError(f"task '{self.card.name}' reads your copy in '{self.root}'; {self.asked()}")

    def counted(self, parts: Counter[str]) -> list[str]:
        """A line for each part whose size is not the published one."""
        return [
            f"{part}: {parts[part]:,} items, published are {n:,}"
            for part, n in self.published.items()
            if parts[part] != n
        ]


class Published(Local, Dense):
    """A published set for segmentation."""

    def check(self) -> list[str]:
        """Counts against the published numbers, files that are missing, files that are no good. Reads everything."""
        try:
            scenes = self.scenes()
        except UsageError as error:
            return [str(error)]
        lines = self.counted(Counter(scene.part or "all" for scene in scenes))

        def problems(scene: Scene) -> list[tuple[str, str]]:
            stamps = ((file, stamp(self.root / file.split("#")[0])) for file in scene.files())
            missing = [(file, said) for file, said in stamps if isinstance(said, str)]
            found = missing or read_scene(self, scene, (1, 1))
            return found if isinstance(found, list) else []

        with ThreadPoolExecutor(8) as pool:
            lines += [f"{file}: {said}" for found in pool.map(problems, scenes) for file, said in found]
        return list(dict.fromkeys(lines))

    def own_groups(self, scenes: list[Scene]) -> list[Scene]:
        """The scenes, where the published split parts a group with that group parted too, which is logged.

        The split is the publisher's, and what is compared with published numbers keeps it.
        """
        parts = defaultdict(set)
        for scene in scenes:
            parts[scene.group].add(scene.part)
        torn = {group for group, found in parts.items() if len(found) > 1}
        if torn:
            _LOG.warning(
                "%s: the published split parts %d groups (first: %s): its test is not independent of train",
                *(self.card.name, len(torn), min(torn)),
            )
        return [replace(s, group=f"{s.group}/{s.part}") if s.group in torn else s for s in scenes]


class PublishedItems(Local, Listed):
    """A published set for classification. source, target: the modalities of its files."""

    source: Modality = Modality("image", "image")
    target: Modality = Modality("image", "image")

    @abstractmethod
    def rows(self) -> list[Row]:
        """All items, in an order that does not change. Reads lists and names, no images."""

    @cached_property
    def table(self) -> Table:  # type: ignore[override]
        """The rows as items; made when it is needed, for it lists all files."""
        rows = tuple(self.rows())
        if not rows:
            raise UsageError(f"'{self.root}' holds nothing of '{self.card.name}': it reads {self.layout}")
        return make_table(Manifest(str(self.root), rows, given=any(row.split for row in rows)))

    def parts(self) -> Counter[str]:
        """Items by what `published` counts."""
        return Counter(source=len(self.table.source.files), target=len(self.table.target.files))

    def check(self) -> list[str]:
        """Counts against the published numbers, and files that are no good. Reads everything."""
        try:
            lines = self.counted(self.parts())
            for name, side, kind in (
                ("source", self.table.source, self.source),
                ("target", self.table.target, self.target),
            ):
                lines += [f"{file}: {said}" for file, said in no_good(kind, f"{name}-check", self.root, side.files)]
        except UsageError as error:
            return [str(error)]
        return lines


def sizes(**parts: int) -> Mapping[str, int]:
    """Items of each part, as published."""
    return parts


def numbers(n: int, *ignored: int) -> Mapping[int, int]:
    """Label numbers 0 to n - 1 are the classes, `ignored` are not scored."""
    return {i: i for i in range(n)} | dict.fromkeys(ignored, IGNORE)


def names(root: Path, file: str) -> list[str]:
    """The lines of a list, without blanks. Raises UsageError where it cannot be read."""
    try:
        lines = (root / file).read_text("utf8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise UsageError(f"'{root / file}' cannot be read: {said}") from None
    return [line.strip() for line in lines if line.strip()]


def stems(root: Path, folder: str, ending: str) -> list[str]:
    """Names of a folder's files without their ending, sorted; [] where it is not there."""
    return sorted(file.name.removesuffix(ending) for file in (root / folder).glob(f"*{ending}") if file.name[0] != ".")
