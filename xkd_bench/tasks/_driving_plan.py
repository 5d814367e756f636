"""What is in each view of `driving`, drawn by its number: track, place, camera, hour, haze, cars. Renders nothing."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from pydantic import TypeAdapter

from xkd_bench.tasks._driving_course import Course
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks._tabletop_plan import Colour, Point, daylight

RUN = 16
"""Views of one track in a row: loading a track takes as long as rendering several."""
TRACKS = (
    "dirt/dirt-1", "dirt/dirt-2", "dirt/dirt-3", "dirt/dirt-4", "dirt/dirt-5", "dirt/dirt-6", "dirt/mixed-1",
    "dirt/mixed-2", "oval/a-speedway", "oval/b-speedway", "oval/e-track-5", "oval/michigan", "road/aalborg",
    "road/alpine-1", "road/alpine-2", "road/brondehach", "road/corkscrew", "road/e-track-1", "road/e-track-2",
    "road/e-track-3", "road/e-track-4", "road/e-track-6", "road/eroad", "road/forza", "road/g-track-1",
    "road/g-track-2", "road/g-track-3", "road/ole-road-1", "road/ruudskogen", "road/spring", "road/street-1",
    "road/wheel-1", "road/wheel-2",
)  # fmt: skip
"""Of the 38; c- to g-speedway are b-speedway with another bend: the same textures on 98 % of their triangles."""
KIN = ("dirt-1", "dirt-4", "dirt-5", "dirt-6", "mixed-2", "eroad")
"""Tracks that a split must not part: they share a course, or most of their textures (three triangles of four)."""
CARS = (
    "155-DTM", "acura-nsx-sz", "baja-bug", "buggy", "car1-ow1", "car1-stock1", "car1-stock2", "car1-trb1", "car1-trb3",
    "car2-trb1", "car3-trb1", "car4-trb1", "car5-trb1", "car6-trb1", "car7-trb1", "car8-trb1", "p406",
)  # fmt: skip
_FEWEST, _MOST = 2, 6
_NEAREST, _FARTHEST = 7.0, 45.0
"""Metres along the course from the camera to a car."""
_CAR = (5.2, 2.3)
"""Metres along and across that a car has to itself."""
_WIDEST = 8.0
"""Metres to each side of the middle line that cars use of wide tracks: beyond, they are out of the picture."""


@dataclass(frozen=True)
class Car:
    """model: of `CARS`. ahead: metres along the course from the camera, in the direction of its view. side: of half the
    lane, -1 (right, seen from the camera) to 1. turned: radians away from that direction."""

    model: int
    ahead: float
    side: float
    turned: float


@dataclass(frozen=True)
class View:
    """A picture. along: of the course's length, 0 to 1. way: 1 with the course, -1 against it. side: of half the lane.

    height: metres above the road. ahead: metres along the course to what the camera looks at; lift: of that over the
    road, metres. fov: degrees from top to bottom. hour: 0 to 24. headlights: of the car that carries the camera.
    haze: share of light lost in a kilometre. sky: colours at the zenith and at the horizon by day.
    """

    number: int
    track: str
    along: float
    way: int
    side: float
    height: float
    ahead: float
    lift: float
    fov: float
    hour: float
    headlights: bool
    towards_sun: Point
    ambient: float
    haze: float
    sky: tuple[Colour, Colour]
    cars: tuple[Car, ...]

    @property
    def light(self) -> float:
        """Of the day, 0.12 (night) to 1."""
        return 0.12 + 0.88 * min(1.0, 2 * daylight(self.hour))


def read_view(facts: object) -> View:
    """A view out of JSON that was made of its `asdict`."""
    return _views().validate_python(facts)


@cache
def _views() -> TypeAdapter[View]:
    return TypeAdapter(View)


def track_of(number: int) -> str:
    """The track of a view. All have their turn, in an order without regard to their kind."""
    return _order()[number // RUN % len(TRACKS)]


def family(track: str) -> str:
    """What must stay in one part of a split: the track's name, or that of its kin."""
    name = track.rpartition("/")[2]
    return KIN[0] if name in KIN else name


@cache
def _order() -> tuple[str, ...]:
    return tuple(TRACKS[i] for i in generator(0, "driving tracks").permutation(len(TRACKS)).tolist())


