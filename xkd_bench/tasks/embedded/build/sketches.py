"""QuickDraw sketches, packed: grey levels of ink quantised to a few, row by row."""

import gzip
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 28


def read_sketches(folder: Path, categories: list[str]) -> NDArray[np.uint8]:
    """[categories, 100, 28, 28] ink from 0 (paper) to 255, in the order of the package's files, each sketch centred."""
    out = []
    for category in categories:
        with gzip.open(folder / f"src/drawings/{category}.ndjson.gz", "rt", encoding="utf8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
        sheets = np.rint(np.array(rows) * 255).astype(np.uint8).reshape(-1, SIDE, SIDE)
        out.append(np.stack([_centred(sheet) for sheet in sheets]))
    return np.stack(out)


def _centred(sheet: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The package's sketches touch the upper left corner: move the ink's bounding box to the middle."""
    inked = sheet > 127
    shift = []
    for axis in (1, 0):
        where = np.flatnonzero(inked.any(axis))
        shift.append((SIDE - 1 - where[0] - where[-1]) // 2)
    return np.roll(sheet, shift, axis=(0, 1))


def pack(ink: NDArray[np.uint8], levels: int) -> bytes:
    """Ink as levels 0..levels-1: bits where there are two, else base `levels` digits, as many as fit in a byte."""
    digits = (ink.astype(np.int64) * (levels - 1) + 127) // 255
    per_byte = {2: 8, 3: 5, 4: 4}[levels]
    digits = digits.ravel()
    digits = np.pad(digits, (0, -len(digits) % per_byte)).reshape(-1, per_byte)
    return (digits * levels ** np.arange(per_byte)).sum(1).astype(np.uint8).tobytes()
