"""Scenes of `rooms` rendered by Blender's Cycles: colour, depth in metres, and which object is where.

Blender runs in a process of its own (`_rooms_blender`), which this module tells what to build. Run as a command
(`python -m`), it is a worker of `_blocks`.

Seed, samples and threads (one) are fixed and each scene is built alone, so one machine renders the same pixels again.
Processors of other kinds round otherwise: colours may differ by a grey level or two, and depth and label where an edge
goes through a pixel.
"""

import json
import math
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks import _rooms_blender
from xkd_bench.tasks._blocks import Facts, Planes, serve
from xkd_bench.tasks._packages import Package, unpacked
from xkd_bench.tasks._rooms_layout import Space
from xkd_bench.tasks._rooms_models import FURNITURE, INSIDE, Model, models
from xkd_bench.tasks._rooms_plan import Opening, Plan, Surface, plan

BLENDER = Package(
    "pip",
    "bpy",
    "5.0.1",
    sha256="79c6e421f53ea24a5961d86eefb8141798eee708682415eb4f5a952c2abdeb8b",
    size=374_257_847,
    licence="GPL-3.0",
    files=("bpy/*",),
    python="3.11",
)
HEIGHT, WIDTH = 120, 160
STEP = 2e-4
"""Metres that depth is kept in: 16 bits reach 13.1 m, and no room is that long."""
SAMPLES, BOUNCES = 8, 3
FLOOR, WALL, CEILING, FIRST = 1, 2, 3, 4
"""Instances; 0 is where nothing is, FIRST the first of the scene's things."""
Corner = tuple[float, float]
_THICK = 0.35
_SAID = "said.txt"
_LIBRARIES = "libgl1 libsm6 libxi6 libxkbcommon0 libxrender1"
"""What Blender loads of a desktop's, though it opens no window; as Debian and Ubuntu name them."""
_WHITE = Surface("plain", ((0.85, 0.85, 0.85), (0.85, 0.85, 0.85)), 1.0, 0.9)
_DARK = Surface("plain", ((0.05, 0.05, 0.05), (0.05, 0.05, 0.05)), 1.0, 0.9)


def python() -> str | None:
    """The interpreter that can load this version of Blender, or None."""
    version = tuple(int(part) for part in BLENDER.python.split("."))
    return sys.executable if sys.version_info[:2] == version else shutil.which(f"python{BLENDER.python}")


@contextmanager
def renderer() -> Iterator["Renderer"]:
    """A Blender that waits for scenes. Raises UsageError where it or its models are not there, or it does not start."""
    interpreter, blender, furniture = python(), unpacked(BLENDER), unpacked(FURNITURE)
    if interpreter is None or blender is None or furniture is None:
        raise UsageError("the renderer of 'rooms' is not here: xkd-bench data prepare rooms")
    with TemporaryDirectory() as scratch, (Path(scratch) / _SAID).open("wb") as said:
        process = subprocess.Popen(
            [interpreter, "-I", "-S", _rooms_blender.__file__, str(blender)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "BLENDER_USER_RESOURCES": scratch},
        )  # fmt: skip
        try:
            world = Renderer(process, furniture / INSIDE, Path(scratch))
            if world.answer() != "ready":
                raise UsageError(f"Blender does not start ({world.last_words()}): apt-get install {_LIBRARIES}")
            yield world
        finally:
            process.kill()
            process.communicate()


class Renderer:
    """Renders one scene after another; models are taken out of their catalogues when they are first seen."""

    def __init__(self, blender: "subprocess.Popen[str]", catalogues: Path, scratch: Path) -> None:
        self.blender, self.catalogues, self.scratch = blender, catalogues, scratch

    def render(self, scene: Plan) -> Planes:
        """rgb: [h, w, 3]; depth: [h, w] uint16, along the optical axis, in `STEP`s; instance: [h, w] uint8."""
        out = self.scratch / "scene"
        files = {thing.model: self._file(models()[thing.model]) for thing in scene.things}
        self._ask(order(scene, files, str(out)))
        colour, facts = (_floats(out.with_suffix(ending)) for ending in (".colour", ".facts"))
        instance = np.rint(facts[:, :, 1]).astype(np.uint8)
        metres = np.where(instance > 0, facts[:, :, 0], np.inf)
        return {
            "rgb": developed(colour[:, :, :3]),
            "depth": np.minimum(np.rint(metres / STEP), 65535).astype(np.uint16),
            "instance": instance,
        }

    def _ask(self, scene: Mapping[str, Any]) -> None:
        assert self.blender.stdin is not None
        try:
            print(json.dumps(scene), file=self.blender.stdin, flush=True)
            answer = self.answer()
        except BrokenPipeError:
            answer = ""
        if answer != "done":
            raise RuntimeError(f"Blender: {answer}" if answer else f"Blender ended: {self.last_words()}")

    def answer(self) -> str:
        """Its next line; "" where it has ended."""
        assert self.blender.stdout is not None
        return self.blender.stdout.readline().strip()

    def last_words(self) -> str:
        """Why it ended, as it says: a library that is not there, no memory."""
        said = [line.strip() for line in (self.scratch / _SAID).read_text("utf8", "replace").splitlines()]
        return next((line for line in reversed(said) if line), "it gave no reason")

    def _file(self, model: Model) -> str:
        """The model's OBJ file, beside all that its catalogue has in the same folder."""
        file = self.scratch / model.catalogue / model.file
        if not file.exists():
            folder = model.file.rpartition("/")[0] + "/"
            with zipfile.ZipFile(self.catalogues / f"{model.catalogue}.sh3f") as catalogue:
                for name in catalogue.namelist():
                    if name.startswith(folder) and not name.endswith("/"):
                        catalogue.extract(name, self.scratch / model.catalogue)
        return str(file)