def plan(number: int) -> View:
    """The view of this number: always the same, whatever other views there are."""
    rng = generator(number, "driving")
    side = rng.uniform(-0.6, 0.6)
    return View(
        number=number,
        track=track_of(number),
        along=rng.uniform(0, 1),
        way=1 if rng.random() < 0.75 else -1,
        side=side,
        height=rng.uniform(1.1, 2.4),
        ahead=rng.uniform(12, 25),
        lift=rng.uniform(0.2, 1.6),
        fov=rng.uniform(38, 52),
        hour=rng.uniform(6.5, 17.5) if rng.random() < 0.75 else rng.uniform(18, 30) % 24,
        headlights=rng.random() < 0.75,
        towards_sun=_direction(rng.uniform(0, 2 * math.pi), rng.uniform(20, 75)),
        ambient=rng.uniform(0.35, 0.7),
        haze=1 - math.exp(-rng.choice((0.1, 0.4, 1.5))),
        sky=_sky(rng),
        cars=_cars(rng),
    )


def _direction(azimuth: float, degrees: float) -> Point:
    """Of length 1, so many degrees above the horizon."""
    high = math.radians(degrees)
    return (math.cos(azimuth) * math.cos(high), math.sin(azimuth) * math.cos(high), math.sin(high))


def _sky(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Blue to grey; paler at the horizon, and sometimes warmer."""
    grey, pale, warm = rng.uniform(0, 1), rng.uniform(0.3, 0.8), rng.uniform(0, 0.25)
    zenith = np.array((0.30, 0.50, 0.85)) * (1 - grey) + np.array((0.66, 0.69, 0.74)) * grey
    horizon = zenith + pale * (1 - zenith) * (1, 1 - warm, 1 - 2 * warm)
    return _colour(zenith), _colour(horizon)


def _colour(values: np.ndarray) -> Colour:
    r, g, b = (float(v) for v in np.clip(values, 0, 1))
    return r, g, b


def _cars(rng: np.random.Generator) -> tuple[Car, ...]:
    """Two to six, near more often than far, none in another; most go the camera's way, some stand across the road."""
    found: list[Car] = []
    for _ in range(rng.integers(_FEWEST, _MOST + 1)):
        for _ in range(20):
            ahead = _NEAREST + (_FARTHEST - _NEAREST) * rng.uniform(0, 1) ** 2
            side = rng.uniform(-0.75, 0.75)
            if all(abs(ahead - o.ahead) > _CAR[0] or abs(side - o.side) * _LANE > _CAR[1] for o in found):
                found.append(Car(int(rng.integers(len(CARS))), ahead, side, _turn(rng)))
                break
    return tuple(found)


_LANE = 5.0
"""Metres of half a lane, where cars are kept apart: half of the narrowest track."""


def _turn(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < 0.7:
        return float(rng.normal(0, 0.12))
    return float(math.pi + rng.normal(0, 0.12) if kind < 0.85 else rng.uniform(-math.pi, math.pi))


@dataclass(frozen=True)
class Pose:
    """A place on the ground: x, y (metres) and heading (radians, anticlockwise from x)."""

    x: float
    y: float
    heading: float


def half_lane(course: Course) -> float:
    """Metres to each side of the middle line that are used."""
    return min(course.width / 2, _WIDEST)


def camera(view: View, course: Course) -> tuple[Pose, Pose]:
    """Where the camera stands, and what it looks at."""
    side = view.side * half_lane(course)
    return _on(view, course, 0.0, side), _on(view, course, view.ahead, 0.3 * side)


def cars(view: View, course: Course) -> list[Pose]:
    """Where the view's cars stand, in their order."""
    poses = [_on(view, course, car.ahead, car.side * half_lane(course)) for car in view.cars]
    return [Pose(p.x, p.y, p.heading + car.turned) for p, car in zip(poses, view.cars, strict=True)]


def _on(view: View, course: Course, ahead: float, side: float) -> Pose:
    """So many metres ahead and to the left, as the camera sees it."""
    x, y, heading = course.place(view.along * course.length + view.way * ahead, view.way * side)
    return Pose(x, y, heading if view.way > 0 else heading + math.pi)
