"""Scenes of `tabletop` rendered by pybullet's software renderer: colour, depth in metres, and which object is where.

Run as a command (`python -m`), it is a worker of `_blocks`: pybullet keeps one world a process.
"""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._blocks import Facts, Planes, serve
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks._tabletop_plan import KINDS, TABLE_TOP, Colour, Plan, Surface, Thing, plan

HEIGHT, WIDTH = 120, 160
NEAR, FAR = 0.05, 8.0
"""Of the camera's frustum, metres."""
STEP = 1e-4
"""Metres that depth is kept in: 16 bits reach 6.55 m, and no room is that long."""
_WALL, _LEG, _THICK, _HIGH = 0.1, 0.05, 0.04, 2.5
_TEXTURE = 128


@contextmanager
def renderer() -> Iterator["Renderer"]:
    """The process's world, without a window."""
    import pybullet
    import pybullet_data

    client = pybullet.connect(pybullet.DIRECT)
    try:
        with TemporaryDirectory() as scratch:
            yield Renderer(pybullet, Path(pybullet_data.getDataPath()), Path(scratch))
    finally:
        pybullet.disconnect(client)


class Renderer:
    """Builds one scene after another."""

    def __init__(self, bullet: Any, models: Path, scratch: Path) -> None:
        self.bullet, self.models, self.scratch = bullet, models, scratch

    def render(self, scene: Plan) -> Planes:
        """rgb: [h, w, 3]; depth: [h, w] uint16, along the optical axis, in `STEP`s; instance: [h, w] uint8.

        An instance is 0 (floor and walls), 1 (the table), or 2 and more: the scene's objects in their order.
        """
        bullet = self.bullet
        bullet.resetSimulation()
        instance = dict.fromkeys(self._room(scene), 0) | dict.fromkeys(self._table(scene), 1)
        instance |= {self._thing(thing): i for i, thing in enumerate(scene.things, 2)}
        _, _, pixels, depth, body = bullet.getCameraImage(
            *(WIDTH, HEIGHT, bullet.computeViewMatrix(scene.eye, scene.target, (0, 0, 1))),
            bullet.computeProjectionMatrixFOV(scene.fov, WIDTH / HEIGHT, NEAR, FAR),
            lightDirection=scene.towards_light, lightColor=scene.light, lightDistance=2, shadow=1,
            lightAmbientCoeff=scene.ambient, lightDiffuseCoeff=scene.diffuse, lightSpecularCoeff=0.15 * scene.diffuse,
            renderer=bullet.ER_TINY_RENDERER,
        )  # fmt: skip
        table = np.zeros(max(instance) + 2, np.uint8)  # the last, -1, is where nothing is: seen as the room
        table[list(instance)] = list(instance.values())
        steps = np.minimum(np.rint(metres(np.asarray(depth)) / STEP), 65535)
        return {
            "rgb": np.asarray(pixels, np.uint8).reshape(HEIGHT, WIDTH, 4)[:, :, :3],
            "depth": steps.astype(np.uint16).reshape(HEIGHT, WIDTH),
            "instance": table[np.asarray(body).reshape(HEIGHT, WIDTH)],
        }

    def _room(self, scene: Plan) -> list[int]:
        r = scene.room
        floor = self._box((-r, -r, -_WALL), (r, r, 0), (1, 1, 1), scene.floor)
        sides = (
            ((-r - _WALL, -r), (-r, r)),
            ((r, -r), (r + _WALL, r)),
            ((-r, -r - _WALL), (r, -r)),
            ((-r, r), (r, r + _WALL)),
        )
        return [floor, *(self._box((*low, 0), (*high, _HIGH), scene.walls) for low, high in sides)]

    def _table(self, scene: Plan) -> list[int]:
        x, y = scene.half
        under = TABLE_TOP - _THICK
        top = self._box((-x, -y, under), (x, y, TABLE_TOP), (1, 1, 1), scene.table)
        corners = [(sx * (x - _LEG), sy * (y - _LEG)) for sx in (-1, 1) for sy in (-1, 1)]
        half = _LEG / 2
        colour = scene.table.colours[0]
        legs = [self._box((a - half, b - half, 0), (a + half, b + half, under), colour) for a, b in corners]
        return [top, *legs]

    def _box(
        self, low: tuple[float, ...], high: tuple[float, ...], colour: Colour, surface: Surface | None = None
    ) -> int:
        bullet = self.bullet
        half = [(b - a) / 2 for a, b in zip(low, high, strict=True)]
        middle = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        shape = bullet.createVisualShape(bullet.GEOM_BOX, halfExtents=half, rgbaColor=(*colour, 1))
        body: int = bullet.createMultiBody(0, -1, shape, middle)
        if surface is not None:
            bullet.changeVisualShape(body, -1, textureUniqueId=self._texture(surface))
        return body

    def _texture(self, surface: Surface) -> int:
        from PIL import Image

        path = self.scratch / f"{surface.seed}.png"
        Image.fromarray(pattern(surface)).save(path)
        found: int = self.bullet.loadTexture(str(path))
        path.unlink()
        return found

    def _thing(self, thing: Thing) -> int:
        """Stands on the table, its middle over (x, y)."""
        bullet = self.bullet
        roll, pitch = (math.radians(angle) for angle in thing.pose)
        turn = bullet.getQuaternionFromEuler((roll, pitch, 0))
        turn = bullet.multiplyTransforms((0, 0, 0), bullet.getQuaternionFromEuler((0, 0, thing.yaw)), (0, 0, 0), turn)[
            1
        ]
        model = KINDS[thing.kind].models[thing.model]
        body = self._model(model.file, thing.size / model.extent, turn)
        links = range(-1, bullet.getNumJoints(body))
        bounds = np.array([bullet.getAABB(body, link) for link in links])
        low, high = bounds[:, 0].min(0), bounds[:, 1].max(0)
        at, facing = bullet.getBasePositionAndOrientation(body)
        shift = np.array([thing.x, thing.y, TABLE_TOP]) - [*(low + high)[:2] / 2, low[2]]
        bullet.resetBasePositionAndOrientation(body, (np.array(at) + shift).tolist(), facing)
        for joint, angle in zip(range(bullet.getNumJoints(body)), thing.bend, strict=False):
            if bullet.getJointInfo(body, joint)[2] == bullet.JOINT_REVOLUTE:
                bullet.resetJointState(body, joint, angle)
        self._paint(body, thing)
        return body

    def _model(self, file: str, scale: float, turn: tuple[float, ...]) -> int:
        bullet, path = self.bullet, str(self.models / file)
        if file.endswith(".urdf"):
            body: int = bullet.loadURDF(path, (0, 0, 0), turn, useFixedBase=True, globalScaling=scale)
            return body
        shown = bullet.createVisualShape(bullet.GEOM_MESH, fileName=path, meshScale=[scale] * 3)
        solid = bullet.createCollisionShape(bullet.GEOM_MESH, fileName=path, meshScale=[scale] * 3)
        body = bullet.createMultiBody(0, solid, shown, (0, 0, 0), turn)
        return int(body)

    def _paint(self, body: int, thing: Thing) -> None:
        """A robot's or a car's links get shades of its colour."""
        if thing.surface is not None:
            self.bullet.changeVisualShape(
                body, -1, textureUniqueId=self._texture(thing.surface), rgbaColor=(1, 1, 1, 1)
            )
        elif thing.colour is not None:
            for link in range(-1, self.bullet.getNumJoints(body)):
                shade = (1.0, 0.7, 0.85)[(link + 1) % 3]
                self.bullet.changeVisualShape(body, link, rgbaColor=(*(shade * c for c in thing.colour), 1))


