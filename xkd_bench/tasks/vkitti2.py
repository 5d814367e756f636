"""Virtual KITTI 2: rendered streets, RGB to depth, 14 classes, `vkitti2:PATH` (Cabon et al., 2020).

PATH holds `vkitti_2.0.3_rgb/`, `vkitti_2.0.3_depth/` and `vkitti_2.0.3_classSegmentation/` as unpacked, or their
contents together; in each `SceneNN/VARIATION/frames/KIND/Camera_0/` with `rgb_NNNNN.jpg`, `depth_NNNNN.png` (16 bit,
cm) and `classgt_NNNNN.png` (colours) [CODE: several public loaders]. Five scenes in ten variations of weather and
view, 21,260 frames of the left camera; `:clone` takes the plain variation alone, 2,126. Depth 0 to 80 m becomes 0 to
255. No split is published; ours is by scene, the same for every seed: 01, 06, 20 train, 02 validates, 18 tests.
"""

from pathlib import Path

from xkd_bench.tasks import _planes
from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._planes import IGNORE, Bytes, Ids
from xkd_bench.tasks._published import Published, numbers, sizes
from xkd_bench.tasks.base import Card

_FAR = 8000  # cm
_PARTS = {"Scene01": "train", "Scene06": "train", "Scene20": "train", "Scene02": "val", "Scene18": "test"}
_CLASSES = {
    "terrain": (210, 0, 200), "sky": (90, 200, 255), "tree": (0, 199, 0), "vegetation": (90, 240, 0),
    "building": (140, 140, 140), "road": (100, 60, 100), "guard rail": (250, 100, 255), "traffic sign": (255, 255, 0),
    "traffic light": (200, 200, 0), "pole": (255, 130, 0), "misc": (80, 80, 80), "truck": (160, 60, 60),
    "van": (255, 127, 80), "car": (0, 139, 139),
}  # fmt: skip


class VKITTI2(Published):
    """Black pixels are undefined, and not scored."""

    card = Card(
        name="vkitti2",
        title="Virtual KITTI 2",
        source="RGB",
        target="depth",
        pairing="instance",
        origin="rendered",
        licence="CC BY-NC-SA 3.0",
        kind="segmentation",
        aligned=True,
        target_kind="depth",
    )
    home = "the Virtual KITTI 2 page of Naver Labs Europe"
    layout = "vkitti_2.0.3_rgb/, vkitti_2.0.3_depth/ and vkitti_2.0.3_classSegmentation/ (or their SceneNN/ together)"
    needs = ()
    published = sizes(train=15540, val=2330, test=3390)
    variants = ("clone",)
    classes, palette = tuple(_CLASSES), tuple(_CLASSES.values())
    class_of = numbers(len(_CLASSES), IGNORE)
    target_nearest = True

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        if self.variant:
            self.published = sizes(train=1554, val=233, test=339)

    def scenes(self) -> list[Scene]:
        """All frames of the left camera, in the order of scene, variation and time."""
        found = []
        for scene, part in sorted(_PARTS.items()):
            for file in sorted(self._place("rgb", scene).glob(f"{self.variant or '*'}/frames/rgb/Camera_0/rgb_*.jpg")):
                way, number = file.parents[3].name, file.stem.removeprefix("rgb_")
                frame = Scene(
                    f"{scene}/{way}/{number}",
                    source=self._file("rgb", scene, way, file.name),
                    target=self._file("depth", scene, way, f"depth_{number}.png"),
                    label=self._file("classSegmentation", scene, way, f"classgt_{number}.png"),
                    group=scene,
                    part=part,
                )
                found.append(frame)
        return found

    def read_target(self, file: str) -> Bytes:
        """Linear in metres; beyond 80 m (the sky is 655.35) 255."""
        return _planes.ranged(_planes.numbers(self.root / file), 0, _FAR)

    def read_label(self, file: str) -> Ids:
        """By colour."""
        colours = {colour: i for i, colour in enumerate(_CLASSES.values())}
        return _planes.coloured_ids(self.root / file, {**colours, (0, 0, 0): IGNORE})

    def _file(self, kind: str, scene: str, way: str, name: str) -> str:
        frames = self._place(kind, scene) / way / "frames"
        folder = kind if (frames / kind).is_dir() else kind.lower()  # the publisher's page and archive differ in this
        return (frames / folder / "Camera_0" / name).relative_to(self.root).as_posix()

    def _place(self, kind: str, scene: str) -> Path:
        apart = self.root / f"vkitti_2.0.3_{kind}"
        return (apart if apart.is_dir() else self.root) / scene


TASK = VKITTI2
