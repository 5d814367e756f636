"""COCO-Stuff 164K: things and stuff, RGB alone, 182 label numbers, `coco-stuff:PATH` (Caesar et al., CVPR 2018).

PATH holds `images/train2017/NAME.jpg` (118,287), `images/val2017/` (5,000) and `annotations/train2017/NAME.png`,
`annotations/val2017/` (`stuffthingmaps_trainval2017`, whose number is that of `labels.txt` less one; 255 is not
scored): the layout of nightrome/cocostuff. `labels.txt` of that repository (`1: person`) in PATH names the classes.
11 numbers are never used, and listed as absent. The published val is our test; some of train validates.
"""

from xkd_bench.errors import UsageError
from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._published import Published, names, numbers, sizes, stems
from xkd_bench.tasks.base import Card

_PARTS = {"train2017": "train", "val2017": "test"}
_CLASSES = 182


class COCOStuff(Published):
    """Source and target are the same pictures."""

    card = Card(
        name="coco-stuff",
        title="COCO-Stuff 164K",
        source="RGB",
        target="RGB",
        pairing="instance",
        origin="real",
        licence="labels CC BY 4.0; pictures Flickr terms of use",
        kind="segmentation",
        aligned=True,
        single_modality=True,
    )
    home = "the GitHub repository nightrome/cocostuff"
    layout = "images/ and annotations/, each with train2017/ and val2017/ (and labels.txt)"
    needs = tuple(f"{kind}/{part}" for kind in ("images", "annotations") for part in _PARTS)
    published = sizes(train=118287, test=5000)
    palette = ()
    class_of = numbers(_CLASSES, 255)

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        self.classes = tuple(f"label {i + 1}" for i in range(_CLASSES))
        if (self.root / "labels.txt").exists():
            lines = [line.partition(":") for line in names(self.root, "labels.txt")]
            known = {number.strip(): name.strip() for number, _, name in lines}
            if missing := [i for i in range(1, _CLASSES + 1) if str(i) not in known]:
                raise UsageError(f"'{self.root / 'labels.txt'}' does not name label {missing[0]}")
            self.classes = tuple(known[str(i + 1)] for i in range(_CLASSES))

    def scenes(self) -> list[Scene]:
        """All pictures of the two folders."""
        return [
            Scene(name, *2 * (f"images/{theirs}/{name}.jpg",), f"annotations/{theirs}/{name}.png", name, part)
            for theirs, part in _PARTS.items()
            for name in stems(self.root, f"images/{theirs}", ".jpg")
        ]


TASK = COCOStuff
