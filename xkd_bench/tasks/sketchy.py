"""Sketchy: photographs to sketches drawn from them, 125 classes, `sketchy:PATH` (Sangkloy et al., SIGGRAPH 2016).

PATH holds `256x256/photo/tx_000000000000/CLASS/NAME.jpg` (12,500) and
`256x256/sketch/tx_000000000000/CLASS/NAME-K.png` (75,481), as they are or below `rendered_256x256/`: the authors'
archive [CODE: several public loaders]. Of its variants the one without moving or scaling is read. A photo and its
five or six sketches are one concept and one group: all of them are pairs. `info/testset.txt` (of the authors' second
archive; also as `info-06-04/info/`) names the photos of the published test part; some of train validates. Without it
each seed draws 60 / 15 / 25 % by photo. Sketches that the authors list as invalid are kept.
"""

from collections import Counter
from pathlib import Path

from xkd_bench.tasks._manifest import Row
from xkd_bench.tasks._published import PublishedItems, names, sizes
from xkd_bench.tasks.base import Card

_PLACES = ("256x256", "rendered_256x256/256x256", "")
_LISTS = ("info/testset.txt", "info-06-04/info/testset.txt", "info/info/testset.txt")
_PLAIN = "tx_000000000000"


class Sketchy(PublishedItems):
    """Several sketches a photo, all positives."""

    card = Card(
        name="sketchy",
        title="Sketchy: photographs to sketches",
        source="photographs",
        target="sketches",
        pairing="instance",
        origin="real",
        licence="as its authors say (research); photographs of ImageNet",
    )
    home = "the Sketchy database page of Georgia Tech (sketchy.eye.gatech.edu)"
    layout = "256x256/ with photo/ and sketch/, each with tx_000000000000/CLASS/"
    needs = ()
    published = sizes(photos=12500, sketches=75481)

    def rows(self) -> list[Row]:
        """A row a sketch, and one for each photo without any."""
        tests = next((names(self.root, file) for file in _LISTS if (self.root / file).is_file()), None)
        return rows(self.root, tests)

    def parts(self) -> Counter[str]:
        """Photos and sketches."""
        return Counter(photos=len(self.table.source.files), sketches=len(self.table.target.files))


def rows(root: Path, tests: list[str] | None = None, labelled: bool = True) -> list[Row]:
    """Sketchy's rows; files are below `root`. tests: photos (`CLASS/NAME.jpg`) of the test part."""
    place = next((place for place in _PLACES if (root / place / "photo" / _PLAIN).is_dir()), "")
    photos, sketches = (root / place / kind / _PLAIN for kind in ("photo", "sketch"))
    drawn: dict[str, list[str]] = {}
    for sketch in sorted(sketches.glob("*/*.png")):
        photo = f"{sketch.parent.name}/{sketch.stem.rpartition('-')[0]}"
        drawn.setdefault(photo, []).append(sketch.relative_to(root).as_posix())
    held = {name.removesuffix(".jpg") for name in tests or ()}
    found = []
    for file in sorted(photos.glob("*/*.jpg")):
        concept = f"{file.parent.name}/{file.stem}"
        split = "" if tests is None else "test" if concept in held else "train"
        source = file.relative_to(root).as_posix()
        label = file.parent.name if labelled else ""
        found += [
            Row(concept, source, target, label, "", split, target or source) for target in drawn.get(concept, [""])
        ]
    return found


TASK = Sketchy
