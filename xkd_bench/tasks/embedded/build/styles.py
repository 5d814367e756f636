"""The drawing styles: where each designer's drawings of the concepts stand in the registry packages."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from fontTools.pens.boundsPen import BoundsPen
from fontTools.pens.svgPathPen import SVGPathPen
from fontTools.pens.transformPen import TransformPen
from fontTools.ttLib import TTFont

from .concepts import Concept, code_of, kebab
from .names import FXEMOJI
from .svg import minify


@dataclass(frozen=True)
class Style:
    """Drawings of one designer: view box (square, in the drawing's units) and SVG bodies by concept code."""

    name: str
    licence: str
    box: tuple[float, float, float, float]
    drawings: dict[str, str]


def icon_set(name: str, folder: Path, licence: str, digits: int, concepts: dict[str, Concept]) -> Style:
    """A style of the iconify collection. Icons wider or taller than the set's box are centred in it."""
    data = json.loads((folder / "icons.json").read_text("utf8"))
    side = data.get("height", 16)
    drawings = {}
    for code, icon in _codes(folder, data, concepts).items():
        entry = data["icons"][icon]
        width, height = entry.get("width", data.get("width", side)), entry.get("height", side)
        body = minify(entry["body"], digits + (max(width, height) < side / 3))  # a small box needs finer steps
        if (width, height) != (side, side):
            scale = side / max(width, height)
            shift = f"translate({(side - width * scale) / 2:.5g} {(side - height * scale) / 2:.5g})"
            body = f'<g transform="{shift} scale({scale:.5g})">{body}</g>'
        drawings[code] = body
    return Style(name, licence, (0, 0, side, side), drawings)


def _codes(folder: Path, data: dict, concepts: dict[str, Concept]) -> dict[str, str]:
    """Icon name by concept code: from the set's own table where it has one, else by the concept's name."""
    if "fxemoji" in folder.name:
        return FXEMOJI
    aliases = {name: entry["parent"] for name, entry in data.get("aliases", {}).items() if set(entry) == {"parent"}}
    table = json.loads((folder / "chars.json").read_text("utf8"))
    if table:
        codes = {code_of(code): aliases.get(name, name) for code, name in table.items()}
        return {code: name for code, name in codes.items() if code in concepts and name in data["icons"]}
    return _by_name(folder.parent, list(data["icons"]), aliases, concepts)


def _by_name(root: Path, icons: list[str], aliases: dict[str, str], concepts: dict[str, Concept]) -> dict[str, str]:
    """Concept code to icon: by the concept's label, or by the name that a set with a table gives it.

    An alias counts only where its icon has no concept of its own: `cricket` is also an alias of the game.
    """
    codes = {kebab(concept.label): code for code, concept in concepts.items()}
    for other in ("noto", "twemoji", "fluent-emoji-flat"):
        codes = _other_names(next(root.glob(f"iconify-json-{other}-[0-9]*"))) | codes
    codes["up-text-button"] = "1F199"
    # Where two icons claim a concept, the one that bears its label wins.
    own = sorted(
        (i for i in icons if codes.get(i) in concepts), key=lambda i: (kebab(concepts[codes[i]].label) == i, i)
    )
    found = {codes[icon]: icon for icon in own}
    for alias, icon in aliases.items():
        if codes.get(alias) in concepts and icon in icons and icon not in own:
            found.setdefault(codes[alias], icon)
    return found


def _other_names(folder: Path) -> dict[str, str]:
    """Code by icon name and alias in a set that has a table of codes."""
    data = json.loads((folder / "icons.json").read_text("utf8"))
    table = json.loads((folder / "chars.json").read_text("utf8"))
    names = {icon: code_of(code) for code, icon in table.items()}
    for alias, entry in data.get("aliases", {}).items():
        if set(entry) == {"parent"} and entry["parent"] in names:
            names.setdefault(alias, names[entry["parent"]])
    return names


def font(name: str, files: list[Path], licence: str, concepts: dict[str, Concept], cell: int = 0) -> Style:
    """Glyph outlines of a font, centred in a box of 1,000 units, filling it but for small marks.

    cell: side in pixels of a bitmap font; its glyphs keep their pixel grid in a box of `cell` units.
    """
    drawings: dict[str, str] = {}
    for file in files:
        ttf = TTFont(file)
        table = ttf.getBestCmap()
        for code in concepts:
            if "-" not in code and int(code, 16) in table and code not in drawings:
                path = _outline(ttf, table[int(code, 16)], cell)
                if path:
                    drawings[code] = f'<path d="{path}"/>'
    side = cell or 1000
    return Style(name, licence, (0, 0, side, side), drawings)


def _outline(ttf: TTFont, glyph_name: str, cell: int) -> str:
    glyphs = ttf.getGlyphSet()
    bounds = BoundsPen(glyphs)
    glyphs[glyph_name].draw(bounds)
    if bounds.bounds is None:
        return ""
    left, bottom, right, top = bounds.bounds
    em = ttf["head"].unitsPerEm
    if cell:
        unit = em / cell
        side, target = em, cell
        # Whole pixels: the bitmap's grid must not be smeared over two.
        x = round((cell - (right - left) / unit) // 2) - left / unit
        y = round((cell - (top - bottom) / unit) // 2) + top / unit
    else:
        side, target = max(right - left, top - bottom, 0.5 * em) / 0.92, 1000
        x = target / 2 - (left + right) / 2 * target / side
        y = target / 2 + (bottom + top) / 2 * target / side
    pen = SVGPathPen(glyphs, ntos=lambda v: f"{v:.6g}")
    glyphs[glyph_name].draw(TransformPen(pen, (target / side, 0, 0, -target / side, x, y)))
    body = minify(f'<path d="{pen.getCommands()}"/>', 0)
    match = re.search(r'd="([^"]*)"', body)
    return match.group(1) if match else ""
