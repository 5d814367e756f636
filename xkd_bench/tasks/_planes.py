"""Dense readers' toolkit: image files as planes of bytes or of label numbers, fitted to one grid of pixels."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._pictures import open_image

Bytes = NDArray[np.uint8]
Ids = NDArray[np.integer[Any]]
Grid = tuple[int, int]
"""Height and width."""

IGNORE = 255
_LARGEST = 65535
"""Label number: what a file of 16 bits can hold."""


def colour(path: Path) -> Bytes:
    """[h, w, 3]. Transparency is laid on white; of 16 bits the upper 8 are kept."""
    return np.asarray(open_image(path).convert("RGB"))


def grey(path: Path) -> Bytes:
    """[h, w, 1]. Of 16 bits the upper 8 are kept."""
    return np.asarray(open_image(path).convert("L"))[:, :, None]


def numbers(path: Path) -> NDArray[Any]:
    """[h, w] or [h, w, c]: what an image or `.npy` holds, before anything is made of it (of a palette: its indices)."""
    from PIL import Image

    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    with Image.open(path) as image:
        return np.asarray(image)


def ranged(values: NDArray[Any], low: float, high: float) -> Bytes:
    """[h, w, 1]: `low` as 0, `high` as 255, linear between, cut beyond. Not a number is 0."""
    scaled = (np.nan_to_num(values.astype(np.float32), nan=low) - low) * (255 / (high - low))
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8).reshape(*values.shape[:2], -1)


def ids(path: Path) -> Ids:
    """[h, w] label numbers of a grey image or of one with a palette."""
    found = numbers(path)
    if found.ndim != 2 or found.dtype.kind not in "uib":
        raise ValueError("its labels are no numbers: a label map has one channel of whole numbers, or a palette")
    return found.astype(np.uint8) if found.dtype.kind == "b" else found


def coloured_ids(path: Path, palette: dict[tuple[int, int, int], int]) -> Ids:
    """[h, w] label numbers of an image whose colours stand for classes."""
    found = np.asarray(open_image(path).convert("RGB")).astype(np.int64)
    packed = found @ [1 << 16, 1 << 8, 1]
    colours, place = np.unique(packed, return_inverse=True)
    known = {r << 16 | g << 8 | b: number for (r, g, b), number in palette.items()}
    strange = [int(c) for c in colours if int(c) not in known]
    if strange:
        c = strange[0]
        raise ValueError(f"its colour ({c >> 16}, {c >> 8 & 255}, {c & 255}) stands for no class")
    return np.array([known[int(c)] for c in colours])[place].reshape(packed.shape)


def as_classes(labels: Ids, class_of: dict[int, int]) -> Bytes:
    """[h, w] classes (IGNORE: none) of label numbers. Raises ValueError with the first that `class_of` lacks."""
    low, high = int(labels.min()), int(labels.max())
    inside = low >= 0 and high <= _LARGEST
    present = np.flatnonzero(np.bincount(labels.ravel())).tolist() if inside else [low if low < 0 else high]
    if strange := [value for value in present if value not in class_of]:
        row, column = np.argwhere(labels == strange[0])[0]
        raise ValueError(f"its label {strange[0]} (row {row}, column {column}) is out of range")
    table = np.zeros(high + 1, np.uint8)
    table[present] = [class_of[value] for value in present]
    return table[labels]


def fit(pixels: Bytes, grid: Grid, nearest: bool, fill: int = 0) -> Bytes:
    """[h, w, c] as [c, *grid]: made smaller so that it fits, never larger, and padded below and to the right.

    So a grid as large as the largest image holds every image as it is. nearest: no value is made up between two
    (label maps, and depth across an edge); else Lanczos.
    """
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = min(1.0, grid[0] / height, grid[1] / width)
    out = np.full((pixels.shape[2], *grid), fill, np.uint8)
    if scale < 1:
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        how = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
        planes = [
            np.asarray(Image.fromarray(np.ascontiguousarray(p)).resize((width, height), how))
            for p in np.moveaxis(pixels, 2, 0)
        ]
    else:
        planes = list(np.moveaxis(pixels, 2, 0))
    out[:, :height, :width] = np.stack(planes)
    return out
