"""Contact sheets: what a student is shown as pairs, to be looked at."""

from itertools import cycle, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._dense_sheet import dense_sheet
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks.base import Index, Items, Split, TaskData

_SIDE, _GAP, _ARROW, _TEXT = 72, 6, 44, 40
_INK, _FAINT = "#222222", "#8a8a8a"


def contact_sheet(data: TaskData, split: Split, path: Path, columns: int = 3, rows: int = 6, seed: int = 0) -> Path:
    """Write a PNG of pairs: source items, an arrow, target items of the same concept, its name and its class.

    Concepts are drawn at random, in turn from each class, again where they are few; up to two items of each side are
    shown. Vectors are grids of grey, row by row. Of a dense task: both pictures and the label map (`dense_sheet`).
    Returns `path`.
    """
    from PIL import Image, ImageDraw, ImageFont

    if data.maps is not None:
        return dense_sheet(data, split, path, columns=2, rows=rows, seed=seed)
    width, height = 4 * _SIDE + 2 * _GAP + _ARROW + 28, _SIDE + _TEXT
    sheet = Image.new("RGB", (columns * width + 28, rows * height + 20), "white")
    pen = ImageDraw.Draw(sheet)
    name_font, class_font = ImageFont.load_default(15), ImageFont.load_default(12)
    rng = generator(seed, "sheet")
    chosen = _chosen(data, split, columns * rows, rng)
    for i, concept in enumerate(islice(cycle(chosen), columns * rows)):
        x, y = 28 + i % columns * width, 14 + i // columns * height
        left = _some(data.source, split.pairs_source, concept, rng)
        right = _some(data.target, split.pairs_target, concept, rng)
        for k, picture in enumerate(left):
            sheet.paste(_picture(picture), (x + k * (_SIDE + _GAP), y))
        middle = x + 2 * _SIDE + _GAP + _ARROW // 2
        half = y + _SIDE // 2
        pen.line((middle - 7, half, middle + 5, half), fill=_FAINT, width=2)
        pen.polygon([(middle + 9, half), (middle + 3, half - 5), (middle + 3, half + 5)], _FAINT)
        for k, picture in enumerate(right):
            sheet.paste(_picture(picture), (middle + _ARROW // 2 + k * (_SIDE + _GAP), y))
        name, label = _names(data, split, concept)
        pen.text((x, y + _SIDE + 3), name, fill=_INK, font=name_font)
        pen.text((x + pen.textlength(name, font=name_font) + 8, y + _SIDE + 6), label, fill=_FAINT, font=class_font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
    return path


def _chosen(data: TaskData, split: Split, n: int, rng: np.random.Generator) -> list[int]:
    """Concepts of the pairs, in turn from each class (all from one pool where pairs have no class)."""
    concepts, first = np.unique(data.target.concept[split.pairs_target], return_index=True)
    label = split.label[split.pairs_target][first]
    order = rng.permutation(len(concepts))
    rank = np.empty(len(concepts), int)
    for value in np.unique(label):
        members = order[label[order] == value]
        rank[members] = np.arange(len(members))
    chosen = order[np.argsort(rank[order] if (label >= 0).all() else order * 0, kind="stable")][:n]
    return [int(concept) for concept in concepts[chosen]]


def _some(items: Items, among: Index, concept: int, rng: np.random.Generator) -> list[NDArray[np.uint8]]:
    have = among[items.concept[among] == concept]
    return [np.asarray(items.data[i]) for i in np.sort(rng.permutation(have)[:2])]


def _grid(vector: NDArray[np.generic]) -> NDArray[np.uint8]:
    """[d] -> [1, h, w], h >= w as near as d allows, from white (the least entry) to black."""
    width = max(w for w in range(1, int(len(vector) ** 0.5) + 1) if len(vector) % w == 0)
    x = np.asarray(vector, float)
    return np.rint(255 - 255 * (x - x.min()) / max(np.ptp(x), 1e-12)).astype(np.uint8).reshape(1, -1, width)


def _picture(pixels: NDArray[np.uint8]):  # type: ignore[no-untyped-def]
    from PIL import Image

    pixels = _grid(pixels) if pixels.ndim == 1 else pixels
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).convert("RGB")
    return image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)


def _names(data: TaskData, split: Split, concept: int) -> tuple[str, str]:
    names: tuple[str, ...] = getattr(data, "concept_names", ())
    name = names[concept] if names else f"#{concept}"
    label = split.label[np.flatnonzero(data.target.concept == concept)[0]]
    return name, split.classes[label] if label >= 0 else ""
