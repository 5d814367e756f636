"""Contact sheets of dense tasks: both pictures and the label map of each scene, with the colours of the classes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._splits import generator
from xkd_bench.tasks.base import LabelMaps, Split, TaskData

_GAP, _TEXT, _LONGEST = 8, 24, 160
_INK, _FAINT = "#222222", "#8a8a8a"
_BLANK = 232
"""Grey of pixels that are not scored."""


def dense_sheet(data: TaskData, split: Split, path: Path, columns: int = 2, rows: int = 6, seed: int = 0) -> Path:
    """Write a PNG of scenes of the train part: source, target, label map; below them a key of colours."""
    from PIL import Image, ImageDraw, ImageFont

    maps = data.maps
    assert maps is not None
    chosen = np.sort(generator(seed, "sheet").permutation(split.train)[: columns * rows])
    high, wide = maps.data.shape[1:]
    scale = _LONGEST / max(high, wide)
    size = (max(1, round(wide * scale)), max(1, round(high * scale)))
    shown = 2 if data.source.data is data.target.data else 3
    width, height = shown * (size[0] + _GAP) + 2 * _GAP, size[1] + _TEXT
    entries = list(zip(split.classes, maps.palette.tolist(), strict=True))
    per_row = max(1, (columns * width) // 150)
    legend = 16 * -(-len(entries) // per_row) + 12
    sheet = Image.new("RGB", (columns * width + _GAP, -(-len(chosen) // columns) * height + legend + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    names: tuple[str, ...] = getattr(data, "concept_names", ())
    for k, i in enumerate(chosen.tolist()):
        x, y = _GAP + k % columns * width, _GAP + k // columns * height
        planes = [data.source.data[i], data.target.data[i], painted(maps, i)]
        for j, plane in enumerate(planes if shown == 3 else planes[1:]):
            how = Image.Resampling.NEAREST if plane is planes[2] else Image.Resampling.LANCZOS
            sheet.paste(_image(np.asarray(plane)).resize(size, how), (x + j * (size[0] + _GAP), y))
        pen.text((x, y + size[1] + 3), (names[i] if names else f"#{i}")[-48:], fill=_FAINT, font=font)
    top = sheet.height - legend
    for k, (name, colour) in enumerate(entries):
        x, y = _GAP + k % per_row * 150, top + k // per_row * 16
        pen.rectangle((x, y + 2, x + 10, y + 12), fill=tuple(colour), outline=_FAINT)
        pen.text((x + 15, y), name[:20], fill=_INK, font=font)
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)
    return path


def painted(maps: LabelMaps, item: int) -> NDArray[np.uint8]:
    """[3, h, w]: a label map in the colours of its classes, light grey where it is not scored."""
    colours = np.full((256, 3), _BLANK, np.uint8)
    colours[: len(maps.palette)] = maps.palette
    return colours[maps.data[item]].transpose(2, 0, 1)


def _image(pixels: NDArray[np.uint8]):  # type: ignore[no-untyped-def]
    from PIL import Image

    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels[:3].transpose(1, 2, 0)).convert("RGB")
