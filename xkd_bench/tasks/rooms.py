"""Furnished rooms: RGB to depth, rendered, 13 classes, `rooms:depth,scenes=1200`.

The scenes are made here, by Blender's Cycles and the models of Debian's sweethome3d-furniture: bedrooms, living and
dining rooms, kitchens, bathrooms and offices, each drawn by the number of the scene: size, floor and walls, furniture
and where it stands, windows, light, camera. One picture of 160 × 120 a scene.

Shapes do not leak: the models are dealt into eight houses (`_rooms_models`), a scene is furnished from one, and a
split parts houses: five train, one validates, two test, drawn by seed. So no piece of furniture, door or lamp of a test
scene is seen in training, nor a variant of it.

Depth is kept in steps of 0.2 mm. The target has 8 bits: 0 is 0.3 m (or nearer), each grey level 25 mm, 255 is 6.675 m
(or farther). Label and depth of a pixel are those of one ray through it; where a ray meets nothing there is no label.
"""

import numpy as np

from xkd_bench.errors import UsageError
from xkd_bench.tasks._blocks import Blocks
from xkd_bench.tasks._packages import Package, Report, silent
from xkd_bench.tasks._planes import IGNORE, Ids
from xkd_bench.tasks._published import numbers
from xkd_bench.tasks._rendered import Rendered
from xkd_bench.tasks._rooms_models import CLASSES, FURNITURE, HOUSES, models
from xkd_bench.tasks._rooms_plan import read_plan
from xkd_bench.tasks._rooms_render import BLENDER, python, renderer
from xkd_bench.tasks.base import Card

SCENES = 1200
_ENOUGH = 240
"""Scenes: with fewer, chance may leave a class out of a part, which the split then lists."""
NEAREST, FARTHEST = 0.3, 6.675
"""Metres: what 0 and 255 of the target mean."""
BLOCKS = Blocks("rooms-1", "xkd_bench.tasks._rooms_render", 20)
_PALETTE = (
    (205, 170, 125), (200, 200, 190), (245, 245, 245), (130, 60, 200), (30, 144, 255), (220, 20, 60), (255, 127, 0),
    (120, 70, 20), (0, 160, 160), (255, 220, 0), (60, 180, 75), (150, 210, 255), (240, 130, 180),
)  # fmt: skip


class Rooms(Rendered):
    """`rooms` alone is `rooms:depth`. A group is a house, so splits part models and scenes."""

    card = Card(
        name="rooms",
        title="Furnished rooms (rendered): RGB to depth",
        source="rendered RGB",
        target="rendered depth",
        pairing="instance",
        origin="rendered",
        licence="CC-BY-3.0, CC-BY-3.0-US, CC0 (models; whose: xkd_bench/tasks/embedded/rooms_models.csv)",
        kind="segmentation",
        aligned=True,
        target_kind="depth",
    )
    blocks = BLOCKS
    scenes_by_default, fewest = SCENES, 40
    nearest, farthest = NEAREST, FARTHEST
    classes, palette = CLASSES, _PALETTE
    class_of = numbers(len(CLASSES), IGNORE)
    groups_of_parts = (5, 1, 2)
    packages: tuple[Package, ...] = (FURNITURE, BLENDER)

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.absent = () if self.n >= _ENOUGH else None

    def prepare(self, report: Report = silent) -> None:
        """Fetch Blender and the models, and render the scenes, as far as they are not there yet."""
        if not self.blocks.damage(self.n):
            return
        if python() is None:
            raise UsageError(
                f"task 'rooms' is rendered by Blender (bpy {BLENDER.version}), which needs Python {BLENDER.python}: "
                f"install it beside this one, so that the command python{BLENDER.python} is found"
            )
        super().prepare(report)
        with renderer():  # so that what it lacks is said once, not by every worker
            pass
        self.blocks.make(self.n, report)

    def group(self, number: int) -> str:
        """The house that it is furnished from."""
        return f"house {number % HOUSES}"

    def state(self) -> object:
        """By what rules the blocks become pictures."""
        return [NEAREST, FARTHEST]

    def read_label(self, file: str) -> Ids:
        """[120, 160]; an instance is nothing, floor, wall, ceiling, or one of the scene's things."""
        planes, facts = self.rendered(file)
        things = read_plan(facts["plan"]).things
        return np.array([IGNORE, 0, 1, 2, *(models()[thing.model].label for thing in things)])[planes["instance"]]


TASK = Rooms
