"""KITTI Semantics: 200 streets, RGB to disparity, 19 classes, `kitti-semantics:PATH` (Alhaija et al., IJCV 2018).

PATH holds `training/image_2/NNNNNN_10.png`, `training/semantic/NNNNNN_10.png` (Cityscapes' numbers) of
`data_semantics` and `training/disp_occ_0/NNNNNN_10.png` (16 bit, 256 a pixel of disparity, 0 where the laser says
nothing) of `data_scene_flow` (stereo 2015, the same 200 scenes) [CODE: several public loaders]. Disparity keeps its
whole pixels. The labels of the official testing part are not public, so each seed draws 60 / 15 / 25 %. Scenes were
chosen apart from each other, but a drive can have several: that is not in the files, so a group is a picture.
"""

from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._published import Published, sizes, stems
from xkd_bench.tasks._streets import CLASS_OF, CLASSES, PALETTE
from xkd_bench.tasks.base import Card


class KITTISemantics(Published):
    """The disparity is sparse."""

    card = Card(
        name="kitti-semantics",
        title="KITTI semantics",
        source="RGB",
        target="disparity",
        pairing="instance",
        origin="real",
        licence="CC BY-NC-SA 3.0",
        kind="segmentation",
        aligned=True,
        target_kind="depth",
    )
    home = "the KITTI vision benchmark suite (cvlibs.net): data_semantics and data_scene_flow"
    layout = "training/ with image_2/, semantic/ (of data_semantics) and disp_occ_0/ (of data_scene_flow)"
    needs = ("training/image_2", "training/semantic", "training/disp_occ_0")
    published = sizes(all=200)
    classes, palette, class_of = CLASSES, PALETTE, CLASS_OF
    target_nearest = True

    def scenes(self) -> list[Scene]:
        """The frames that have labels (`_10`)."""
        return [
            Scene(
                name,
                source=f"training/image_2/{name}.png",
                target=f"training/disp_occ_0/{name}.png",
                label=f"training/semantic/{name}.png",
                group=name,
                part="",
            )
            for name in stems(self.root, "training/image_2", ".png")
            if name.endswith("_10")
        ]


TASK = KITTISemantics
