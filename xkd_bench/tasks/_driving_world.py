"""TORCS' tracks and cars out of Debian's torcs-data, as triangles with classes and instances. Draws nothing.

An instance is what has one temperature in `driving:thermal`: an object (a tree, a house, a sign, a car), or all that is
paved or overgrown with one texture (the grass of a track).
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._driving_classes import CLASSES, class_of
from xkd_bench.tasks._driving_course import Course, number, read_course, read_params, section
from xkd_bench.tasks._driving_models import Part, read_model
from xkd_bench.tasks._packages import Package, unpacked
from xkd_bench.tasks._planes import IGNORE

_HOME = "usr/share/games/torcs"
TORCS = Package(
    "apt-get",
    "torcs-data",
    "1.3.7+dfsg-5",
    sha256="33a170ec9db8bdf7e33cb07b96b9854d5ef9e47b1f82705e4c24d6caaf13fb99",
    size=333_308_448,
    licence="GPL-2+ (TORCS), Free Art Licence (most tracks and cars)",
    files=(
        *(f"{_HOME}/tracks/*.{kind}" for kind in ("ac", "acc", "xml", "rgb", "png")),
        *(f"{_HOME}/cars/*.{kind}" for kind in ("acc", "xml", "rgb")),
        f"{_HOME}/data/textures/*",
    ),
)
_STUFF = frozenset(("road", "curb", "ground", "sand"))
_LANE = re.compile(r"(tk|xk)mn", re.IGNORECASE)
_SPLIT = re.compile(r"(_s_|__split__)\w*$", re.IGNORECASE)
"""What TORCS' tools append to the name of an object that they cut in pieces."""
_TYRE = (0.06, 0.06, 0.065)
_SPOKES = 16

Triangles = NDArray[np.float32]


@dataclass(frozen=True)
class Mesh:
    """All triangles of one texture (None: `colour`).

    corners: [n, 9] x, y, z, u, v, normal, instance; three a triangle.
    """

    texture: Path | None
    colour: tuple[float, float, float]
    corners: Triangles


@dataclass(frozen=True)
class World:
    """A track. label: [instances] class of each instance (IGNORE: not scored); the first is the sky."""

    meshes: tuple[Mesh, ...]
    label: NDArray[np.uint8]
    course: Course
    road: "Road"


class Road:
    """Heights of a lane's triangles [n, 3, 3]."""

    def __init__(self, triangles: Triangles) -> None:
        self.corners = triangles.astype(np.float64)
        self.low, self.high = self.corners[:, :, :2].min(1), self.corners[:, :, :2].max(1)

    def height(self, x: float, y: float, near: float | None = None) -> float | None:
        """Metres at a place; of several (a bridge) the lowest, or the one next to `near`. None beside the lane."""
        over = ((self.low <= (x, y)) & (self.high >= (x, y))).all(1)
        a, b, c = np.moveaxis(self.corners[over], 1, 0)
        area = _cross(b - a, c - a)
        flat = np.abs(area) < 1e-9
        area = np.where(flat, 1.0, area)
        p = np.array((x, y, 0.0))
        second, third = _cross(p - a, c - a) / area, _cross(b - a, p - a) / area
        inside = ~flat & (second >= -1e-6) & (third >= -1e-6) & (second + third <= 1 + 1e-6)
        if not inside.any():
            return None
        found = (a[:, 2] + second * (b - a)[:, 2] + third * (c - a)[:, 2])[inside]
        return float(found.min() if near is None else found[np.abs(found - near).argmin()])

    def least(self) -> tuple[float, float]:
        """The least x and the least y."""
        x, y = self.low.min(0).tolist()
        return x, y


