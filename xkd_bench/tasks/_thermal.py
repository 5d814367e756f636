"""A simulated thermal picture of a rendered scene. Every number here is invented; no camera was modelled after.

Each instance (floor and walls, the table, every object) has a temperature of its own, drawn without regard to its
class: it started warmer or colder than the air and has been cooling or warming since (`cooled`). So temperature alone
says nothing of the class. On top of that there are, in each instance, what physics would add and shape decides: objects
touch the table and trade heat with it, the sun warms what faces it, the optics blur, the sensor has noise.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._tabletop_plan import Point, daylight

VERSION = 1
COLDEST, STEP = 5.0, 0.15
"""A picture's 0 and one grey level, °C: 255 is 43.25 °C."""
_REACH = 0.03
"""Metres in which the trade of heat between an object and the table falls to 1/e."""
_SHARED, _SUN = 0.5, 6.0
"""Share of the difference that is traded where they touch; °C between facing the sun at noon and not."""

Image = NDArray[np.float64]


@dataclass(frozen=True)
class Seen:
    """What of a scene the simulation knows. Neither classes nor names.

    points: [h, w, 3] where each pixel's surface is, metres, z up. instance: [h, w] 0 the room, 1 the table, then
    objects. spots: [objects, 3] x, y and radius of what each covers of the table. top: the table's height. hour: of
    the day. towards_sun: of length 1.
    """

    points: Image
    instance: NDArray[np.uint8]
    spots: Image
    top: float
    hour: float
    towards_sun: Point


def picture(seen: Seen, rng: np.random.Generator) -> NDArray[np.uint8]:
    """[h, w, 1] grey levels of `STEP` from `COLDEST`, as an uncooled camera might give them."""
    celsius = sensed(surface(seen, rng), rng)
    return np.clip(np.rint((celsius - COLDEST) / STEP), 0, 255).astype(np.uint8)[:, :, None]


def surface(seen: Seen, rng: np.random.Generator) -> Image:
    """[h, w] °C of the surfaces."""
    own = temperatures(2 + len(seen.spots), air(seen.hour, rng), rng)
    celsius = own[seen.instance]
    celsius += _traded(seen, own)
    lit = _SUN * daylight(seen.hour) * rng.uniform(0.3, 1, len(own))
    return celsius + lit[seen.instance] * facing(seen.points, seen.instance, seen.towards_sun)


def air(hour: float, rng: np.random.Generator) -> float:
    """°C at an hour: warmest at 15 o'clock."""
    return float(rng.uniform(14, 26) + 4 * math.cos(2 * math.pi * (hour - 15) / 24))


def temperatures(n: int, air: float, rng: np.random.Generator) -> Image:
    """[n] °C of n instances, independent of each other and alike in law."""
    start = air + rng.uniform(-10, 15, n)
    minutes, tau = rng.uniform(0, 30, n), np.exp(rng.uniform(math.log(10), math.log(60), n))
    return cooled(start, air, minutes, tau)


def cooled(start: Image, air: float, minutes: Image, tau: Image) -> Image:
    """Newton's law of cooling: the difference to the air falls to 1/e in `tau` minutes."""
    return air + (start - air) * np.exp(-minutes / tau)


def _traded(seen: Seen, own: Image) -> Image:
    """[h, w] what contact adds: objects near the table's temperature at their foot, the table near theirs around it."""
    height = np.maximum(seen.points[:, :, 2] - seen.top, 0)
    objects = seen.instance >= 2
    out = np.where(objects, _SHARED * (own[1] - own[seen.instance]) * np.exp(-height / _REACH), 0.0)
    table = seen.instance == 1
    at = seen.points[table][:, :2]
    for (x, y, radius), warmth in zip(seen.spots, own[2:], strict=True):
        away = np.maximum(np.hypot(at[:, 0] - x, at[:, 1] - y) - radius, 0)
        out[table] += _SHARED * (warmth - own[1]) * np.exp(-away / _REACH)
    return out


def facing(points: Image, instance: NDArray[np.integer[Any]], towards: Point) -> Image:
    """[h, w] cosine between a surface and a direction (0 where it is turned away), less its instance's mean.

    Less the mean, since an instance's temperature is its own: a table does not become warm by being flat. Slopes are
    taken within an instance alone.
    """
    across, along = _slope(points, instance, 1), _slope(points, instance, 0)
    normal = np.cross(along, across)
    length = np.linalg.norm(normal, axis=2)
    cosine = np.clip(normal @ np.asarray(towards) / np.maximum(length, 1e-12), 0, 1)
    known = length > 0
    total = np.bincount(instance[known], cosine[known], minlength=256)
    mean = total / np.maximum(np.bincount(instance[known], minlength=256), 1)
    return np.where(known, cosine - mean[instance], 0.0)


def _slope(points: Image, instance: NDArray[np.integer[Any]], axis: int) -> Image:
    """[h, w, 3] to the next pixel, or from the one before where that is of another instance; 0 without either."""
    after = np.roll(points, -1, axis) - points
    same = np.roll(instance, -1, axis) == instance
    edge = [slice(None)] * 2
    edge[axis] = slice(-1, None)
    same[tuple(edge)] = False
    before, back = np.roll(after, 1, axis), np.roll(same, 1, axis)
    return np.where(same[:, :, None], after, np.where(back[:, :, None], before, 0.0))


def sensed(celsius: Image, rng: np.random.Generator) -> Image:
    """Blurred by the optics (0.6 to 1.1 pixels), with noise of each pixel (0.15 °C) and of each column (0.1 °C)."""
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(celsius, rng.uniform(0.6, 1.1))
    return blurred + rng.normal(0, 0.15, celsius.shape) + rng.normal(0, 0.1, celsius.shape[1])


def points(depth: Image, eye: Point, target: Point, fov: float) -> Image:
    """[h, w, 3] world coordinates of a depth image [h, w] (metres along the optical axis); fov from top to bottom, °.

    Pixels are sampled where the renderer samples them: at their left edge, and at their lower edge.
    """
    height, width = depth.shape
    ahead = np.subtract(target, eye) / np.linalg.norm(np.subtract(target, eye))
    right = np.cross(ahead, (0, 0, 1))
    right /= np.linalg.norm(right)
    up = np.cross(right, ahead)
    half = math.tan(math.radians(fov) / 2)
    x = (2 * np.arange(width) / width - 1) * half * width / height
    y = (1 - 2 * (np.arange(height) + 1) / height) * half
    rays = ahead + x[None, :, None] * right + y[:, None, None] * up
    return np.asarray(eye) + depth[:, :, None] * rays
