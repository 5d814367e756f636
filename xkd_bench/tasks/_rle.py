"""Masks as COCO writes them: run lengths down the columns, each as a difference in groups of five bits."""

import numpy as np
from numpy.typing import NDArray


def decode(counts: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """[height, width] of compressed run lengths. Raises ValueError where they are not those of such a mask."""
    runs: list[int] = []
    value = shift = 0
    for byte in counts:
        bits = byte - 48
        if not 0 <= bits < 64:
            raise ValueError("its mask is no run-length code")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift or any(run < 0 for run in runs) or sum(runs) != height * width:
        raise ValueError(f"its mask is not of {width} × {height} pixels")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T
