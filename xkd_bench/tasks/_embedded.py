"""The drawings and sketches shipped with the package, read once."""

import hashlib
import json
import lzma
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SKETCH_SIDE, SKETCHES_PER_CATEGORY = 28, 100


class Concept(NamedTuple):
    """An emoji of the Unicode standard. `near`: near-duplicates share it. `shared`: drawn in every complete style."""

    code: str
    label: str
    group: str
    subgroup: str
    near: str
    shared: bool


@dataclass(frozen=True)
class Style:
    """Drawings of one designer: the view box of all, and the inside of the <svg> element by concept code."""

    name: str
    licence: str
    box: tuple[float, float, float, float]
    drawings: dict[str, str]

    def svg(self, code: str) -> str:
        """The drawing of a concept as a whole SVG document."""
        left, top, width, height = self.box
        return (
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
            f'viewBox="{left} {top} {width} {height}">{self.drawings[code]}</svg>'
        )


@dataclass(frozen=True)
class Archive:
    """All that is shipped but the sketches. digest: sha256 of the file it came from."""

    concepts: tuple[Concept, ...]
    categories: dict[str, str]
    same_subject: tuple[tuple[str, ...], ...]
    colour: tuple[Style, ...]
    line: tuple[Style, ...]
    digest: str


def _bytes(name: str) -> bytes:
    return (files("xkd_bench.tasks") / "embedded" / name).read_bytes()


@cache
def archive() -> Archive:
    """Concepts, sketch categories (with the code of their emoji) and the colour and line styles."""
    packed = _bytes("drawings.json.xz")
    raw = json.loads(lzma.decompress(packed))
    return Archive(
        concepts=tuple(Concept(*row) for row in raw["concepts"]),
        categories=raw["categories"],
        same_subject=tuple(tuple(names) for names in raw["same_subject"]),
        colour=tuple(_style(style) for style in raw["colour"]),
        line=tuple(_style(style) for style in raw["line"]),
        digest=hashlib.sha256(packed).hexdigest(),
    )


def _style(raw: dict) -> Style:
    return Style(raw["name"], raw["licence"], tuple(raw["box"]), raw["drawings"])


def sketches() -> NDArray[np.bool_]:
    """[categories, 100, 28, 28] where there is ink; categories in the order of their names."""
    bits = np.frombuffer(lzma.decompress(_bytes("sketches.xz")), np.uint8)
    shape = (-1, SKETCHES_PER_CATEGORY, SKETCH_SIDE, SKETCH_SIDE)
    return np.unpackbits(bits, bitorder="little").astype(bool).reshape(shape)
