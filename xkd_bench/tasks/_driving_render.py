"""Views of `driving` rendered by OpenGL without a window (EGL): colour, depth in metres, and which instance is where.

Run as a command (`python -m`), it is a worker of `_blocks`. Mesa's software rasteriser does; what OpenGL renders
differs a little between drivers, so a view's facts name the one that rendered it.
"""

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks import _driving_world as world
from xkd_bench.tasks._blocks import Facts, Planes, serve
from xkd_bench.tasks._driving_camera import HEIGHT, WIDTH, Matrix, matrices, placed, sky, unit, viewpoint
from xkd_bench.tasks._driving_classes import CLASSES
from xkd_bench.tasks._driving_plan import CARS, View, plan
from xkd_bench.tasks._tabletop_plan import Point

STEP, FARTHEST = 0.01, 65535
"""Metres that depth is kept in, and the number that stands for the sky and all that 16 bits cannot hold: 655.35 m."""
_FINER = 3
"""Samples to each side of a pixel for its colour; depth and instance are those of the one in its middle."""
_CONTEXT: dict[str, Any] = {"standalone": True, "backend": "egl", "require": 330}
_LARGEST = 512
"""Pixels of a texture's side: more is never seen."""

_VERTEX = """#version 330
uniform mat4 place; uniform mat4 camera; uniform mat4 lens; uniform float first;
in vec3 point; in vec2 uv; in vec3 normal; in float number;
out vec2 at; out vec3 side; out vec3 where; out float depth; flat out float instance;
void main() {
    vec4 here = place * vec4(point, 1);
    vec4 seen = camera * here;
    at = uv; side = mat3(place) * normal; where = here.xyz; depth = -seen.z; instance = first + number;
    gl_Position = lens * seen;
}"""
_FRAGMENT = """#version 330
uniform sampler2D paint; uniform bool painted; uniform vec3 colour; uniform bool solid;
uniform vec3 eye; uniform vec3 ahead; uniform vec3 sun; uniform float ambient; uniform float light; uniform float lamps;
uniform vec3 horizon; uniform float haze;
in vec2 at; in vec3 side; in vec3 where; in float depth; flat in float instance;
layout(location = 0) out vec4 seen; layout(location = 1) out vec2 known;
void main() {
    vec4 base = painted ? texture(paint, at) : vec4(colour, 1);
    if (!solid && base.a < 0.5) discard;
    vec3 ray = normalize(where - eye);
    float away = length(where - eye);
    vec3 up = normalize(side);
    if (dot(up, ray) > 0) up = -up;
    float day = light * (ambient + (1.1 - ambient) * max(dot(up, sun), 0));
    float beam = lamps * pow(max(dot(ray, ahead), 0), 12) / (1 + away * away / 300);
    vec3 lit = base.rgb * (day + beam);
    seen = vec4(mix(horizon, lit, exp(-haze * away)), 1);
    known = vec2(instance, depth);
}"""


@dataclass(frozen=True)
class Drawn:
    """A mesh on the graphics side."""

    array: Any
    texture: Any
    colour: tuple[float, float, float]


@contextmanager
def opengl() -> Iterator[Any]:
    """A context without a window. Raises UsageError with one line that says what to install where there is none."""
    try:
        import moderngl
    except ImportError:
        raise UsageError("task 'driving' needs moderngl to render: pip install 'xkd-bench[driving]'") from None
    try:
        context = moderngl.create_context(**_CONTEXT)
    except Exception as error:  # the binding raises plain Exception, and OSError without the library
        said = str(error).splitlines() or ["no reason given"]
        raise UsageError(
            f"task 'driving' needs EGL and a driver to render: apt-get install libegl1 libgl1-mesa-dri ({said[0]})"
        ) from None
    try:
        yield context
    finally:
        context.release()


