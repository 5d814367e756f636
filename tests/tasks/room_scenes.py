"""Scenes of `rooms` without its renderer: every piece of furniture is its box, seen by tracing rays."""

import io
from dataclasses import asdict

import numpy as np

from xkd_bench.tasks._blocks import Facts, Planes, serve
from xkd_bench.tasks._rooms_layout import box_of
from xkd_bench.tasks._rooms_models import CLASSES, models
from xkd_bench.tasks._rooms_plan import Plan, plan
from xkd_bench.tasks._rooms_render import CEILING, FIRST, FLOOR, STEP, WALL
from xkd_bench.tasks.rooms import BLOCKS

SHAPE = (120, 160)
OPENING = CLASSES.index("opening")


def rays(what: Plan, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """[h, w, 3] of each pixel's middle, one metre along the optical axis."""
    eye, target = np.array(what.eye), np.array(what.target)
    ahead = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(ahead, (0, 0, 1))
    right /= np.linalg.norm(right)
    half = np.tan(np.radians(what.fov) / 2)
    height, width = shape
    x = ((np.arange(width) + 0.5) / width * 2 - 1) * half
    y = (1 - (np.arange(height) + 0.5) / height * 2) * half * height / width
    return ahead + x[None, :, None] * right + y[:, None, None] * np.cross(right, ahead)


def shell(what: Plan, ways: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Depth and instance of the empty room, without openings."""
    eye = np.array(what.eye)
    low = np.array([-what.width / 2, -what.depth / 2, 0])
    high = np.array([what.width / 2, what.depth / 2, what.height])
    with np.errstate(divide="ignore"):
        t = np.maximum((low - eye) / ways, (high - eye) / ways)
    side = t.argmin(2)
    vertical = np.where(ways[:, :, 2] < 0, FLOOR, CEILING)
    return t.min(2), np.where(side == 2, vertical, WALL).astype(np.uint8)


def boxes(what: Plan, shape: tuple[int, int] = SHAPE) -> tuple[np.ndarray, np.ndarray]:
    """Depth in metres and instance; a corner of each picture shows nothing."""
    ways, eye = rays(what, shape), np.array(what.eye)
    depth, instance = shell(what, ways)
    for i, thing in enumerate(what.things, FIRST):
        box = box_of(models()[thing.model], thing)
        low, high = np.array([box.x0, box.y0, box.z0]), np.array([box.x1, box.y1, box.z1])
        with np.errstate(divide="ignore"):
            near, far = (low - eye) / ways, (high - eye) / ways
        enter, leave = np.minimum(near, far).max(2), np.maximum(near, far).min(2)
        hit = (enter < leave) & (enter > 0) & (enter < depth)
        depth[hit], instance[hit] = enter[hit], i
    instance[:3, :3] = 0
    return depth, instance


def scene(number: int) -> tuple[Planes, Facts]:
    """What a block keeps: the colours are those of the instances' numbers."""
    what = plan(number)
    depth, instance = boxes(what)
    planes = {
        "rgb": np.stack([instance * 5, 255 - instance, instance % 2 * 255], 2).astype(np.uint8),
        "depth": np.rint(depth / STEP).astype(np.uint16),
        "instance": instance,
    }
    return planes, {"plan": asdict(what), "step": STEP, "renderer": "boxes"}


def write(scenes: int) -> None:
    """As `prepare` would, into the cache in use."""
    BLOCKS.folder.mkdir(parents=True, exist_ok=True)
    for first, file in enumerate(BLOCKS.files(scenes)):
        serve(scene, io.StringIO(), [str(file), str(first * BLOCKS.size), str(BLOCKS.size)])
