"""The course of a TORCS track: where its middle runs, from the segments that its XML file lists.

A track is a chain of straights and bends; a bend whose radius changes is a chain of arcs. TORCS' track generator moves
the whole, lane and what lies beside it, to positive coordinates; so a course is laid on its mesh by the least x and y
of the lane: all 38 tracks then agree along their whole length, most within a centimetre. Heights are the mesh's.

Source: TORCS' track format, version 4, and its generator's arithmetic of bends [CODE]. The files name entities of other
files (surfaces, objects), which are left out.
"""

import math
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_STEP = 2.0
"""Metres between points of the middle line, at most."""
_LONGEST = 100_000.0
_SIDES = {"lft": 1, "rgt": -1}
_UNITS = {
    None: 1.0, "": 1.0, "m": 1.0, "mm": 1e-3, "km": 1e3, "in": 0.0254, "ft": 0.3048, "feet": 0.3048, "%": 0.01,
    "rad": 1.0, "deg": math.pi / 180,
}  # fmt: skip

Floats = NDArray[np.float64]


class CourseError(ValueError):
    """Says what is wrong with a file."""


@dataclass(frozen=True)
class Course:
    """A closed course, from the start line once round.

    middle: [n, 2] metres; heading: [n] radians, continuous; along: [n] metres from the start line.
    """

    middle: Floats
    heading: Floats
    along: Floats
    width: float

    @property
    def length(self) -> float:
        """Metres."""
        return float(self.along[-1])

    def place(self, along: float, side: float) -> tuple[float, float, float]:
        """x, y and heading, `along` metres from the start line (any number of rounds) and `side` metres to the left."""
        turns, at = divmod(along, self.length)
        x, y, heading = (float(np.interp(at, self.along, line)) for line in (*self.middle.T, self.heading))
        heading += turns * float(self.heading[-1] - self.heading[0])
        return x - side * math.sin(heading), y + side * math.cos(heading), heading

    def moved(self, x: float, y: float) -> "Course":
        """So that the least x and y of the lane's edges are these."""
        left = np.stack([-np.sin(self.heading), np.cos(self.heading)], 1) * self.width / 2
        least = np.minimum(self.middle + left, self.middle - left).min(0)
        return replace(self, middle=self.middle - least + (x, y))


def read_course(path: Path) -> Course:
    """Raises CourseError with the file's name; OSError where it cannot be read."""
    try:
        return parse(path.read_text("latin-1"))
    except CourseError as error:
        raise CourseError(f"'{path}': {error}") from None


def parse(text: str) -> Course:
    """The course that a track's XML describes, where its start line is the origin."""
    main = _section(read_params(text), "Main Track")
    segments = _section(main, "Track Segments", "segments")
    width, step = number(main, "width"), number(main, "profil steps length", 0.0)
    pen = _Pen()
    for segment in segments.findall("section"):
        if _word(segment, "type") == "str":
            pen.straight(_positive(number(segment, "lg"), "lg"))
        else:
            _bend(pen, segment, step)
    pen.mark()
    return Course(np.array(pen.points), np.array(pen.headings), np.array(pen.alongs), _positive(width, "width"))


def _bend(pen: "_Pen", segment: ET.Element, step: float) -> None:
    """Arcs of equal length, whose radius goes from one to the other; each turns as much as its share of the bend."""
    kind = _word(segment, "type")
    if kind not in _SIDES:
        raise CourseError(f"a segment's type is '{kind}', and must be str, lft or rgt")
    first, arc = _positive(number(segment, "radius"), "radius"), _positive(number(segment, "arc"), "arc")
    last = _positive(number(segment, "end radius", first), "end radius")
    length = (first + last) / 2 * arc
    step = number(segment, "profil steps length", step)
    n = round(number(segment, "profil steps", 1.0))
    if n <= 1:
        n = int(length / step) + 1 if step > 0 else 1
    if not (length < _LONGEST and 1 <= n < _LONGEST):
        raise CourseError("a bend is longer than any")
    radii = first + (last - first) / max(n - 1, 1) * np.arange(n)
    share = (1 / radii) / (1 / radii).sum()
    for radius, angle in zip(radii.tolist(), (arc * share).tolist(), strict=True):
        pen.arc(_SIDES[kind] * angle, radius)


class _Pen:
    """Draws the middle line."""

    def __init__(self) -> None:
        self.x, self.y, self.heading, self.along = 0.0, 0.0, 0.0, 0.0
        self.points: list[tuple[float, float]] = []
        self.headings: list[float] = []
        self.alongs: list[float] = []

    def mark(self) -> None:
        self.points.append((self.x, self.y))
        self.headings.append(self.heading)
        self.alongs.append(self.along)

    def straight(self, length: float) -> None:
        if length > _LONGEST:
            raise CourseError("a straight is longer than any")
        n = math.ceil(length / _STEP)
        for _ in range(n):
            self.mark()
            self.x += length / n * math.cos(self.heading)
            self.y += length / n * math.sin(self.heading)
            self.along += length / n

    def arc(self, angle: float, radius: float) -> None:
        """Chords of a circle's arc: their ends lie on it."""
        n = math.ceil(abs(angle) * radius / _STEP)
        turn = angle / n
        chord = 2 * radius * math.sin(abs(turn) / 2)
        for _ in range(n):
            self.mark()
            self.x += chord * math.cos(self.heading + turn / 2)
            self.y += chord * math.sin(self.heading + turn / 2)
            self.heading += turn
            self.along += radius * abs(turn)


def read_params(text: str) -> ET.Element:
    """The root of one of TORCS' XML files, without its document type and without entities that it does not bring."""
    text = re.sub(r"<\?xml[^>]*\?>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<!DOCTYPE[^\[>]*(\[[^\]]*\])?\s*>", "", text)
    text = re.sub(r"&(?!(?:amp|lt|gt|quot|apos|#\w+);)[^;\s]*;", "", text)
    try:
        return ET.fromstring(text.strip())
    except ET.ParseError as error:
        raise CourseError(f"no XML ({error})") from None


def number(section: ET.Element, name: str, default: float | None = None) -> float:
    """A number of a section in metres or radians."""
    for entry in section.findall("attnum"):
        if entry.get("name") == name:
            try:
                value = float(entry.get("val", "")) * _UNITS[entry.get("unit")]
            except (ValueError, KeyError):
                value = math.nan
            if not math.isfinite(value):
                raise CourseError(f"{name} is '{entry.get('val')}' in '{entry.get('unit')}', and must be a number")
            return value
    if default is None:
        raise CourseError(f"section '{section.get('name')}' has no {name}")
    return default


def _section(root: ET.Element, *names: str) -> ET.Element:
    for section in root.findall("section"):
        if section.get("name") in names:
            return section
    raise CourseError(f"it has no section '{names[0]}'")


def section(root: ET.Element, name: str) -> ET.Element:
    """The section of this name right below; raises CourseError without one."""
    return _section(root, name)


def _word(section: ET.Element, name: str) -> str:
    return next((entry.get("val", "") for entry in section.findall("attstr") if entry.get("name") == name), "")


def _positive(value: float, name: str) -> float:
    if value <= 0:
        raise CourseError(f"{name} is {value:g}, and must be more than 0")
    return value
