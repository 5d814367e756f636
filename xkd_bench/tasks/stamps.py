"""Pictures to what six languages call them: the stamps of Tux Paint, a drawing program for children.

Each stamp (a photograph or drawing) has spoken descriptions; those of its languages with most are read: Bulgarian,
Catalan, French, Romanian, Russian and Spanish, about one speaker each. Stamps that have all six are taken, as
measured on the Debian package 2022.06.04-1: 887.

Labels are the collection's own folders: those with 25 such stamps or more, 10 of 16. Traps, and what is done about
them: a stamp drawn twice has one description, often the same file (letters filled and in outline, a note with its stem
up and down): such stamps are one concept and one group, and a recording is an item once. Some of these lie in two
folders (a star, under symbols and under seasonal): their sound does not tell the label, and they are left out.
`NAME_mirror` is the mirror image of NAME, a drawn stamp may be there as SVG beside a PNG of the same name, and
`NAME.ogg` is a noise that it makes: none of these is read.

Sounds are log-mel spectrograms (`_spectrogram`) of 2.5 seconds: a shorter one (90 % are) is padded with silence at its
end, of a longer one the beginning is kept. Needs PyAV: pip install 'xkd-bench[data]'.
"""

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import sha256
from xkd_bench.tasks._listed import ListedData
from xkd_bench.tasks._modalities import Modality, no_good, read_side
from xkd_bench.tasks._packages import Package
from xkd_bench.tasks._pictures import UnreadableError, decoded, open_image, unreadable
from xkd_bench.tasks._rasterise import count, renderer
from xkd_bench.tasks._table import Side, Table
from xkd_bench.tasks.base import Card, Items, Progress, Size, Task

STAMPS = Package(
    "apt-get",
    "tuxpaint-stamps-default",
    "2022.06.04-1",
    sha256="6db6c1bfc870a47f1499d6203b083522eacb57c5f9c87d468f2e92eb6d9d5f34",
    size=160_880_444,
    licence="GPL-2",
    files=tuple(
        f"usr/share/tuxpaint/stamps/*{ending}"
        for ending in (".png", ".svg", *(f"_desc_{code}.ogg" for code in ("bg", "ca", "es", "fr", "ro", "ru")))
    ),
)
LANGUAGES = ("bg", "ca", "es", "fr", "ro", "ru")
LEAST = 25
"""Stamps of a folder that is a class."""
SPEECH = Modality("audio", "audio", seconds=2.5, short="padded")
_INSIDE = "usr/share/tuxpaint/stamps"


@dataclass(frozen=True)
class Stamp:
    """picture: its file. spoken: a file for each of LANGUAGES. label: its folder. All by paths below the collection."""

    picture: str
    spoken: tuple[str, ...]
    label: str


class Stamps(Task):
    """A concept is what has one description: one stamp, or several that share a recording; and it is a group."""

    card = Card(
        name="stamps",
        title="Stamps: pictures to spoken descriptions",
        source="pictures (Tux Paint stamps)",
        target="spoken descriptions in six languages (log-mel)",
        pairing="instance",
        origin="real",
        licence="GPL-2",
        target_kind="audio",
    )
    packages: tuple[Package, ...] = (STAMPS,)

    def load(self, source_size: int, target_size: Size, progress: Progress | None = None) -> ListedData:
        """Read all pictures and recordings, or both from the cache. UsageError names the unreadable ones."""
        root = self.folder(STAMPS) / _INSIDE
        table = described(root, find(root))
        files = (table.source.files, table.target.files)
        add = count(sum(map(len, files)), progress)
        shape = (1, 3, source_size, source_size)
        try:
            source, source_digest = decoded(
                f"stamps-pictures-{source_size}", root, files[0], shape, lambda path: picture(path, source_size)[None],
                add, what=(renderer(),),
            )  # fmt: skip
            target, target_digest = read_side(SPEECH, "stamps-speech", root, files[1], target_size, False, add)
        except UnreadableError as error:
            raise unreadable(root, error.files, sum(map(len, files)), "files") from None
        return ListedData(
            table,
            Items(source, table.source.concept, table.source.group),
            Items(target, table.target.concept, table.target.group),
            sha256(source_digest, target_digest, *table.arrays(), table.classes),
        )

    def check(self) -> list[str]:
        """What is missing or damaged of the package, and recordings that are no good."""
        if lines := super().check():
            return lines
        root = self.folder(STAMPS) / _INSIDE
        files = described(root, find(root)).target.files
        return [f"{file}: {said}" for file, said in no_good(SPEECH, "stamps-check", root, files)]


