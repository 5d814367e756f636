"""Drawings to pixels: SVG documents and sketches as uint8 images on white."""

import io
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks.base import Progress

_STEP = 64
_MARGIN = 2


def count(total: int, progress: Progress | None, done: int = 0) -> Callable[[int], None]:
    """A function that adds to what is done and reports it, if anyone listens."""

    def add(n: int) -> None:
        nonlocal done
        done += n
        if progress is not None and n:
            progress(done, total)

    return add


def renderer() -> str:
    """Name and version of the renderer: its output belongs to it."""
    from importlib.metadata import version

    return f"resvg_py {version('resvg_py')}"


def rasterise(
    documents: Sequence[str], size: int, channels: int, add: Callable[[int], None] = lambda n: None
) -> NDArray[np.uint8]:
    """SVG documents as images [n, channels, size, size] uint8 on white; channels: 3 (RGB) or 1 (grey)."""
    out = np.empty((len(documents), channels, size, size), np.uint8)
    for start in range(0, len(documents), _STEP):
        block = documents[start : start + _STEP]
        for i, document in enumerate(block, start):
            out[i] = _render(document, size, channels)
        add(len(block))
    return out


def _render(document: str, size: int, channels: int) -> NDArray[np.uint8]:
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(
        svg_string=document, width=size, height=size, background="#ffffff", skip_system_fonts=True
    )
    with Image.open(io.BytesIO(bytes(png))) as image:
        pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return pixels.transpose(2, 0, 1) if channels == 3 else pixels[None]


def sketches_at(ink: NDArray[np.bool_], size: int) -> NDArray[np.uint8]:
    """Bitmaps [n, side, side] as grey images [n, 1, size, size]: dark ink on white, with a margin of two pixels.

    At size = side + 4 the bitmap is kept as it is; at other sizes it is resampled (bicubic).
    """
    from PIL import Image

    paper = np.where(np.pad(ink, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN))), 0, 255).astype(np.uint8)
    if paper.shape[1] == size:
        return paper[:, None]
    scaled: Iterable[NDArray[np.uint8]] = (
        np.asarray(Image.fromarray(sheet).resize((size, size), Image.Resampling.BICUBIC)) for sheet in paper
    )
    return np.stack(list(scaled))[:, None]
