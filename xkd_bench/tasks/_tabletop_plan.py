"""What is in each scene of `tabletop`, drawn by its number: objects, room, light, hour, camera. Renders nothing."""

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from pydantic import TypeAdapter

from xkd_bench.tasks._splits import generator

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 1."""
Point = tuple[float, float, float]
"""Metres; z is up."""

TABLE_TOP = 0.62
_UPRIGHT, _ANY = ((0, 0),), ((0, 0), (90, 0), (-90, 0), (180, 0), (0, 90), (0, -90))
_SHAPES = 1000
_APART = 1.35
"""Of the sum of two radii: so that corners do not meet either."""


@dataclass(frozen=True)
class Model:
    """One of pybullet_data's. extent: its longest side, in its own units; poses: (roll, pitch) that it may lie in."""

    file: str
    extent: float
    poses: tuple[tuple[int, int], ...] = _UPRIGHT


@dataclass(frozen=True)
class Kind:
    """A class of objects. sizes: range of the longest side, metres; share: how often it is drawn, relatively."""

    name: str
    models: tuple[Model, ...]
    sizes: tuple[float, float]
    share: float = 1.0
    textured: bool = False
    """Half of them have a pattern instead of a colour."""
    spread: float = 0.45
    """Metres of table that it takes up to each side, of each metre of its size."""


KINDS = (
    Kind("duck", (Model("duck_vhacd.urdf", 0.09, ((90, 0), (90, 0), (0, 0), (0, 90))),), (0.15, 0.28)),
    Kind("teddy", (Model("teddy_vhacd.urdf", 0.10, ((90, 0), (90, 0), (0, 0), (180, 0))),), (0.18, 0.32), 1.1),
    Kind("bunny", (Model("bunny.obj", 1.98, ((90, 0), (0, 0), (0, 90))),), (0.18, 0.32), 1.1),
    Kind("mug", (Model("objects/mug.urdf", 0.12, ((0, 0), (0, 0), (180, 0), (0, 90))),), (0.14, 0.24), 1.2),
    Kind("brick", (Model("lego/lego.urdf", 0.034, ((0, 0), (0, 0), (180, 0), (90, 0), (0, 90))),), (0.10, 0.20), 1.2),
    Kind("ball", (Model("soccerball.urdf", 1.0, _ANY), Model("sphere2.urdf", 1.0, _ANY)), (0.13, 0.24)),
    Kind("cube", (Model("cube.urdf", 1.0),), (0.10, 0.17), textured=True),
    Kind("tray", (Model("tray/traybox.urdf", 0.60, ((0, 0), (0, 0), (180, 0))),), (0.24, 0.36), 0.7),
    Kind(
        "robot",
        (Model("r2d2.urdf", 0.93), Model("kuka_iiwa/model.urdf", 1.31), Model("xarm/xarm6_robot.urdf", 0.60)),
        (0.28, 0.45),
        1.2,
        spread=0.25,
    ),
    Kind("car", (Model("racecar/racecar.urdf", 0.46), Model("husky/husky.urdf", 1.01)), (0.22, 0.36)),
    Kind(
        "shape",
        tuple(Model(f"random_urdfs/{i:03d}/{i:03d}.urdf", 0.11, _ANY) for i in range(_SHAPES)),
        (0.18, 0.30),
        1.2,
    ),
)
CLASSES = ("room", "table", *(kind.name for kind in KINDS))
PATTERNS = ("plain", "checks", "stripes", "marble", "wood")


@dataclass(frozen=True)
class Surface:
    """Colours of a pattern (`PATTERNS`), and the seed of its details."""

    pattern: str
    colours: tuple[Colour, Colour]
    repeats: int
    seed: int


@dataclass(frozen=True)
class Thing:
    """An object on the table. kind: of `KINDS`; size: its longest side, metres; x, y: of its middle.

    pose: roll and pitch, degrees; yaw, bend: radians (bend: of a robot's joints). colour: None keeps the model's own.
    """

    kind: int
    model: int
    pose: tuple[int, int]
    yaw: float
    bend: tuple[float, ...]
    size: float
    x: float
    y: float
    colour: Colour | None
    surface: Surface | None

    @property
    def radius(self) -> float:
        """Metres of table that it takes up to each side, about."""
        return KINDS[self.kind].spread * self.size

    @property
    def label(self) -> int:
        """Its place in `CLASSES`."""
        return self.kind + 2


@dataclass(frozen=True)
class Plan:
    """A scene. half: half sides of the table; room: of the room; hour: 0 to 24; towards_light: of length 1.

    ambient, diffuse: of the light, relative; fov: degrees from top to bottom.
    """

    number: int
    half: tuple[float, float]
    room: float
    table: Surface
    floor: Surface
    walls: Colour
    hour: float
    towards_light: Point
    light: Colour
    ambient: float
    diffuse: float
    eye: Point
    target: Point
    fov: float
    things: tuple[Thing, ...]


