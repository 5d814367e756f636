"""Qualitative panels of dense tasks: a few test images, their label maps, and what each variant makes of them."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.report.words import wrapped

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

    Font = FreeTypeFont | BitmapFont

Picture = NDArray[np.uint8]
GAP, LINE, WIDEST = 6, 14, 168
MOST = 12
"""Columns side by side; more of them are shown in bands."""
INK, FAINT = "#222222", "#8a8a8a"
BLANK = 232
"""Grey of pixels that are not scored."""


@dataclass(frozen=True)
class Column:
    """One column of a panel. pictures: of each image, [h, w, 3] uint8. sharp: not smoothed where it is enlarged."""

    title: str
    pictures: Sequence[Picture]
    sharp: bool = False


def painted(classes: NDArray[Any], palette: Picture, scored: NDArray[np.bool_] | None = None) -> Picture:
    """[h, w, 3]: a map of classes [h, w] in their colours, palette: [k, 3]; light grey where it is not `scored` [h, w],
    or no class."""
    colours = np.full((256, 3), BLANK, np.uint8)
    colours[: len(palette)] = palette
    out = colours[classes]
    if scored is not None:
        out[~scored] = BLANK
    return out


def picture(pixels: NDArray[Any]) -> Picture:
    """[h, w, 3] of an image [c, h, w] uint8: its first three channels, or its one as grey."""
    shown = pixels[:3] if len(pixels) >= 3 else np.repeat(pixels[:1], 3, 0)
    return np.ascontiguousarray(shown.transpose(1, 2, 0)).astype(np.uint8)


def bands(columns: Sequence[Column], shared: int, most: int = MOST) -> list[list[Column]]:
    """The columns in bands of at most `most`, as even as can be, each with the first `shared` ones in front."""
    first, rest = list(columns[:shared]), list(columns[shared:])
    if len(columns) <= most:
        return [[*first, *rest]]
    number = -(-len(rest) // (most - shared))
    ends = [-(-i * len(rest) // number) for i in range(number + 1)]  # the shorter ones last
    return [first + rest[a:b] for a, b in pairwise(ends)]


def panels(columns: Sequence[Column], classes: Sequence[str], palette: Picture, shared: int = 0) -> bytes:
    """A PNG: a row for each image, a column for each of `columns`, below them the colours of the classes.

    Many columns are shown in bands below each other, each beginning with the first `shared` ones.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(11)
    h, w = columns[0].pictures[0].shape[:2]
    wide = max(96, min(WIDEST, w))
    size = wide, max(1, round(h * wide / w))
    shown = bands(columns, shared)
    width = max(map(len, shown)) * (wide + GAP) + GAP
    per_row = max(1, (width - GAP) // 130)
    blocks = [_band(band, size, font) for band in shown]
    foot = LINE * -(-len(classes) // per_row) + 2 * GAP
    sheet = Image.new("RGB", (width, sum(block.height for block in blocks) + foot), "white")
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    pen = ImageDraw.Draw(sheet)
    for k, (name, colour) in enumerate(zip(classes, palette.tolist(), strict=True)):
        x, y = GAP + k % per_row * 130, top + GAP + k // per_row * LINE
        pen.rectangle((x, y + 2, x + 9, y + 11), fill=tuple(colour), outline=FAINT)
        pen.text((x + 13, y), name[:18], fill=INK, font=font)
    out = io.BytesIO()
    sheet.save(out, "PNG", optimize=True)
    return out.getvalue()


def _band(columns: Sequence[Column], size: tuple[int, int], font: "Font") -> "Image":
    """Titles, and below them the pictures, each so wide and high."""
    from PIL import Image, ImageDraw

    wide, high = size
    titles = [wrapped(column.title, wide // 6).split("\n") for column in columns]
    head = LINE * max(len(lines) for lines in titles) + GAP
    height = head + len(columns[0].pictures) * (high + GAP)
    band = Image.new("RGB", (len(columns) * (wide + GAP) + GAP, height), "white")
    pen = ImageDraw.Draw(band)
    for i, (column, lines) in enumerate(zip(columns, titles, strict=True)):
        x = GAP + i * (wide + GAP)
        for k, line in enumerate(lines):
            pen.text((x, k * LINE), line, fill=INK, font=font)
        how = Image.Resampling.NEAREST if column.sharp else Image.Resampling.LANCZOS
        for k, one in enumerate(column.pictures):
            band.paste(Image.fromarray(one).resize(size, how), (x, head + k * (high + GAP)))
    return band
