"""TU-Berlin: sketches of 250 classes, learned with Sketchy's pairs, `tu-berlin:PATH,SKETCHY` (Eitz et al., 2012).

PATH holds `png/CLASS/NUMBER.png` (or the classes themselves), 80 sketches a class: the authors' archive. The set has
no photographs: as in the CMCD paper, distillation is on Sketchy's pairs, read without labels from the folder SKETCHY
(see `sketchy`), and the score on TU-Berlin, 60 sketches a class to learn from (9 of them validate) and 20 to test.
Which sketches the paper tests is not stated [PAPER app. C gives the numbers]; ours are drawn once, the same for every
seed.
"""

from collections import Counter
from pathlib import Path

from xkd_bench.errors import UsageError
from xkd_bench.tasks import sketchy
from xkd_bench.tasks._manifest import Row
from xkd_bench.tasks._published import PublishedItems, sizes
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks.base import Card

_TEST, _VAL, _EACH = 20 / 80, 9 / 80, 80


class TUBerlin(PublishedItems):
    """Pairs are Sketchy's; labels are TU-Berlin's."""

    card = Card(
        name="tu-berlin",
        title="TU-Berlin sketches, distilled on Sketchy's pairs",
        source="photographs (Sketchy)",
        target="sketches",
        pairing="instance",
        origin="real",
        licence="CC BY 4.0; Sketchy as its authors say (research)",
    )
    home = "the page of Eitz, Hays and Alexa at TU Berlin (cybertron.cg.tu-berlin.de)"
    layout = "png/CLASS/NUMBER.png; with a comma after it the folder of Sketchy: tu-berlin:PATH,SKETCHY"
    needs = ()
    published = sizes(classes=250, sketches=250 * _EACH)

    def __init__(self, argument: str = "") -> None:
        path, _, pairs = argument.partition(",")
        super().__init__(path)
        if not pairs:
            raise UsageError(f"task 'tu-berlin' has no pairs of its own: tu-berlin:{path},SKETCHY (see 'sketchy')")
        self._pairs = sketchy.Sketchy(pairs)

    def rows(self) -> list[Row]:
        """Sketchy's pairs without labels, to learn from, and TU-Berlin's sketches with labels."""
        root = self._pairs.root.resolve()
        found = [
            Row(f"sketchy/{row.pair}", str(root / row.source), str(root / row.target), "", "", "train", row.where)
            for row in sketchy.rows(root, labelled=False)
            if row.target
        ]
        return found + [row for folder in self._classes() for row in self._class(folder)]

    def parts(self) -> Counter[str]:
        """Classes and sketches of TU-Berlin."""
        return Counter(classes=len(self.table.classes), sketches=int((self.table.target.label >= 0).sum()))

    def _classes(self) -> list[Path]:
        place = self.root / "png" if (self.root / "png").is_dir() else self.root
        return sorted(folder for folder in place.iterdir() if folder.is_dir() and folder.name[0] != ".")

    def _class(self, folder: Path) -> list[Row]:
        files = sorted(folder.glob("*.png"))
        order = generator(0, f"tu-berlin/{folder.name}").permutation(len(files))
        test, val = round(_TEST * len(files)), round(_VAL * len(files))
        split = {int(i): "test" if k < test else "val" if k < test + val else "train" for k, i in enumerate(order)}
        return [
            Row(path, "", path, folder.name, "", split[i], path)
            for i, path in enumerate(file.relative_to(self.root).as_posix() for file in files)
        ]


TASK = TUBerlin