def _floats(file: Path) -> NDArray[np.float32]:
    """[h, w, 4], rows from above."""
    return np.fromfile(file, np.float32).reshape(HEIGHT, WIDTH, 4)[::-1]


def developed(light: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """[h, w, 3] linear light as a camera's picture: exposed for its middle, bright parts compressed, as sRGB.

    Reinhard et al. 2002, eq. (4), on channels, white at 4; the median grey becomes 0.29.
    """
    light = np.nan_to_num(np.maximum(light, 0))
    median = float(np.median(light @ [0.2126, 0.7152, 0.0722]))
    x = light * (0.4 / max(median, 1e-6))
    x = np.minimum(x * (1 + x / 16) / (1 + x), 1)
    return np.rint(255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)).astype(np.uint8)


def order(scene: Plan, files: Mapping[str, str], out: str) -> dict[str, Any]:
    """What Blender is told of a scene; files: of its models by their names."""
    things = [
        {
            "file": files[thing.model],
            "turn": models()[thing.model].turn,
            "size": [getattr(models()[thing.model], side) for side in ("width", "depth", "height")],
            "at": (thing.x, thing.y, thing.z),
            "yaw": thing.yaw,
            "instance": i,
        }
        for i, thing in enumerate(scene.things, FIRST)
    ]
    return {
        "out": out,
        "width": WIDTH,
        "height": HEIGHT,
        "samples": SAMPLES,
        "bounces": BOUNCES,
        "seed": scene.number,
        "boxes": [*_shell(scene), *(box for hole in scene.openings for box in _behind(scene, hole))],
        "things": things,
        "lights": [asdict(lamp) for lamp in scene.lamps],
        "camera": {"eye": scene.eye, "target": scene.target, "fov": scene.fov},
    }


def _box(low: Any, high: Any, surface: Surface, instance: int, **more: Any) -> dict[str, Any]:
    return {"low": low, "high": high, "surface": asdict(surface), "instance": instance, **more}


def _shell(scene: Plan) -> Iterator[dict[str, Any]]:
    """Floor, rug, ceiling, and the walls around their openings."""
    x, y, h = scene.width / 2 + _THICK, scene.depth / 2 + _THICK, scene.height
    yield _box((-x, -y, -0.1), (x, y, 0), scene.floor, FLOOR)
    yield _box((-x, -y, h), (x, y, h + 0.1), _WHITE, CEILING)
    if scene.rug is not None:
        x0, x1, y0, y1 = scene.rug
        yield _box((x0, y0, 0), (x1, y1, 0.006), scene.rug_surface, FLOOR)
    for wall in range(4):
        hole = next((hole for hole in scene.openings if hole.wall == wall), None)
        half = _space(scene).wall(wall)[1] / 2 + _THICK
        if hole is None:
            parts = [(-half, half, 0.0, h)]
        else:
            left, right = hole.offset - hole.width / 2, hole.offset + hole.width / 2
            parts = [(-half, left, 0, h), (right, half, 0, h), (left, right, hole.high, h)]
            parts += [(left, right, 0, hole.low)] if hole.low > 0 else []
        for left, right, low, high in parts:
            corners = _outside(scene, wall, left, right, 0.0, _THICK)
            yield _box((*corners[0], low), (*corners[1], high), scene.walls, WALL, upright=True)


def _behind(scene: Plan, hole: Opening) -> Iterator[dict[str, Any]]:
    """What a window is looked out to: light of the sky; behind a door it is dark. Both are part of the opening."""
    thing = scene.things[hole.thing]
    window = models()[thing.model].kind == "window"
    left, right = hole.offset - hole.width / 2, hole.offset + hole.width / 2
    low, high = _outside(scene, hole.wall, left, right, _THICK, _THICK + 0.02)
    sky = Surface("plain", (scene.sky, scene.sky), 1.0, 1.0)
    yield _box(
        (*low, hole.low), (*high, hole.high), sky if window else _DARK, FIRST + hole.thing,
        glow=scene.daylight if window else 0.0,
    )  # fmt: skip


def _outside(scene: Plan, wall: int, left: float, right: float, near: float, far: float) -> tuple[Corner, Corner]:
    """Lower and upper (x, y) of a box outside a wall, so near and so far from its inner side."""
    space = _space(scene)
    found = []
    for offset, away in ((left, near), (right, far)):
        at = space.along(wall, offset)
        found.append((at.x - math.sin(at.yaw) * away, at.y + math.cos(at.yaw) * away))
    (x0, y0), (x1, y1) = found
    return (min(x0, x1), min(y0, y1)), (max(x0, x1), max(y0, y1))


def _space(scene: Plan) -> Space:
    """The empty room, to ask where its walls are."""
    return Space(scene.width, scene.depth, scene.height, np.random.default_rng(0))


def scene(world: Renderer, number: int) -> tuple[Planes, Facts]:
    """What a block keeps of a scene."""
    what = plan(number)
    return world.render(what), {"plan": asdict(what), "step": STEP, "renderer": f"bpy {BLENDER.version}"}


if __name__ == "__main__":
    with renderer() as world:
        serve(lambda number: scene(world, number), sys.stdout)
