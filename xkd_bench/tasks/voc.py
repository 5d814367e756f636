"""PASCAL VOC 2012: everyday scenes, RGB alone, 21 classes, `voc:PATH` (Everingham et al.; Hariharan et al., ICCV 2011).

PATH is the folder `VOCdevkit/VOC2012`: `JPEGImages/NAME.jpg`, `SegmentationClass/NAME.png` (palette; 255 is not
scored) and `ImageSets/Segmentation/train.txt`, `val.txt` (1,464 and 1,449 names). Where `SegmentationClassAug/` lies
beside them, with `trainaug.txt` or `train_aug.txt` (in `ImageSets/Segmentation/` or in PATH; a line is a name, or the
paths of picture and label), the 10,582 pictures of that list train, as in published distillation: these are not part
of the official archive, and copies differ in where the list lies [CODE: several public loaders]. The published val is
our test; some of train validates.
"""

from pathlib import PurePosixPath

from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._published import Published, names, numbers, sizes
from xkd_bench.tasks.base import Card

_LISTS = "ImageSets/Segmentation"
_AUGMENTED = tuple(f"{folder}{name}.txt" for folder in (f"{_LISTS}/", "") for name in ("trainaug", "train_aug"))


class VOC(Published):
    """Source and target are the same pictures."""

    card = Card(
        name="voc",
        title="PASCAL VOC 2012",
        source="RGB",
        target="RGB",
        pairing="instance",
        origin="real",
        licence="Flickr terms of use; labels as their authors say",
        kind="segmentation",
        aligned=True,
        single_modality=True,
    )
    home = "the PASCAL VOC 2012 page of the University of Oxford (host.robots.ox.ac.uk)"
    layout = "JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/ (the folder VOCdevkit/VOC2012)"
    needs = ("JPEGImages", f"{_LISTS}/train.txt", f"{_LISTS}/val.txt")
    classes = (
        *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
        *("dining table", "dog", "horse", "motorbike", "person", "potted plant", "sheep", "sofa", "train", "monitor"),
    )
    palette = ()
    class_of = numbers(21, 255)

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        lists = [name for name in _AUGMENTED if (self.root / name).is_file()]
        augmented = bool(lists) and (self.root / "SegmentationClassAug").is_dir()
        self._train = lists[0] if augmented else f"{_LISTS}/train.txt"
        self._labels = "SegmentationClassAug" if augmented else "SegmentationClass"
        self.published = sizes(train=10582 if augmented else 1464, test=1449)

    def scenes(self) -> list[Scene]:
        """Those of the two lists."""
        return [
            Scene(name, f"JPEGImages/{name}.jpg", f"JPEGImages/{name}.jpg", f"{self._labels}/{name}.png", name, part)
            for part, file in (("train", self._train), ("test", f"{_LISTS}/val.txt"))
            for name in (PurePosixPath(line.split()[0]).stem for line in names(self.root, file))
        ]


TASK = VOC