def _cross(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def home() -> Path:
    """The folder with TORCS' data. Raises UsageError where it is not fetched."""
    folder = unpacked(TORCS)
    if folder is None:
        raise UsageError(f"{TORCS} is not here: xkd-bench data prepare driving")
    return folder / _HOME


def read_world(root: Path, track: str) -> World:
    """A track by its name, such as `road/spring`."""
    folder, name = root / "tracks" / track, track.rpartition("/")[2]
    file = next(file for ending in ("acc", "ac") if (file := folder / f"{name}.{ending}").exists() or ending == "ac")
    parts = [part for part in read_model(file) if len(part.triangles)]
    lane = [part.triangles[:, :, :3] for part in parts if _LANE.match(part.name)]
    if not lane:
        raise UsageError(f"'{file}' has no lane")
    road = Road(np.concatenate(lane))
    instances, label = instances_of(parts)
    meshes = merged(zip(parts, instances, strict=True), (folder, root / "data" / "textures"))
    return World(meshes, label, read_course(folder / f"{name}.xml").moved(*road.least()), road)


def instances_of(parts: Iterable[Part]) -> tuple[list[int], NDArray[np.uint8]]:
    """The instance of each part, from 1, and the class of each instance, the sky's first."""
    numbers: dict[tuple[str | None, str], int] = {}
    found, label = [], [CLASSES.index("sky")]
    for part in parts:
        kind = class_of(part.texture, part.name)
        key = (kind, part.texture if kind in _STUFF else _SPLIT.sub("", part.name))
        if key not in numbers:
            numbers[key] = len(label)
            label.append(IGNORE if kind is None else CLASSES.index(kind))
        found.append(numbers[key])
    return found, np.array(label, np.uint8)


def read_car(root: Path, name: str) -> tuple[tuple[Mesh, ...], float]:
    """A car, its wheels on z = 0 and facing x; and about how far it reaches to each side. Its instance is 0."""
    folder = root / "cars" / name
    params = read_params((folder / f"{name}.xml").read_text("latin-1"))
    body = read_model(folder / f"{name}.acc")
    corners = np.concatenate([part.triangles for part in body])
    ride = number(section(params, "Front Right Wheel"), "ride height", 0.1)
    up = np.array((0, 0, ride, 0, 0), np.float32)
    lifted = [Part(part.name, part.texture, part.colour, part.triangles + up) for part in body]
    wheels = []
    for axle in ("Front", "Rear"):
        x = number(section(params, f"{axle} Axle"), "xpos")
        for side in ("Right", "Left"):
            wheel = section(params, f"{axle} {side} Wheel")
            wide = number(wheel, "tire width")
            radius = number(wheel, "rim diameter") / 2 + wide * number(wheel, "tire height-width ratio")
            wheels.append(Part("wheel", "", _TYRE, cylinder((x, number(wheel, "ypos"), radius), radius, wide)))
    meshes = merged(((part, 0) for part in (*lifted, *wheels)), (folder, root / "data" / "textures"))
    return meshes, float(np.abs(corners[:, :, :2]).max())


def cylinder(middle: tuple[float, float, float], radius: float, wide: float) -> Triangles:
    """[n, 3, 5] triangles of a wheel whose axis is y."""
    angle = np.linspace(0, 2 * math.pi, _SPOKES + 1)
    rim = np.stack([radius * np.cos(angle), 0 * angle, radius * np.sin(angle)], 1)
    half = np.array([(0, wide / 2, 0)])
    near, far = rim - half, rim + half
    discs = [
        np.stack([np.repeat(hub, _SPOKES, 0), side[:-1], side[1:]], 1) for side, hub in ((near, -half), (far, half))
    ]
    tread = [np.stack([near[:-1], far[:-1], far[1:]], 1), np.stack([near[:-1], far[1:], near[1:]], 1)]
    points = np.concatenate([*discs, *tread]) + middle
    return np.concatenate([points, np.zeros((len(points), 3, 2))], 2).astype(np.float32)


def merged(parts: Iterable[tuple[Part, int]], folders: tuple[Path, ...]) -> tuple[Mesh, ...]:
    """A mesh for each texture (first found in `folders`), or colour where there is none."""
    found: dict[tuple[Path | None, tuple[float, float, float]], list[Triangles]] = defaultdict(list)
    for part, instance in parts:
        texture = _texture(part.texture, folders)
        found[texture, (1.0, 1.0, 1.0) if texture else part.colour].append(_corners(part.triangles, instance))
    return tuple(Mesh(texture, colour, np.concatenate(corners)) for (texture, colour), corners in found.items())


def _texture(name: str, folders: tuple[Path, ...]) -> Path | None:
    """A name of the model; no path."""
    if not name or "/" in name or "\\" in name:
        return None
    return next((file for folder in folders if (file := folder / name).is_file()), None)


def _corners(triangles: Triangles, instance: int) -> Triangles:
    """[3 n, 9] with the normal of each triangle."""
    p = triangles[:, :, :3]
    normal = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    rest = np.concatenate([normal, np.full((len(p), 1), instance, np.float32)], 1)
    return np.concatenate([triangles, np.repeat(rest[:, None], 3, 1)], 2).reshape(-1, 9).astype(np.float32)
