"""Cityscapes: street scenes of 50 cities, RGB alone, 19 classes, `cityscapes:PATH` (Cordts et al., CVPR 2016).

PATH holds `leftImg8bit/PART/CITY/NAME_leftImg8bit.png` and `gtFine/PART/CITY/NAME_gtFine_labelIds.png`, PART train
(2,975) and val (500): the publishers' archives. The labels of the official test part are not public, so the published
val is our test, and some cities of train validate. A group is a city. 1024 × 2048 pixels.
"""

from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._published import Published, sizes
from xkd_bench.tasks._streets import CLASS_OF, CLASSES, PALETTE
from xkd_bench.tasks.base import Card

_PARTS = {"train": "train", "val": "test"}


class Cityscapes(Published):
    """Source and target are the same pictures."""

    card = Card(
        name="cityscapes",
        title="Cityscapes: street scenes",
        source="RGB",
        target="RGB",
        pairing="instance",
        origin="real",
        licence="Cityscapes terms (non-commercial, registration)",
        kind="segmentation",
        aligned=True,
        single_modality=True,
    )
    home = "cityscapes-dataset.com"
    layout = "leftImg8bit/ and gtFine/, each with train/CITY/ and val/CITY/"
    needs = tuple(f"{kind}/{part}" for kind in ("leftImg8bit", "gtFine") for part in _PARTS)
    published = sizes(train=2975, test=500)
    classes, palette, class_of = CLASSES, PALETTE, CLASS_OF

    def scenes(self) -> list[Scene]:
        """All pictures of train and val."""
        found = []
        for theirs, part in _PARTS.items():
            for file in sorted((self.root / "leftImg8bit" / theirs).glob("*/*_leftImg8bit.png")):
                city, name = file.parent.name, file.name.removesuffix("_leftImg8bit.png")
                picture = f"leftImg8bit/{theirs}/{city}/{file.name}"
                label = f"gtFine/{theirs}/{city}/{name}_gtFine_labelIds.png"
                found.append(Scene(name, picture, picture, label, city, part))
        return found


TASK = Cityscapes