def metres(buffer: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Distance along the optical axis of what a depth buffer holds: z = f n / (f - (f - n) d) [OpenGL's projection]."""
    return FAR * NEAR / (FAR - (FAR - NEAR) * buffer.astype(np.float64))


def pattern(surface: Surface) -> NDArray[np.uint8]:
    """[128, 128, 3]: two colours mixed by a pattern."""
    y, x = np.mgrid[:_TEXTURE, :_TEXTURE] / _TEXTURE * surface.repeats
    if surface.pattern == "plain":
        mix = np.zeros_like(x)
    elif surface.pattern == "checks":
        mix = (x.astype(int) + y.astype(int)) % 2.0
    elif surface.pattern == "stripes":
        mix = (x % 1 < 0.5).astype(float)
    else:
        cloud = _cloud(generator(surface.seed, "pattern"), 8 if surface.pattern == "marble" else 4)
        mix = cloud if surface.pattern == "marble" else 0.5 + 0.5 * np.sin(2 * np.pi * (x + 1.5 * cloud))
    first, second = np.array(surface.colours)
    return np.rint(255 * (first + mix[:, :, None] * (second - first))).astype(np.uint8)


def _cloud(rng: np.random.Generator, cells: int) -> NDArray[np.float64]:
    """[128, 128] from 0 to 1: noise of three scales, linear between its points."""
    total = np.zeros((_TEXTURE, _TEXTURE))
    for octave in range(3):
        n = cells << octave
        at = np.linspace(0, n, _TEXTURE, endpoint=False)
        grid, i, f = rng.random((n + 1, n + 1)), at.astype(int), at % 1
        rows = grid[i] * (1 - f)[:, None] + grid[i + 1] * f[:, None]
        total += 0.5**octave * (rows[:, i] * (1 - f) + rows[:, i + 1] * f)
    return (total - total.min()) / np.ptp(total)


def scene(world: Renderer, number: int) -> tuple[Planes, Facts]:
    """What a block keeps of a scene."""
    what = plan(number)
    return world.render(what), {"plan": asdict(what), "step": STEP, "renderer": f"pybullet {version('pybullet')}"}


if __name__ == "__main__":
    # The renderer prints to the standard output of the process: what the parent reads is kept apart from that.
    with os.fdopen(os.dup(1), "w") as told:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        with renderer() as world:
            serve(lambda number: scene(world, number), told)
