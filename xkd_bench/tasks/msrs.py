"""MSRS: MFNet's pairs, aligned and enhanced, RGB to infrared, `msrs:PATH` (Tang et al., Information Fusion 2022).

PATH holds `train/` and `test/` (1,083 and 361 pairs), each with `vi/NAME.png`, `ir/NAME.png` and
`Segmentation_labels/NAME.png` (0 to 8, MFNet's classes): the authors' repository [CODE Linfeng-Tang/MSRS]. Some of
train validates. The infrared was enhanced by the authors. Frames of one recording may be in train and in test (see
`mfnet`).
"""

from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._published import Published, numbers, sizes, stems
from xkd_bench.tasks.base import Card
from xkd_bench.tasks.mfnet import CLASSES, PALETTE


class MSRS(Published):
    """Unlabelled pixels are the class 0, and scored."""

    card = Card(
        name="msrs",
        title="MSRS: multi-spectral road scenarios",
        source="RGB",
        target="infrared",
        pairing="instance",
        origin="real",
        licence="as its authors say (research)",
        kind="segmentation",
        aligned=True,
    )
    home = "the GitHub repository Linfeng-Tang/MSRS"
    layout = "train/ and test/, each with vi/, ir/ and Segmentation_labels/"
    needs = tuple(f"{part}/{kind}" for part in ("train", "test") for kind in ("vi", "ir", "Segmentation_labels"))
    published = sizes(train=1083, test=361)
    classes, palette = CLASSES, PALETTE
    class_of = numbers(len(CLASSES))

    def scenes(self) -> list[Scene]:
        """All of the visible pictures; what has no twin is found missing when it is read."""
        return [
            Scene(name, f"{part}/vi/{name}.png", f"{part}/ir/{name}.png", label, name, part)
            for part in self.published
            for name in stems(self.root, f"{part}/vi", ".png")
            for label in [f"{part}/Segmentation_labels/{name}.png"]
        ]


TASK = MSRS
