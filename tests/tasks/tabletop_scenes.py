"""Scenes of `tabletop` without its renderer: every object is a ball on the table, seen by tracing rays."""

import io
from dataclasses import asdict

import numpy as np

from xkd_bench.tasks import _thermal
from xkd_bench.tasks._blocks import Facts, Planes, serve
from xkd_bench.tasks._tabletop_plan import TABLE_TOP, Plan, plan
from xkd_bench.tasks.tabletop import BLOCKS

STEP, FAR = 1e-4, 5.0
SHAPE = (120, 160)


def balls(what: Plan, shape: tuple[int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Depth in metres and instance: floor and table are planes, far away is a wall."""
    eye = np.array(what.eye)
    rays = _thermal.points(np.ones(shape), what.eye, what.target, what.fov) - eye
    depth, instance = np.full(shape, FAR), np.zeros(shape, np.uint8)

    def nearer(t: np.ndarray, hit: np.ndarray, number: int) -> None:
        hit = hit & (t > 0) & (t < depth)
        depth[hit], instance[hit] = t[hit], number

    down = np.where(rays[:, :, 2] < -1e-9, rays[:, :, 2], -1e-9)
    nearer(-eye[2] / down, rays[:, :, 2] < 0, 0)
    t = (TABLE_TOP - eye[2]) / down
    at = eye + t[:, :, None] * rays
    nearer(t, (np.abs(at[:, :, 0]) < what.half[0]) & (np.abs(at[:, :, 1]) < what.half[1]), 1)
    for i, thing in enumerate(what.things, 2):
        to = np.array([thing.x, thing.y, TABLE_TOP + thing.radius]) - eye
        a, b, c = (rays**2).sum(2), rays @ to, to @ to - thing.radius**2
        root = b**2 - a * c
        nearer((b - np.sqrt(np.maximum(root, 0))) / a, root > 0, i)
    return depth, instance


def scene(number: int) -> tuple[Planes, Facts]:
    """What a block keeps: the colours are those of the instances' numbers."""
    what = plan(number)
    depth, instance = balls(what)
    planes = {
        "rgb": np.stack([instance * 20, 255 - instance, instance % 2 * 255], 2).astype(np.uint8),
        "depth": np.rint(depth / STEP).astype(np.uint16),
        "instance": instance,
    }
    return planes, {"plan": asdict(what), "step": STEP, "renderer": "balls"}


def write(scenes: int) -> None:
    """As `prepare` would, into the cache in use."""
    BLOCKS.folder.mkdir(parents=True, exist_ok=True)
    for first, file in enumerate(BLOCKS.files(scenes)):
        serve(scene, io.StringIO(), [str(file), str(first * BLOCKS.size), str(BLOCKS.size)])


def seen(number: int, shape: tuple[int, int] = SHAPE) -> _thermal.Seen:
    """What the thermal simulation is told of a scene."""
    what = plan(number)
    depth, instance = balls(what, shape)
    return _thermal.Seen(
        points=_thermal.points(depth, what.eye, what.target, what.fov),
        instance=instance,
        spots=np.array([(thing.x, thing.y, thing.radius) for thing in what.things]),
        top=TABLE_TOP,
        hour=what.hour,
        towards_sun=what.towards_light,
    )
