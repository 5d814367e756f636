"""MFNet: RGB and thermal street scenes by day and night, `mfnet:PATH` (Ha et al., IROS 2017).

PATH holds `images/NAME.png` of four channels (RGB, thermal), `labels/NAME.png` (0 to 8) and `train.txt`, `val.txt`,
`test.txt` (784, 392, 393 names): the layout of the authors' archive and loader [CODE haqishen/MFNet-pytorch]. Names
that end in `_flip` (mirrored copies that the authors' script adds to the lists) are left out. The frames come from
recordings that the names do not tell apart, so train and test may show the same street.
"""

from xkd_bench.tasks import _planes
from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._planes import Bytes
from xkd_bench.tasks._published import Published, names, numbers, sizes
from xkd_bench.tasks.base import Card

CLASSES = ("unlabelled", "car", "person", "bike", "curve", "car stop", "guardrail", "colour cone", "bump")
PALETTE = (
    *((0, 0, 0), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 192)),
    *((128, 128, 0), (64, 64, 128), (192, 128, 128), (192, 64, 0)),
)


class MFNet(Published):
    """Unlabelled pixels are the class 0, and scored, as in the published tables."""

    card = Card(
        name="mfnet",
        title="MFNet: street scenes by day and night",
        source="RGB",
        target="thermal",
        pairing="instance",
        origin="real",
        licence="as its authors say (research)",
        kind="segmentation",
        aligned=True,
    )
    home = "the MIL multispectral project of the University of Tokyo (mi.t.u-tokyo.ac.jp)"
    layout = "images/, labels/, train.txt, val.txt and test.txt"
    needs = ("images", "labels", "train.txt", "val.txt", "test.txt")
    published = sizes(train=784, val=392, test=393)
    classes, palette = CLASSES, PALETTE
    class_of = numbers(len(CLASSES))

    def scenes(self) -> list[Scene]:
        """Those of the three lists."""
        return [
            Scene(name, f"images/{name}.png", f"images/{name}.png", f"labels/{name}.png", name, part)
            for part in self.published
            for name in names(self.root, f"{part}.txt")
            if not name.endswith("_flip")
        ]

    def read_source(self, file: str) -> Bytes:
        """The first three channels."""
        return self._channels(file)[:, :, :3]

    def read_target(self, file: str) -> Bytes:
        """The fourth."""
        return self._channels(file)[:, :, 3:]

    def _channels(self, file: str) -> Bytes:
        found = _planes.numbers(self.root / file)
        if found.ndim != 3 or found.shape[2] != 4:
            raise ValueError("it has not four channels (RGB and thermal)")
        return found


TASK = MFNet
