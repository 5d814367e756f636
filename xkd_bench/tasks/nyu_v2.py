"""NYU Depth V2: RGB to depth, indoors, 40 or 13 classes, `nyu-v2:PATH` or `nyu-v2:PATH:13` (Silberman et al., 2012).

PATH holds `nyu_depth_v2_labeled.mat` (HDF5: `images`, `depths` in metres with holes filled in, `labels` 0 to 894,
`scenes`), `splits.mat` (795 and 654 frames) and `classMapping40.mat` (894 to 40 classes, Gupta et al., CVPR 2013);
for 13 classes also `class13Mapping.mat` (40 to 13, Couprie et al., ICLR 2013). The last three are small files apart
from the data; VainF/nyuv2-python-toolkit on GitHub has all of them [CODE: the keys as TUI-NICR/ESANet reads them].
Arrays are transposed against MATLAB's. Depth 0 to 10 m becomes 0 to 255. Label 0 is not scored. A group is a scene.
Some of train validates. Needs h5py: pip install 'xkd-bench[data]'.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks import _planes
from xkd_bench.tasks._dense import Scene
from xkd_bench.tasks._planes import IGNORE, Bytes, Ids
from xkd_bench.tasks._published import Published, sizes
from xkd_bench.tasks.base import Card

_FAR = 10.0
_DATA = "nyu_depth_v2_labeled.mat"


class NYUv2(Published):
    """All of the data is one file; a frame of it is `FILE#NUMBER`, from 0."""

    card = Card(
        name="nyu-v2",
        title="NYU Depth V2, labelled frames",
        source="RGB",
        target="depth",
        pairing="instance",
        origin="real",
        licence="as its authors say (research)",
        kind="segmentation",
        aligned=True,
        target_kind="depth",
    )
    home = "the NYU Depth Dataset V2 page of N. Silberman (cs.nyu.edu)"
    layout = f"{_DATA}, splits.mat and classMapping40.mat (the two small ones: GitHub VainF/nyuv2-python-toolkit)"
    needs = (_DATA, "splits.mat", "classMapping40.mat")
    published = sizes(train=795, test=654)
    variants = ("40", "13")
    target_nearest = True

    def __init__(self, argument: str = "") -> None:
        super().__init__(argument)
        forty = _mat(self.root / "classMapping40.mat")
        of = np.concatenate([[0], _entry(forty, "mapClass").ravel().astype(int)])
        names = [str(name[0]) for name in _entry(forty, "className").ravel()]
        if self.variant == "13":
            if not (self.root / "class13Mapping.mat").exists():
                raise UsageError(f"'{self.root}' lacks class13Mapping.mat (GitHub VainF/nyuv2-python-toolkit)")
            thirteen = _entry(_mat(self.root / "class13Mapping.mat"), "classMapping13")[0, 0]
            of = np.concatenate([[0], thirteen[0].ravel().astype(int)])[of]
            names = [str(name[0]) for name in thirteen[1].ravel()]
        self.classes, self.palette = tuple(names), ()
        self.class_of = {i: int(c) - 1 if c else IGNORE for i, c in enumerate(of)}

    def scenes(self) -> list[Scene]:
        """Frames of the published split."""
        splits = _mat(self.root / "splits.mat")
        with self._open() as file:
            if missing := [key for key in ("images", "depths", "labels", "scenes") if key not in file]:
                raise UsageError(f"'{self.root / _DATA}' lacks {', '.join(missing)}")
            scene = ["".join(map(chr, file[ref][()].ravel())) for ref in file["scenes"][()].ravel()]
        parts = {int(i) - 1: part for part in self.published for i in _entry(splits, f"{part}Ndxs").ravel()}
        if not parts or max(parts) >= len(scene):
            raise UsageError(f"'{self.root / 'splits.mat'}' names frames that {_DATA} does not have")
        frames = [(i, f"{_DATA}#{i}", part) for i, part in sorted(parts.items())]
        return self.own_groups([Scene(f"{i + 1:04d}", file, file, file, scene[i], part) for i, file, part in frames])

    def read_source(self, file: str) -> Bytes:
        """[480, 640, 3]"""
        return self._frame("images", file).transpose(2, 1, 0)

    def read_target(self, file: str) -> Bytes:
        """[480, 640, 1]"""
        return _planes.ranged(self._frame("depths", file).T, 0, _FAR)

    def read_label(self, file: str) -> Ids:
        """[480, 640]"""
        return self._frame("labels", file).T.astype(np.int64)

    def _frame(self, key: str, file: str) -> NDArray[Any]:
        with self._open() as data:
            return data[key][int(file.split("#")[1])]

    def _open(self) -> Any:
        try:
            return self._h5py.File(self.root / _DATA, "r")
        except OSError as error:
            raise UsageError(f"'{self.root / _DATA}' is no whole HDF5 file: {str(error).splitlines()[0]}") from None

    @cached_property
    def _h5py(self) -> Any:
        try:
            import h5py
        except ImportError:
            raise UsageError("task 'nyu-v2' needs h5py: pip install 'xkd-bench[data]'") from None
        return h5py


def _mat(path: Path) -> dict[str, Any]:
    """A MATLAB file of version 5."""
    from scipy.io import loadmat

    try:
        return loadmat(path)
    except Exception as error:
        raise UsageError(f"'{path}' cannot be read: {str(error).splitlines()[0]}") from None


def _entry(mat: dict[str, Any], key: str) -> NDArray[Any]:
    if key not in mat:
        held = ", ".join(k for k in mat if k[0] != "_") or "nothing"
        raise UsageError(f"a file of task 'nyu-v2' lacks '{key}': it has {held}")
    return mat[key]


TASK = NYUv2