def read_plan(facts: object) -> Plan:
    """A plan out of JSON that was made of its `asdict`."""
    return _plans().validate_python(facts)


@cache
def _plans() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def plan(number: int) -> Plan:
    """The scene of this number: always the same, whatever other scenes there are."""
    rng = generator(number, "tabletop")
    half = (rng.uniform(0.55, 0.8), rng.uniform(0.4, 0.6))
    hour, (ambient, diffuse) = _light(rng)
    eye, target = _camera(rng)
    warm = rng.uniform(0, 1)
    return Plan(
        number=number,
        half=half,
        room=rng.uniform(1.9, 2.6),
        table=_surface(rng),
        floor=_surface(rng),
        walls=_colour(rng, 0.4),
        hour=hour,
        towards_light=_direction(rng.uniform(0, 2 * math.pi), rng.uniform(35, 80)),
        light=(1.0, 1 - 0.15 * warm, 1 - 0.35 * warm),
        ambient=ambient,
        diffuse=diffuse,
        eye=eye,
        target=target,
        fov=rng.uniform(38, 50),
        things=_things(rng, half),
    )


def daylight(hour: float) -> float:
    """0 (from 18 to 6 o'clock) to 1 (noon)."""
    return max(0.0, math.sin(math.pi * (hour - 6) / 12))


def _light(rng: np.random.Generator) -> tuple[float, tuple[float, float]]:
    """Hour, ambient and diffuse light: daylight, and where that is weak in half of all scenes a lamp."""
    hour = rng.uniform(0, 24)
    lamp = rng.uniform(0.5, 0.8) if rng.random() < 0.5 else 0.0
    bright = max(0.3 + 0.7 * daylight(hour), lamp)
    ambient = rng.uniform(0.35, 0.55)
    return hour, (bright * ambient, bright * (1.2 - ambient))


def _camera(rng: np.random.Generator) -> tuple[Point, Point]:
    target = np.array([rng.uniform(-0.12, 0.12), rng.uniform(-0.08, 0.08), TABLE_TOP + 0.04])
    away = np.array(_direction(rng.uniform(0, 2 * math.pi), rng.uniform(18, 60)))
    return _point(target + rng.uniform(0.8, 1.2) * away), _point(target)


def _direction(azimuth: float, degrees: float) -> Point:
    """Of length 1, so many degrees above the horizon."""
    high = math.radians(degrees)
    return (math.cos(azimuth) * math.cos(high), math.sin(azimuth) * math.cos(high), math.sin(high))


def _point(values: np.ndarray) -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _colour(rng: np.random.Generator, darkest: float = 0.15) -> Colour:
    return _point(rng.uniform(darkest, 1, 3))


def _surface(rng: np.random.Generator) -> Surface:
    colours = (_colour(rng, 0.3), _colour(rng, 0.15))
    return Surface(PATTERNS[rng.integers(len(PATTERNS))], colours, int(rng.integers(2, 9)), int(rng.integers(1 << 31)))


def _things(rng: np.random.Generator, half: tuple[float, float]) -> tuple[Thing, ...]:
    """Five to ten objects, none in another (each has a circle to itself); fewer where the table is full."""
    share = np.array([kind.share for kind in KINDS])
    found: list[Thing] = []
    for kind in rng.choice(len(KINDS), rng.integers(5, 11), p=share / share.sum()).tolist():
        thing = _thing(rng, kind)
        room = [side - thing.radius for side in half]
        for _ in range(40):
            x, y = (float(rng.uniform(-side, side)) for side in room)
            if all(math.hypot(x - o.x, y - o.y) > _APART * (thing.radius + o.radius) for o in found):
                found.append(replace(thing, x=x, y=y))
                break
    return tuple(found)


def _thing(rng: np.random.Generator, kind: int) -> Thing:
    """An object of a class, not placed yet: three in five have a colour of their own."""
    what = KINDS[kind]
    number = int(rng.integers(len(what.models)))
    poses = what.models[number].poses
    own, pattern = rng.random() < 0.6, what.textured and rng.random() < 0.5
    return Thing(
        kind=kind,
        model=number,
        pose=poses[int(rng.integers(len(poses)))],
        yaw=rng.uniform(0, 2 * math.pi),
        bend=tuple(rng.uniform(-0.6, 0.6, 8).tolist()) if what.name == "robot" else (),
        size=rng.uniform(*what.sizes),
        x=0.0,
        y=0.0,
        colour=_colour(rng) if own else None,
        surface=_surface(rng) if pattern else None,
    )
