"""ADE20K: scenes of all kinds, RGB alone, 150 classes, `ade20k:PATH` (Zhou et al., CVPR 2017).

PATH is the folder `ADEChallengeData2016`: `images/training/NAME.jpg` (20,210), `images/validation/` (2,000),
`annotations/` likewise (`NAME.png`; 0 is not scored, 1 to 150 are the classes) and `objectInfo150.txt`
(tab-separated, the name last), which names the classes. The published validation part is our test; some of train
validates.
"""

from xkd_bench.errors import UsageError
from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._planes import IGNORE
from xkd_bench.tasks._published import Published, names, sizes, stems
from xkd_bench.tasks.base import Card

_PARTS = {"training": "train", "validation": "test"}


class ADE20K(Published):
    """Source and target are the same pictures."""

    card = Card(
        name="ade20k",
        title="ADE20K scene parsing",
        source="RGB",
        target="RGB",
        pairing="instance",
        origin="real",
        licence="as its authors say (research)",
        kind="segmentation",
        aligned=True,
        single_modality=True,
    )
    home = "the MIT scene parsing benchmark (sceneparsing.csail.mit.edu)"
    layout = "images/ and annotations/, each with training/ and validation/, and objectInfo150.txt"
    needs = (*(f"{kind}/{part}" for kind in ("images", "annotations") for part in _PARTS), "objectInfo150.txt")
    published = sizes(train=20210, test=2000)
    palette = ()
    class_of = {0: IGNORE} | {i + 1: i for i in range(150)}

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        rows = [line.split("\t") for line in names(self.root, "objectInfo150.txt")[1:]]
        self.classes = tuple(row[-1].strip() for row in rows)
        if len(self.classes) != 150:
            raise UsageError(f"'{self.root / 'objectInfo150.txt'}' does not name 150 classes, but {len(self.classes)}")

    def scenes(self) -> list[Scene]:
        """All pictures of the two folders."""
        return [
            Scene(name, *2 * (f"images/{theirs}/{name}.jpg",), f"annotations/{theirs}/{name}.png", name, part)
            for theirs, part in _PARTS.items()
            for name in stems(self.root, f"images/{theirs}", ".jpg")
        ]


TASK = ADE20K
