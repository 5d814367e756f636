"""Objects on a table: RGB to depth (rendered) or to thermal (simulated), 13 classes, `tabletop:depth,scenes=1200`.

The scenes are made here, by pybullet's software renderer and the models that come with it: five to ten of eleven kinds
of objects on a table in a room, every colour, pose, size, pattern, light and camera drawn by the number of the scene.
One picture of 160 × 120 a scene. A quarter of them is at night without a lamp: there thermal sees what RGB hardly does.

Depth is what the renderer's depth buffer says, kept in steps of 0.1 mm. The target has 8 bits: 0 is 0.2 m (or nearer),
each grey level 8 mm, 255 is 2.24 m (or farther: the room's walls). Thermal is invented: see `_thermal`. A grey level is
0.15 °C, 0 is 5 °C.
"""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np

from xkd_bench.errors import UsageError, nearest
from xkd_bench.tasks import _planes, _thermal
from xkd_bench.tasks._blocks import Blocks
from xkd_bench.tasks._dense import Dense, Scene
from xkd_bench.tasks._packages import Report, silent
from xkd_bench.tasks._planes import Bytes, Ids
from xkd_bench.tasks._published import numbers
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks._tabletop_plan import CLASSES, TABLE_TOP, read_plan
from xkd_bench.tasks.base import Card

TARGETS = ("depth", "thermal")
SCENES, FEWEST, MOST = 1200, 20, 100_000
NEAREST, FARTHEST = 0.2, 2.24
"""Metres: what 0 and 255 of a depth target mean."""
BLOCKS = Blocks("tabletop-1", "xkd_bench.tasks._tabletop_render")
_PALETTE = (
    (90, 90, 90), (205, 170, 125), (255, 220, 0), (150, 75, 0), (240, 130, 180), (220, 20, 60), (255, 127, 0),
    (250, 250, 250), (30, 144, 255), (0, 130, 130), (130, 60, 200), (0, 0, 160), (60, 180, 75),
)  # fmt: skip


class Tabletop(Dense):
    """`tabletop` alone is `tabletop:depth`. Splits are by scene."""

    card = Card(
        name="tabletop",
        title="Objects on a table (rendered): RGB to depth",
        source="rendered RGB",
        target="rendered depth",
        pairing="instance",
        origin="rendered",
        licence="zlib (pybullet); its models by their own authors, licences beside some of them in pybullet_data",
        kind="segmentation",
        aligned=True,
        target_kind="depth",
    )
    classes, palette = CLASSES, _PALETTE
    class_of = numbers(len(CLASSES))
    absent = ()

    def __init__(self, argument: str = "") -> None:
        self.kind, self.n = _read(argument)
        self.root = BLOCKS.folder
        self.target_nearest = self.kind == "depth"
        if self.kind == "thermal":
            self.card = replace(
                self.card,
                title="Objects on a table (rendered): RGB to simulated thermal",
                target="simulated thermal",
                origin="simulated",
                target_kind="image",
            )
        if argument:
            self.card = replace(self.card, name=f"tabletop:{argument}")

    def prepare(self, report: Report = silent) -> None:
        """Render the scenes that are not there yet."""
        if find_spec("pybullet") is None and BLOCKS.damage(self.n):
            raise UsageError("task 'tabletop' needs pybullet to render: pip install 'xkd-bench[tabletop]'")
        BLOCKS.make(self.n, report)

    def prepared(self) -> str:
        """How much was rendered."""
        size = sum(file.stat().st_size for file in BLOCKS.files(self.n))
        return f"{self.n:,} scenes, {size / 1e6:.1f} MB"

    def ready(self) -> bool:
        """Whether all scenes are there; reads none."""
        return BLOCKS.ready(self.n)

    def check(self) -> list[str]:
        """Blocks that are missing or damaged. Reads every byte."""
        return BLOCKS.damage(self.n)

    def scenes(self) -> list[Scene]:
        """By number; each is a group."""
        if not self.ready():
            raise self.not_prepared()
        name = [file.name for file in BLOCKS.files(self.n)]
        files = [f"{name[i // BLOCKS.size]}#{i}" for i in range(self.n)]
        return [Scene(f"scene {i}", file, file, file, str(i), "") for i, file in enumerate(files)]

    def state(self) -> object:
        """Which target it is, and by what rules the blocks become pictures."""
        return [self.kind, NEAREST, FARTHEST, _thermal.VERSION]

    def read_source(self, file: str) -> Bytes:
        """[120, 160, 3]"""
        planes, _ = BLOCKS.read(_number(file))
        return planes["rgb"]

    def read_target(self, file: str) -> Bytes:
        """[120, 160, 1]"""
        planes, facts = BLOCKS.read(_number(file))
        metres = planes["depth"] * facts["step"]
        if self.kind == "depth":
            return _planes.ranged(metres, NEAREST, FARTHEST)
        scene = read_plan(facts["plan"])
        seen = _thermal.Seen(
            points=_thermal.points(metres, scene.eye, scene.target, scene.fov),
            instance=planes["instance"],
            spots=np.array([(thing.x, thing.y, thing.radius) for thing in scene.things]).reshape(-1, 3),
            top=TABLE_TOP,
            hour=scene.hour,
            towards_sun=scene.towards_light,
        )
        return _thermal.picture(seen, generator(scene.number, "thermal"))

    def read_label(self, file: str) -> Ids:
        """[120, 160]"""
        planes, facts = BLOCKS.read(_number(file))
        scene = read_plan(facts["plan"])
        return np.array([0, 1, *(thing.label for thing in scene.things)])[planes["instance"]]


def _number(file: str) -> int:
    return int(file.rpartition("#")[2])


def _read(argument: str) -> tuple[str, int]:
    """Target and number of scenes of `depth`, `thermal,scenes=300`, `scenes=300` or nothing."""
    kind, scenes = TARGETS[0], SCENES
    for i, part in enumerate(argument.split(",") if argument else ()):
        key, equals, text = part.partition("=")
        if key == "scenes" and equals:
            if not (text.isascii() and text.isdigit() and FEWEST <= int(text) <= MOST):
                raise UsageError(f"task 'tabletop': scenes is '{text}', and must be a number from {FEWEST} to {MOST:,}")
            scenes = int(text)
        elif i or equals:
            raise UsageError(
                f"task 'tabletop' takes TARGET,scenes=NUMBER, such as 'tabletop:thermal,scenes=300', not '{argument}'"
            )
        elif part not in TARGETS:
            raise nearest("target of tabletop", part, list(TARGETS))
        else:
            kind = part
    return kind, scenes


TASK = Tabletop
