"""Where the camera and the cars of a view of `driving` stand on a track's mesh, and what rays the camera casts."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._driving_plan import Pose, View, camera, cars
from xkd_bench.tasks._driving_world import World
from xkd_bench.tasks._tabletop_plan import Point

HEIGHT, WIDTH = 120, 160
NEAR, FAR = 0.3, 3000.0
"""Of the camera's frustum, metres."""
_TILT = 1.5
"""Metres to each side of a car where the road's height is taken, to stand it on its slope."""

Matrix = NDArray[np.float64]


def viewpoint(view: View, here: World) -> tuple[Point, Point]:
    """The camera's eye, and the point that it looks at."""
    stand, goal = camera(view, here.course)
    ground = _ground(here, stand)
    ahead = here.road.height(goal.x, goal.y, ground)
    return (
        (stand.x, stand.y, ground + view.height),
        (goal.x, goal.y, (ground if ahead is None else ahead) + view.lift),
    )


def _ground(here: World, at: Pose) -> float:
    """The road's height at a place; of the middle of the course near by, where the mesh has a hole."""
    height = here.road.height(at.x, at.y)
    if height is None:
        near = np.hypot(*(here.course.middle - (at.x, at.y)).T).argsort(kind="stable")[:50]
        found = [here.road.height(x, y) for x, y in here.course.middle[near].tolist()]
        height = next((h for h in found if h is not None), 0.0)
    return height


def placed(view: View, here: World) -> list[Matrix]:
    """[4, 4] of each car: where it stands and faces, tilted as the road is there."""
    out = []
    at = _ground(here, camera(view, here.course)[0])
    for pose in cars(view, here.course):
        found = here.road.height(pose.x, pose.y, at)
        z = at if found is None else found
        ahead = np.array((math.cos(pose.heading), math.sin(pose.heading), 0.0))
        left = np.array((-ahead[1], ahead[0], 0.0))
        for way in (ahead, left):
            x, y = (_TILT * way[:2]).tolist()
            high, low = (here.road.height(pose.x + s * x, pose.y + s * y, z) for s in (1, -1))
            if high is not None and low is not None:
                way[2] = np.clip((high - low) / (2 * _TILT), -0.5, 0.5)
        matrix = np.eye(4)
        matrix[:3, 0] = unit(ahead)
        matrix[:3, 2] = unit(np.cross(ahead, left))
        matrix[:3, 1] = np.cross(matrix[:3, 2], matrix[:3, 0])
        matrix[:3, 3] = pose.x, pose.y, z
        out.append(matrix)
    return out


def matrices(eye: Point, target: Point, fov: float) -> tuple[Matrix, Matrix]:
    """[4, 4] of the camera (it looks along its -z) and of its lens, as OpenGL has them; fov from top to bottom, °."""
    axes = axes_of(eye, target)
    facing, lens = np.eye(4), np.zeros((4, 4))
    facing[:3, :3] = axes
    facing[:3, 3] = -axes @ np.array(eye)
    size = 1 / math.tan(math.radians(fov) / 2)
    lens[0, 0], lens[1, 1] = size * HEIGHT / WIDTH, size
    lens[2, 2:] = (FAR + NEAR) / (NEAR - FAR), 2 * FAR * NEAR / (NEAR - FAR)
    lens[3, 2] = -1
    return facing, lens


def axes_of(eye: Point, target: Point) -> Matrix:
    """[3, 3] rows: right, up, backwards."""
    back = unit(np.subtract(eye, target))
    right = unit(np.cross((0, 0, 1), back))
    return np.stack([right, np.cross(back, right), back])


def unit(way: NDArray[Any]) -> NDArray[np.float64]:
    return way / np.linalg.norm(way)


def rays(eye: Point, target: Point, fov: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """[h, w, 3] from the eye through the middle of each pixel, as long as reaches 1 m along the optical axis."""
    height, width = shape
    right, up, back = axes_of(eye, target)
    half = math.tan(math.radians(fov) / 2)
    x = ((np.arange(width) + 0.5) / width * 2 - 1) * half * width / height
    y = (1 - (np.arange(height) + 0.5) / height * 2) * half
    return -back + x[None, :, None] * right + y[:, None, None] * up


def sky(view: View, eye: Point, target: Point, shape: tuple[int, int]) -> NDArray[np.float64]:
    """[h, w, 3] 0 to 1: from the horizon's colour to the zenith's."""
    ray = rays(eye, target, view.fov, shape)
    up = np.clip(ray[:, :, 2] / np.linalg.norm(ray, axis=2), 0, 1)[:, :, None] ** 0.5
    zenith, horizon = np.array(view.sky)
    return view.light * (horizon + up * (zenith - horizon))