def find(root: Path) -> list[Stamp]:
    """The stamps below `root` that are described in all languages, of folders with LEAST of them, by their paths."""
    found = []
    for path in _pictures(root):
        spoken = tuple(f"{path.rpartition('.')[0]}_desc_{language}.ogg" for language in LANGUAGES)
        if all((root / file).is_file() for file in spoken):
            found.append(Stamp(path, spoken, path.partition("/")[0]))
    each = Counter(stamp.label for stamp in found)
    kept = [stamp for stamp in found if each[stamp.label] >= LEAST]
    if len({stamp.label for stamp in kept}) < 2:
        raise UsageError(f"'{root}' holds no two folders of {LEAST} stamps described in {', '.join(LANGUAGES)}")
    return kept


def _pictures(root: Path) -> Iterator[str]:
    """The picture of each stamp, a PNG before an SVG; no mirror images."""
    names = sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.suffix in (".png", ".svg"))
    seen = set()
    for name in names:  # .png is before .svg
        stem = name.rpartition(".")[0]
        if stem not in seen and not stem.endswith(("_mirror", "_flip")):
            seen.add(stem)
            yield name


def described(root: Path, stamps: list[Stamp]) -> Table:
    """Pictures and recordings as items: stamps that share a recording are one concept; recordings are there once."""
    bytes_of = {file: _hash(root / file) for stamp in stamps for file in stamp.spoken}
    concept = _concepts([[bytes_of[file] for file in stamp.spoken] for stamp in stamps])
    labels = defaultdict(set)
    for i, stamp in zip(concept, stamps, strict=True):
        labels[i].add(stamp.label)
    kept = [(i, stamp) for i, stamp in zip(concept, stamps, strict=True) if len(labels[i]) == 1]
    number = {i: k for k, i in enumerate(dict.fromkeys(i for i, _ in kept))}
    classes = tuple(sorted({stamp.label for _, stamp in kept}))
    names = {number[i]: Path(stamp.picture).stem.replace("_", " ") for i, stamp in reversed(kept)}
    heard = {bytes_of[file]: (file, number[i], stamp) for i, stamp in reversed(kept) for file in stamp.spoken}
    sides = [[(stamp.picture, number[i], stamp) for i, stamp in kept], sorted(heard.values(), key=lambda row: row[:2])]
    source, target = (_side(rows, {name: k for k, name in enumerate(classes)}) for rows in sides)
    return Table("stamps", source, target, classes, tuple(names[k] for k in range(len(names))), by_class=False)


def _side(rows: list[tuple[str, int, Stamp]], number: Mapping[str, int]) -> Side:
    files, concepts, stamps = zip(*rows, strict=True)
    concept = np.array(concepts, np.int64)
    label = np.array([number[stamp.label] for stamp in stamps], np.int64)
    return Side(files, concept, concept, label, np.full(len(files), -1))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _concepts(spoken: list[list[str]]) -> list[int]:
    """A number for each stamp, the same for those that share a recording, directly or through others."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[str, int] = {}
    edges = [(i, numbers.setdefault(sound, len(numbers))) for i, sounds in enumerate(spoken) for sound in sounds]
    rows, columns = np.array(edges).T
    n = len(spoken) + len(numbers)
    graph = coo_array((np.ones(len(edges)), (rows, columns + len(spoken))), shape=(n, n))
    return connected_components(graph, directed=False)[1][: len(spoken)].tolist()


def picture(path: Path, size: int) -> NDArray[np.uint8]:
    """[3, size, size]: the whole picture, its aspect kept, on white."""
    from PIL import Image, ImageOps

    if path.suffix == ".svg":
        import resvg_py

        # Sizes in points or centimetres are 0 where no resolution is given.
        png = resvg_py.svg_to_bytes(
            svg_path=str(path), width=4 * size, background="#ffffff", skip_system_fonts=True, dpi=96.0
        )
        image = open_image(io.BytesIO(bytes(png)))
    else:
        image = open_image(path)
    fitted = ImageOps.pad(image.convert("RGB"), (size, size), Image.Resampling.LANCZOS, color="white")
    return np.asarray(fitted).transpose(2, 0, 1)


TASK = Stamps
