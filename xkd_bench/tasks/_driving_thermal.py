"""A simulated thermal picture of a view of `driving`. Every number here is invented; no camera was modelled after.

As in `tabletop`'s (`_thermal`), each instance has a temperature of its own, drawn without regard to its class: each
car, tree, house and sign, the sky, and all that one texture paves or overgrows. So temperature alone says nothing of
the class. On top of that there is what shape decides: cars trade heat with the road under them, the sun warms what
faces it, the optics blur, the sensor has noise.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks import _thermal
from xkd_bench.tasks._tabletop_plan import Point, daylight
from xkd_bench.tasks._thermal import Image

VERSION = 1
_SHARED = 0.5
"""Share of the difference that a car and the road trade where they touch."""
_UP, _ASIDE = 0.25, 0.6
"""Metres in which that falls to 1/e: up the car, and along the road."""
_SUN = 6.0
"""°C between facing the sun at noon and not."""


@dataclass(frozen=True)
class Seen:
    """What of a view the simulation knows. Neither classes nor names.

    points: [h, w, 3] where each pixel's surface is, metres, z up. instance: [h, w] 0 the sky. cars: [n, 5] instance,
    x, y, z of its wheels, and metres that it reaches to each side. hour: of the day. towards_sun: of length 1.
    """

    points: Image
    instance: NDArray[np.integer[Any]]
    cars: Image
    hour: float
    towards_sun: Point


def picture(seen: Seen, rng: np.random.Generator) -> NDArray[np.uint8]:
    """[h, w, 1] grey levels of `_thermal.STEP` from `_thermal.COLDEST`."""
    celsius = _thermal.sensed(surface(seen, rng), rng)
    levels = np.rint((celsius - _thermal.COLDEST) / _thermal.STEP)
    return np.clip(levels, 0, 255).astype(np.uint8)[:, :, None]


def surface(seen: Seen, rng: np.random.Generator) -> Image:
    """[h, w] °C of the surfaces."""
    instances = 1 + int(max([seen.instance.max(), *seen.cars[:, 0]]))
    own = _thermal.temperatures(instances, _thermal.air(seen.hour, rng), rng)
    celsius = own[seen.instance] + traded(seen, own)
    lit = _SUN * daylight(seen.hour) * rng.uniform(0.3, 1, len(own))
    lit[0] = 0.0
    return celsius + lit[seen.instance] * _thermal.facing(seen.points, seen.instance, seen.towards_sun)


def traded(seen: Seen, own: Image) -> Image:
    """[h, w] what contact adds: a car's foot nears the temperature of what surrounds it, and that the car's.

    What surrounds a car is the instance that most pixels within a car's length show, at the height of its wheels.
    """
    out = np.zeros(seen.instance.shape)
    for number, x, y, z, reach in seen.cars:
        mine = seen.instance == number
        height = seen.points[:, :, 2] - z
        away = np.hypot(seen.points[:, :, 0] - x, seen.points[:, :, 1] - y)
        ground = ~mine & (seen.instance > 0) & (np.abs(height) < _UP) & (away < 2 * reach)
        if not ground.any():
            continue
        road = int(np.bincount(seen.instance[ground]).argmax())
        share = _SHARED * np.exp(-np.maximum(height, 0) / _UP)
        out[mine] += (own[road] - own[int(number)]) * share[mine]
        flat = ground & (seen.instance == road)
        out[flat] += _SHARED * (own[int(number)] - own[road]) * np.exp(-np.maximum(away - reach / 2, 0) / _ASIDE)[flat]
    return out
