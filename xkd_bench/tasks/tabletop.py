"""Objects on a table: RGB to depth (rendered) or to thermal (simulated), 13 classes, `tabletop:depth,scenes=1200`.

The scenes are made here, by pybullet's software renderer and the models that come with it: five to ten of eleven kinds
of objects on a table in a room, every colour, pose, size, pattern, light and camera drawn by the number of the scene.
One picture of 160 × 120 a scene. A quarter of them is at night without a lamp: there thermal sees what RGB hardly does.

Depth is what the renderer's depth buffer says, kept in steps of 0.1 mm. The target has 8 bits: 0 is 0.2 m (or nearer),
each grey level 8 mm, 255 is 2.24 m (or farther: the room's walls). Thermal is invented: see `_thermal`. A grey level is
0.15 °C, 0 is 5 °C.
"""

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks import _thermal
from xkd_bench.tasks._blocks import Blocks, Facts, Planes
from xkd_bench.tasks._packages import Report, silent
from xkd_bench.tasks._planes import Bytes, Ids
from xkd_bench.tasks._published import numbers
from xkd_bench.tasks._rendered import Rendered
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks._tabletop_plan import CLASSES, TABLE_TOP, read_plan
from xkd_bench.tasks.base import Card

SCENES = 1200
NEAREST, FARTHEST = 0.2, 2.24
"""Metres: what 0 and 255 of a depth target mean."""
BLOCKS = Blocks("tabletop-1", "xkd_bench.tasks._tabletop_render")
_PALETTE = (
    (90, 90, 90), (205, 170, 125), (255, 220, 0), (150, 75, 0), (240, 130, 180), (220, 20, 60), (255, 127, 0),
    (250, 250, 250), (30, 144, 255), (0, 130, 130), (130, 60, 200), (0, 0, 160), (60, 180, 75),
)  # fmt: skip


class Tabletop(Rendered):
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
    blocks = BLOCKS
    targets = ("depth", "thermal")
    scenes_by_default, fewest = SCENES, 20
    nearest, farthest = NEAREST, FARTHEST
    classes, palette = CLASSES, _PALETTE
    class_of = numbers(len(CLASSES))
    absent = ()

    def prepare(self, report: Report = silent) -> None:
        """Render the scenes that are not there yet."""
        if find_spec("pybullet") is None and self.blocks.damage(self.n):
            raise UsageError("task 'tabletop' needs pybullet to render: pip install 'xkd-bench[tabletop]'")
        self.blocks.make(self.n, report)

    def group(self, number: int) -> str:
        """Each scene is one."""
        return str(number)

    def state(self) -> object:
        """Which target it is, and by what rules the blocks become pictures."""
        return [self.kind, NEAREST, FARTHEST, _thermal.VERSION]

    def thermal(self, metres: NDArray[np.float64], planes: Planes, facts: Facts) -> Bytes:
        """[120, 160, 1]"""
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
        planes, facts = self.rendered(file)
        scene = read_plan(facts["plan"])
        return np.array([0, 1, *(thing.label for thing in scene.things)])[planes["instance"]]


TASK = Tabletop
