"""What is in each scene of `rooms`, drawn by its number: a room, its furniture, lights and camera. Renders nothing."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from pydantic import TypeAdapter

from xkd_bench.tasks._rooms_furnish import furnish
from xkd_bench.tasks._rooms_layout import Box, Piece, Space, Thing
from xkd_bench.tasks._rooms_models import HOUSES, Model, houses
from xkd_bench.tasks._splits import generator

Colour = tuple[float, float, float]
"""Red, green, blue, 0 to 1, of linear light."""
Point = tuple[float, float, float]
"""Metres; z is up."""

ROOMS = {"bedroom": 6, "living room": 5, "dining room": 2, "kitchen": 3, "bathroom": 2, "office": 3}
"""Sorts of rooms, and how many there are of each, relatively."""
_SIDES = {"bathroom": ((2.2, 3.2), (2.4, 3.6)), "kitchen": ((2.8, 4.2), (3.0, 4.6))}
_USUAL = ((3.2, 4.8), (3.4, 5.4))
_NEAR = 3
"""The wall that the camera stands at."""


@dataclass(frozen=True)
class Surface:
    """pattern: plain, tiles, planks, stripes or fleece; size: metres of one of its parts."""

    pattern: str
    colours: tuple[Colour, Colour]
    size: float
    roughness: float


@dataclass(frozen=True)
class Opening:
    """A hole in a wall (0: far, 1: left, 2: right), with the door or window that fills it.

    offset: of its middle from the wall's, to the right. low, high: its lower and upper side. thing: its place in
    `Plan.things`.
    """

    wall: int
    offset: float
    width: float
    low: float
    high: float
    thing: int


@dataclass(frozen=True)
class Lamp:
    """A square that shines down; power in W."""

    at: Point
    size: float
    power: float
    colour: Colour


@dataclass(frozen=True)
class Plan:
    """A scene. house: of `houses()`; width, depth, height: of the room; sky: colour and strength of the daylight.

    fov: degrees from side to side.
    """

    number: int
    house: int
    room: str
    width: float
    depth: float
    height: float
    floor: Surface
    walls: Surface
    rug: tuple[float, float, float, float] | None
    rug_surface: Surface
    openings: tuple[Opening, ...]
    things: tuple[Thing, ...]
    sky: Colour
    daylight: float
    lamps: tuple[Lamp, ...]
    eye: Point
    target: Point
    fov: float


def read_plan(facts: object) -> Plan:
    """A plan out of JSON that was made of its `asdict`."""
    return _plans().validate_python(facts)


@cache
def _plans() -> TypeAdapter[Plan]:
    return TypeAdapter(Plan)


def plan(number: int) -> Plan:
    """The scene of this number: always the same, whatever other scenes there are. Houses take turns."""
    rng = generator(number, "rooms")
    room = _sort(number)
    wide, deep = _SIDES.get(room, _USUAL)
    space = Space(rng.uniform(*wide), rng.uniform(*deep), rng.uniform(2.4, 2.8), rng)
    house = houses()[number % HOUSES]
    eye, target = _camera(rng, space)
    openings = _openings(space, house)
    rug = furnish(room, space, house)
    daylight = rng.uniform(2.0, 7.0) if rng.random() < 0.75 else rng.uniform(0.02, 0.2)
    return Plan(
        number=number,
        house=number % HOUSES,
        room=room,
        width=space.width,
        depth=space.depth,
        height=space.height,
        floor=_floor(rng, room),
        walls=_walls(rng, room),
        rug=rug,
        rug_surface=Surface(
            "fleece" if rng.random() < 0.5 else "stripes", (_colour(rng, 0.1), _colour(rng, 0.1)), 0.2, 1
        ),
        openings=openings,
        things=tuple(space.things),
        sky=(rng.uniform(0.5, 0.8), rng.uniform(0.7, 0.9), 1.0),
        daylight=daylight,
        lamps=_lamps(rng, space, daylight),
        eye=eye,
        target=target,
        fov=rng.uniform(58, 72),
    )


def _sort(number: int) -> str:
    """Of the room: spread evenly over the scenes of each house, by the golden ratio, so that a few have all sorts."""
    place = (number // HOUSES * 0.6180339887 + number % HOUSES / HOUSES) % 1 * sum(ROOMS.values())
    for room, share in ROOMS.items():
        place -= share
        if place < 0:
            return room
    raise AssertionError("shares sum to their sum")


def _camera(rng: np.random.Generator, space: Space) -> tuple[Point, Point]:
    """At eye height before the near wall, looking across the room; what would stand in its way is kept out."""
    x = rng.uniform(-1, 1) * (space.width / 2 - 0.4)
    y = -space.depth / 2 + rng.uniform(0.15, 0.4)
    eye = (x, y, rng.uniform(1.25, 1.65))
    across = -0.55 * x + rng.uniform(-0.12, 0.12) * space.width
    target = (across, rng.uniform(0.1, 0.4) * space.depth, rng.uniform(0.6, 1.25))
    ahead = (across - x) / (target[1] - y)
    for near, far, half in ((-0.4, 0.5, 0.4), (0.5, 1.0, 0.45)):
        middle = x + ahead * (near + far) / 2
        space.kept.append(Box(middle - half, middle + half, y + near, y + far, 0.0, space.height))
    return eye, target


def _openings(space: Space, house: dict[str, tuple[Model, ...]]) -> tuple[Opening, ...]:
    """A window, sometimes two, and at most a door, in the three walls that are seen; what opens has room before it."""
    rng = space.rng
    kinds = ["window"] * (1 + int(rng.random() < 0.3)) + ["door"] * int(rng.random() < 0.55)
    found: list[Opening] = []
    for kind in kinds:
        choice = [model for model in house[kind] if model.elevation + model.height < space.height - 0.05]
        if not choice:
            continue
        model = choice[int(rng.integers(len(choice)))]
        for _ in range(8):
            wall = int(rng.integers(3))
            reach = space.wall(wall)[1] / 2 - model.width / 2 - 0.15
            if reach < 0 or any(hole.wall == wall for hole in found):
                continue
            offset = rng.uniform(-reach, reach)
            piece = Piece(model, offset, 0.03 - model.depth / 2, model.elevation)
            thing = space.wall(wall)[0].at(piece)
            space.things.append(thing)
            low = model.elevation if model.elevation > 0.3 else 0.0
            high = model.elevation + model.height
            found.append(Opening(wall, offset, model.width, model.elevation, high, len(space.things) - 1))
            space.keep(wall, offset, model.width, low, 0.7 if kind == "door" else 0.1)
            break
    return tuple(found)


def _lamps(rng: np.random.Generator, space: Space, daylight: float) -> tuple[Lamp, ...]:
    """One at the ceiling (weak by day, as the window is a light too), and a smaller one elsewhere."""
    warm = rng.uniform(0, 1)
    colour = (1.0, 1 - 0.2 * warm, 1 - 0.45 * warm)
    area = space.width * space.depth
    high = space.height - 0.02
    first = Lamp(
        (rng.uniform(-0.2, 0.2) * space.width, rng.uniform(-0.3, 0.2) * space.depth, high),
        rng.uniform(0.5, 1.4),
        area * rng.uniform(3.0, 6.0),
        colour,
    )
    x, y = (rng.uniform(-0.45, 0.45) * side for side in (space.width, space.depth))
    return first, Lamp((x, y, high), 0.3, area * rng.uniform(0.5, 1.5), colour)


def _colour(rng: np.random.Generator, darkest: float) -> Colour:
    r, g, b = (float(value) for value in rng.uniform(darkest, 0.85, 3))
    return r, g, b


def _shade(rng: np.random.Generator, colour: Colour, least: float, most: float) -> Colour:
    by = rng.uniform(least, most)
    r, g, b = (min(0.9, by * c) for c in colour)
    return r, g, b


def _floor(rng: np.random.Generator, room: str) -> Surface:
    """Tiles in kitchens and baths, else planks of browns and greys, or a carpet."""
    if room in ("kitchen", "bathroom") and rng.random() < 0.8:
        first = _shade(rng, (1.0, rng.uniform(0.85, 1), rng.uniform(0.7, 1)), 0.15, 0.75)
        return Surface("tiles", (first, _shade(rng, first, 0.8, 1.2)), rng.uniform(0.2, 0.6), rng.uniform(0.3, 0.6))
    if rng.random() < 0.6:
        first = _shade(rng, (0.75, rng.uniform(0.4, 0.6), rng.uniform(0.18, 0.45)), 0.25, 1.0)
        return Surface("planks", (first, _shade(rng, first, 0.6, 0.95)), rng.uniform(0.07, 0.2), rng.uniform(0.3, 0.7))
    first = _colour(rng, 0.08)
    return Surface("fleece", (first, _shade(rng, first, 0.5, 0.9)), rng.uniform(0.02, 0.08), 1.0)


def _walls(rng: np.random.Generator, room: str) -> Surface:
    """Painted in light colours, sometimes papered; tiles in baths."""
    first = _colour(rng, 0.45)
    second = _shade(rng, first, 0.7, 1.1)
    if room == "bathroom" and rng.random() < 0.6:
        return Surface("tiles", (first, second), rng.uniform(0.1, 0.35), 0.4)
    pattern = "plain" if rng.random() < 0.7 else "stripes"
    return Surface(pattern, (first, second), rng.uniform(0.06, 0.3), 0.85)
