"""The fourteen drawing styles of the task `emoji`: where each one's drawings are, its licence, and whom it is kin to.

Ten styles come with this package, as vectors. Four are fetched: OpenMoji is under a share-alike licence and not shipped
for that; the two Fluent styles with shading are large.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from xkd_bench.tasks._cache import Array, sha256
from xkd_bench.tasks._drawings import drawn
from xkd_bench.tasks._embedded import Concept, Style, archive
from xkd_bench.tasks._packages import Package
from xkd_bench.tasks._pictures import pictures
from xkd_bench.tasks._rasterise import renderer
from xkd_bench.tasks.embedded.build.concepts import code_of, kebab

OPENMOJI = Package(
    "npm",
    "openmoji",
    "17.0.0",
    sha256="55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68",
    size=4_339_458,
    licence="CC-BY-SA-4.0",
    files=("color/svg/*.svg", "black/svg/*.svg", "LICENSE.txt"),
)
FLUENT_3D = Package(
    "npm",
    "@lobehub/fluent-emoji-3d",
    "1.1.0",
    sha256="c1bb7eee7de090205a232518a9ab4adb3df458bfbe8a1f78232991194c8b2e58",
    size=15_792_027,
    licence="MIT",
    files=("assets/*.webp",),
)
FLUENT_COLOR = Package(
    "npm",
    "@iconify-json/fluent-emoji",
    "1.2.7",
    sha256="8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
    size=14_323_330,
    licence="MIT",
    files=("icons.json", "info.json"),
)
_FLUENT_NAMES = {
    "1F917": "hugging-face",
    "1F621": "pouting-face",
    "1F471": "person-blonde-hair",
    "1F46F": "person-with-bunny-ears",
    "1F53A": "red-triangle",
}
"""Icons that do not bear the label of their concept."""

Folder = Callable[[Package], Path]
"""Where a package's files are; raises UsageError if it has not been fetched."""


@dataclass(frozen=True)
class Drawing:
    """A style. shipped: its name among those shipped, or "". package, inside: else where it is in which package.

    family: styles of one family descend from each other, so that what is measured on them is not independent evidence:
    the Fluent styles are near-copies; EmojiOne's monotone set, OpenMoji's line set and Noto's font are drawn after the
    colour set of that name; noto-v1 is an earlier design of Noto's house.
    """

    name: str
    colour: bool
    licence: str
    family: str = ""
    shipped: str = ""
    package: Package | None = None
    inside: str = ""

    @property
    def words(self) -> str:
        return f"{self.name} {'colour' if self.colour else 'line'} drawings"


STYLES = {
    style.name: style
    for style in (
        Drawing("openmoji-color", True, "CC-BY-SA-4.0", "openmoji", package=OPENMOJI, inside="color/svg"),
        Drawing("openmoji-line", False, "CC-BY-SA-4.0", "openmoji", package=OPENMOJI, inside="black/svg"),
        Drawing("fluent-3d", True, "MIT", "fluent", package=FLUENT_3D, inside="assets"),
        Drawing("fluent-color", True, "MIT", "fluent", package=FLUENT_COLOR, inside="icons.json"),
        Drawing("fluent-flat", True, "MIT", "fluent", shipped="fluent-flat"),
        Drawing("fluent-hc", False, "MIT", "fluent", shipped="fluent-line"),
        Drawing("noto", True, "Apache-2.0", "noto", shipped="noto"),
        Drawing("noto-v1", True, "Apache-2.0", "noto", shipped="noto-v1"),
        Drawing("twemoji", True, "CC-BY-4.0", shipped="twemoji"),
        Drawing("emojione-v2", True, "CC-BY-4.0", "emojione", shipped="emojione-v2"),
        Drawing("emojione-mono", False, "CC-BY-4.0", "emojione", shipped="emojione-line"),
        Drawing("notoemoji-font", False, "OFL-1.1", "noto", shipped="noto-line"),
        Drawing("symbola", False, "free for any use", shipped="symbola"),
        Drawing("unifont16", False, "OFL-1.1", shipped="unifont"),
    )
}


def pixels(
    style: Drawing, concepts: Sequence[Concept], size: int, colour: bool, folder: Folder, add: Callable[[int], None]
) -> tuple[Array, str]:
    """The drawing of each concept, [n, 3 or 1, size, size] uint8 on white, and its sha256; from the cache if there.

    colour: three channels, also of a line drawing. add: told how many were drawn, as it goes.
    """
    codes = [concept.code for concept in concepts]
    if style.package is FLUENT_3D:
        root = folder(FLUENT_3D) / style.inside
        files = _by_code(root, ".webp")
        return pictures("emoji-fluent-3d", root, [files[code] for code in codes], size, False, add)
    root = folder(style.package) / style.inside if style.package else Path()
    made_of = style.package.sha256 if style.package else archive().digest
    shape = (len(codes), 3 if colour else 1, size, size)
    key = sha256(made_of, renderer(), style.name, codes, shape)
    return drawn(f"emoji-{style.name}", key, lambda: _documents(style, concepts, root), shape, add)


def _documents(style: Drawing, concepts: Sequence[Concept], root: Path) -> list[str]:
    if style.package is OPENMOJI:
        files = _by_code(root, ".svg")
        return [(root / files[concept.code]).read_text("utf8") for concept in concepts]
    if style.package is FLUENT_COLOR:
        return _icons(root, [_FLUENT_NAMES.get(concept.code, kebab(concept.label)) for concept in concepts])
    shipped = {found.name: found for found in (*archive().colour, *archive().line)}[style.shipped]
    return [shipped.svg(concept.code) for concept in concepts]


def _by_code(root: Path, ending: str) -> dict[str, str]:
    """File names by code, where they are hexcodes."""
    return {code_of(file.stem): file.name for file in sorted(root.iterdir()) if file.suffix == ending}


def _icons(file: Path, names: Sequence[str]) -> list[str]:
    """SVG documents of an iconify set, each icon in the middle of a square."""
    data = json.loads(file.read_text("utf8"))
    out = []
    for name in names:
        icon = data["icons"][name]
        width, height = (icon.get(key, data[key]) for key in ("width", "height"))
        side = max(width, height)
        box = ((width - side) / 2, (height - side) / 2, side, side)
        out.append(Style(name, "", box, {name: icon["body"]}).svg(name))
    return out
