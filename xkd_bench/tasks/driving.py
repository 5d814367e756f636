"""Driving in a race game's tracks: RGB to depth (rendered) or to thermal (simulated), `driving:depth,scenes=1056`.

The tracks and cars are those of TORCS, from Debian's torcs-data (333 MB), drawn here by OpenGL without a window. A
view is a place on one of 33 tracks, seen from a car, with two to six cars on the road ahead; place, cars, camera, hour,
light and haze are drawn by the number of the view. One picture of 160 × 120 a view. A quarter of them is at night.

Labels are noisy: TORCS has none, and a table (`_driving_classes`, made by looking at all textures) reads them off the
names of textures and objects. What the table cannot tell is not scored. Splits are by track: no track of the test part,
and none of its kin, is seen before.

Depth is along the optical axis, kept in steps of 1 cm. The target has 8 bits: 0 is 2 m (or nearer), each grey level
0.4 m, 255 is 104 m or farther (the sky). Thermal is invented: see `_driving_thermal`. A grey level is 0.15 °C, 0 is
5 °C.

Two machines with different drivers of OpenGL render a little differently; the digest says which data a record is from.
"""

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks import _driving_thermal, _thermal
from xkd_bench.tasks._blocks import Blocks, Facts, Planes
from xkd_bench.tasks._driving_camera import rays
from xkd_bench.tasks._driving_classes import CLASSES
from xkd_bench.tasks._driving_plan import RUN, family, read_view, track_of
from xkd_bench.tasks._driving_render import opengl
from xkd_bench.tasks._driving_world import TORCS
from xkd_bench.tasks._packages import Package, Report, silent
from xkd_bench.tasks._planes import IGNORE, Bytes, Ids
from xkd_bench.tasks._published import numbers
from xkd_bench.tasks._rendered import Rendered
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks.base import Card

SCENES, FEWEST = 1056, 10 * RUN
"""Two runs on each track; at least ten tracks, or a split by track is left with none to test on."""
NEAREST, FARTHEST = 2.0, 104.0
"""Metres: what 0 and 255 of a depth target mean."""
BLOCKS = Blocks("driving-1", "xkd_bench.tasks._driving_render", size=RUN)
_PALETTE = (
    (70, 130, 180), (128, 64, 128), (244, 35, 232), (152, 251, 152), (230, 200, 120), (60, 120, 35), (250, 170, 30),
    (90, 90, 90), (220, 220, 0), (220, 20, 60),
)  # fmt: skip


class Driving(Rendered):
    """`driving` alone is `driving:depth`. Splits are by track."""

    card = Card(
        name="driving",
        title="Driving on race tracks (rendered, labels noisy): RGB to depth",
        source="rendered RGB",
        target="rendered depth",
        pairing="instance",
        origin="rendered",
        licence="GPL-2+ (TORCS), Free Art Licence (most tracks and cars)",
        kind="segmentation",
        aligned=True,
        target_kind="depth",
    )
    packages: tuple[Package, ...] = (TORCS,)
    blocks = BLOCKS
    targets = ("depth", "thermal")
    scenes_by_default, fewest, unit = SCENES, FEWEST, "views"
    nearest, farthest = NEAREST, FARTHEST
    classes, palette = CLASSES, _PALETTE
    class_of = numbers(len(CLASSES), IGNORE)
    absent = None

    def prepare(self, report: Report = silent) -> None:
        """Fetch TORCS' data and render the views that are not there yet; what draws them is asked for first."""
        if not self.blocks.damage(self.n):
            return
        with opengl():
            pass
        super().prepare(report)
        self.blocks.make(self.n, report)

    def scene_name(self, number: int) -> str:
        """Its track and its number."""
        return f"{track_of(number).rpartition('/')[2]} {number}"

    def group(self, number: int) -> str:
        """Its track with that track's kin."""
        return family(track_of(number))

    def state(self) -> object:
        """Which target it is, and by what rules the blocks become pictures."""
        return [self.kind, NEAREST, FARTHEST, _thermal.VERSION, _driving_thermal.VERSION]

    def thermal(self, metres: NDArray[np.float64], planes: Planes, facts: Facts) -> Bytes:
        """[120, 160, 1]"""
        view, eye = read_view(facts["plan"]), facts["eye"]
        seen = _driving_thermal.Seen(
            points=np.array(eye) + metres[:, :, None] * rays(eye, facts["target"], view.fov, metres.shape),
            instance=planes["instance"],
            cars=np.array(facts["cars"]).reshape(-1, 5),
            hour=view.hour,
            towards_sun=view.towards_sun,
        )
        return _driving_thermal.picture(seen, generator(view.number, "driving thermal"))

    def read_label(self, file: str) -> Ids:
        """[120, 160]"""
        planes, facts = self.rendered(file)
        return np.array(facts["label"])[planes["instance"]]


TASK = Driving