class Renderer:
    """Draws one view after another; keeps the last track and all cars. root: the folder with TORCS' data."""

    def __init__(self, context: Any, root: Path) -> None:
        self.context, self.root = context, root
        self.program = context.program(vertex_shader=_VERTEX, fragment_shader=_FRAGMENT)
        size = (WIDTH * _FINER, HEIGHT * _FINER)
        self.seen, self.known = context.texture(size, 4), context.texture(size, 2, dtype="f4")
        self.target = context.framebuffer([self.seen, self.known], context.depth_renderbuffer(size))
        self.name = f"moderngl {version('moderngl')}, {context.info['GL_RENDERER']}"
        self.track: tuple[str, world.World, list[Drawn]] | None = None
        self.car = lru_cache(None)(self._car)

    def render(self, view: View) -> tuple[Planes, Facts]:
        """rgb: [h, w, 3]; depth: [h, w] uint16, along the optical axis, in `STEP`s; instance: [h, w] uint16.

        Instances are numbered anew in each view, 0 the sky; the facts have the class of each (255: not scored), where
        the cars stand, and the camera.
        """
        here, drawn = self._world(view.track)
        eye, target = viewpoint(view, here)
        stands = placed(view, here)
        self.target.use()
        self.target.clear()
        self.context.enable(self.context.DEPTH_TEST)
        self._set(view, eye, target)
        self._draw(drawn, np.eye(4), 0, solid=False)
        for i, (car, matrix) in enumerate(zip(view.cars, stands, strict=True), len(here.label)):
            self._draw(self.car(car.model)[0], matrix, i, solid=True)
        label = np.concatenate([here.label, np.full(len(stands), CLASSES.index("vehicle"), np.uint8)])
        planes, shown = self._read(view, eye, target)
        radius = [self.car(car.model)[1] for car in view.cars]
        at = {len(here.label) + i: [*matrix[:3, 3].tolist(), radius[i]] for i, matrix in enumerate(stands)}
        return planes, {
            "plan": asdict(view),
            "eye": list(eye),
            "target": list(target),
            "step": STEP,
            "label": label[shown].tolist(),
            "cars": [[k, *at[i]] for k, i in enumerate(shown.tolist()) if i in at],
            "renderer": self.name,
        }

    def _world(self, track: str) -> tuple[world.World, list[Drawn]]:
        if self.track is None or self.track[0] != track:
            for old in self.track[2] if self.track else ():
                old.array.release()
                if old.texture:
                    old.texture.release()
            found = world.read_world(self.root, track)
            self.track = (track, found, [self._upload(mesh) for mesh in found.meshes])
        return self.track[1:]

    def _car(self, model: int) -> tuple[list[Drawn], float]:
        meshes, radius = world.read_car(self.root, CARS[model])
        return [self._upload(mesh) for mesh in meshes], radius

    def _upload(self, mesh: world.Mesh) -> Drawn:
        buffer = self.context.buffer(np.ascontiguousarray(mesh.corners, np.float32).tobytes())
        layout = (buffer, "3f 2f 3f 1f", "point", "uv", "normal", "number")
        texture = self._texture(mesh.texture) if mesh.texture else None
        return Drawn(self.context.vertex_array(self.program, [layout]), texture, mesh.colour)

    def _texture(self, file: Path) -> Any:
        """None where it cannot be read: one of TORCS' is of a kind that Pillow lacks."""
        pixels = texels(file)
        if pixels is None:
            return None
        texture = self.context.texture(pixels.shape[1::-1], 4, pixels.tobytes())
        texture.build_mipmaps()
        texture.repeat_x = texture.repeat_y = True
        return texture

    def _set(self, view: View, eye: Point, target: Point) -> None:
        facing, lens = matrices(eye, target, view.fov)
        self.program["camera"].write(facing.T.astype("f4").tobytes())
        self.program["lens"].write(lens.T.astype("f4").tobytes())
        values: dict[str, Any] = {
            "eye": eye, "ahead": unit(np.subtract(target, eye)), "sun": view.towards_sun, "ambient": view.ambient,
            "light": view.light, "lamps": 1.2 * (1 - view.light) * view.headlights,
            "horizon": [view.light * c for c in view.sky[1]], "haze": -math.log(1 - view.haze) / 1000,
        }  # fmt: skip
        for name, value in values.items():
            self.program[name].value = value if isinstance(value, float) else tuple(value)

    def _draw(self, meshes: list[Drawn], place: Matrix, first: int, solid: bool) -> None:
        self.program["place"].write(place.T.astype("f4").tobytes())
        self.program["first"].value, self.program["solid"].value = float(first), solid
        for mesh in meshes:
            self.program["painted"].value = mesh.texture is not None
            if mesh.texture:
                mesh.texture.use(0)
            self.program["colour"].value = mesh.colour
            mesh.array.render()

    def _read(self, view: View, eye: Point, target: Point) -> tuple[Planes, NDArray[np.int64]]:
        """The planes, and the instances of the world that they show, in the order of their numbers in the view."""
        fine = (HEIGHT * _FINER, WIDTH * _FINER)
        seen = np.frombuffer(self.seen.read(), np.uint8).reshape(*fine, 4)[::-1, :, :3].astype(np.float64)
        known = np.frombuffer(self.known.read(), np.float32).reshape(*fine, 2)[::-1]
        behind = known[:, :, 0] == 0
        seen[behind] = 255 * sky(view, eye, target, fine)[behind]
        colour = seen.reshape(HEIGHT, _FINER, WIDTH, _FINER, 3).mean((1, 3))
        middle = known[_FINER // 2 :: _FINER, _FINER // 2 :: _FINER]
        shown, instance = np.unique(np.append(middle[:, :, 0].astype(np.int64), 0), return_inverse=True)
        steps = np.where(middle[:, :, 0] > 0, np.minimum(np.rint(middle[:, :, 1] / STEP), FARTHEST), FARTHEST)
        return {
            "rgb": np.rint(colour).astype(np.uint8),
            "depth": steps.astype(np.uint16),
            "instance": instance[:-1].reshape(HEIGHT, WIDTH).astype(np.uint16),
        }, shown


def texels(file: Path) -> NDArray[np.uint8] | None:
    """[h, w, 4] of a texture, its lowest row first, no side longer than is seen; None where Pillow cannot read it."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.BOX)
            return np.asarray(image.convert("RGBA"))[::-1].copy()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


if __name__ == "__main__":
    os.environ.setdefault("LP_NUM_THREADS", "1")  # there are as many processes as cores
    try:
        with opengl() as context:
            drawing = Renderer(context, world.home())
            serve(lambda number: drawing.render(plan(number)), sys.stdout)
    except UsageError as problem:
        sys.exit(str(problem))
