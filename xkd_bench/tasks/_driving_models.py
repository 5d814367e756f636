"""Meshes of TORCS: text files of the AC3D format as its tools write them (`.ac`, `.acc`), read without trust.

AC3Db                          then objects one after another; what stands between is passed over
MATERIAL "" rgb 0.6 0.6 0.6 …  the colour of surfaces without a texture, by number
OBJECT poly                    begins an object; TORCS has all of them in world coordinates, y up
name "TKMN12"
texture "road.png" base        the first; `tiled`, `skids` and `shad` are shading
numvert N                      and N lines: x y z, and in `.acc` a normal
SURF 0x14                      lower bits: 0 a polygon, 4 a strip of triangles
mat M
refs N                         and N lines: vertex u v, and in `.acc` more of u v

Source: AC3D's published file format, and TORCS' files themselves [CODE].
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

POLYGON, STRIP = 0, 4
GREY = (0.6, 0.6, 0.6)
_RGB = re.compile(r"\brgb ([\d.]+) ([\d.]+) ([\d.]+)")
_TEXTURE = re.compile(r'"?([^"]*?)"?(?:\s+(\w+))?\s*')
_LARGEST = 1e6
"""Metres: nothing is so far away."""

Floats = NDArray[np.float32]
Colour = tuple[float, float, float]
"""0 to 1."""
Corner = tuple[float, float, float, float, float]
"""x, y, z, u, v."""


class ModelError(ValueError):
    """Says which line of which file is no good, and why."""


@dataclass(frozen=True)
class Part:
    """Surfaces of one object with one texture ("": none) and colour.

    triangles: [n, 3, 5] corners x, y, z (metres, z up) and u, v.
    """

    name: str
    texture: str
    colour: Colour
    triangles: Floats


def read_model(path: Path) -> list[Part]:
    """The parts of a file in its order. Raises ModelError; OSError where it cannot be read."""
    lines = path.read_text("latin-1").split("\n")
    reader = _Reader(lines)
    try:
        return reader.parts()
    except (ValueError, OverflowError) as error:
        said = str(error) if isinstance(error, ModelError) else "it is broken"
        raise ModelError(f"'{path}', line {max(reader.at, 1)}: {said}") from None


class _Reader:
    """Plain lists while reading: files hold tens of thousands of surfaces of a triangle or two."""

    def __init__(self, lines: list[str]) -> None:
        self.lines, self.at = lines, 0
        self.materials: list[Colour] = []
        self.name, self.texture = "", ""
        self.points: list[list[float]] = []
        self.strip, self.material = False, 0

    def parts(self) -> list[Part]:
        if not self.lines[0].startswith("AC3D"):
            raise ModelError("it does not begin with AC3D")
        found: dict[tuple[str, str, Colour], list[Corner]] = {}
        for corners in self._surfaces():
            colour = self.materials[self.material] if 0 <= self.material < len(self.materials) else GREY
            found.setdefault((self.name, self.texture, colour), []).extend(corners)
        return [Part(*key, triangles=np.array(corners, np.float32).reshape(-1, 3, 5)) for key, corners in found.items()]

    def _surfaces(self) -> Iterator[list[Corner]]:
        """Three corners for each triangle of each surface, with the object's state at that place."""
        while self.at < len(self.lines):
            words = self._next().split(maxsplit=1)
            key, rest = (words[0] if words else ""), (words[1] if len(words) > 1 else "")
            if key == "MATERIAL":
                self.materials.append(_colour(rest))
            elif key == "OBJECT":
                self.name, self.texture, self.points = "", "", []
            elif key == "name":
                self.name = rest.strip().strip('"')
            elif key == "texture":
                self._set_texture(rest)
            elif key == "numvert":
                self.points = self._rows(rest)
            elif key == "SURF":
                self._set_kind(rest)
            elif key == "mat":
                self.material = int(rest)
            elif key == "refs":
                yield self._triangles(self._rows(rest))
            elif key in ("loc", "rot"):
                raise ModelError(f"'{key}' moves an object: no file of TORCS does, and this reader does not")

    def _next(self) -> str:
        self.at += 1
        return self.lines[self.at - 1]

    def _set_texture(self, rest: str) -> None:
        said = _TEXTURE.fullmatch(rest)
        if said and said[2] in (None, "base"):
            self.texture = said[1]

    def _set_kind(self, rest: str) -> None:
        kind = int(rest, 16) & 15
        if kind not in (POLYGON, STRIP):
            raise ModelError(f"a surface of kind {kind} is neither a polygon nor a strip of triangles")
        self.strip, self.material = kind == STRIP, 0

    def _rows(self, count: str) -> list[list[float]]:
        """The first three numbers of each of the next lines."""
        n = int(count)
        if not 0 <= n <= len(self.lines) - self.at:
            raise ModelError(f"{n} lines are to follow, and there are {len(self.lines) - self.at}")
        rows = []
        for _ in range(n):
            x, y, z = map(float, self._next().split()[:3])
            if not -_LARGEST < x + y + z < _LARGEST:
                raise ModelError("a number is not finite, or too large")
            rows.append([x, y, z])
        return rows

    def _triangles(self, refs: list[list[float]]) -> list[Corner]:
        """Of a surface's corners (vertex, u, v). A polygon is a fan; of a strip each second triangle is turned over."""
        corners = []
        for vertex, u, v in refs:
            if not 0 <= vertex < len(self.points):
                raise ModelError(f"it refers to vertex {vertex:g} of {len(self.points)}")
            x, y, z = self.points[int(vertex)]
            corners.append((x, -z, y, u, v))
        out: list[Corner] = []
        for i in range(len(corners) - 2):
            if not self.strip:
                out += (corners[0], corners[i + 1], corners[i + 2])
            elif i % 2:
                out += (corners[i + 1], corners[i], corners[i + 2])
            else:
                out += corners[i : i + 3]
        return out


def _colour(rest: str) -> Colour:
    said = _RGB.search(rest)
    if said is None:
        return GREY
    r, g, b = (min(float(value), 1.0) for value in said.groups())
    return r, g, b
