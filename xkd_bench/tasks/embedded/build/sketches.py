"""QuickDraw sketches, packed: grey levels of ink quantised to a few, row by row."""

import gzip
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIDE = 28


def read_sketches(folder: Path, categories: list[str]) -> NDArray[np.uint8]:
    """[categories, 100, 28, 28] ink from 0 (paper) to 255, in the order of the package's files."""
    out = []
    for category in categories:
        with gzip.open(folder / f"src/drawings/{category}.ndjson.gz", "rt", encoding="utf8") as lines:
            rows = [json.loads(line) for line in lines if line.strip()]
        out.append(np.rint(np.array(rows) * 255).astype(np.uint8).reshape(-1, SIDE, SIDE))
    return np.stack(out)


def pack(ink: NDArray[np.uint8], levels: int) -> bytes:
    """Ink as levels 0..levels-1: bits where there are two, else base `levels` digits, as many as fit in a byte."""
    digits = (ink.astype(np.int64) * (levels - 1) + 127) // 255
    per_byte = {2: 8, 3: 5, 4: 4}[levels]
    digits = digits.ravel()
    digits = np.pad(digits, (0, -len(digits) % per_byte)).reshape(-1, per_byte)
    return (digits * levels ** np.arange(per_byte)).sum(1).astype(np.uint8).tobytes()
