"""Vectors as images: each coordinate is the contrast of its own texture, so that nothing is lost but by rounding."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from xkd_bench.tasks._cache import Allocate, Array, cached, sha256

MOST = 25
"""Textures that there are: vectors may have as many coordinates."""
_WAVES = sorted(((u, v) for u in range(1, 6) for v in range(1, 6)), key=lambda uv: (uv[0] ** 2 + uv[1] ** 2, uv))
_SPREAD = 2.0
_ROWS = 256
SMALLEST = 12
"""Pixels a side from which the textures are orthogonal."""


def textures(d: int, size: int) -> NDArray[np.float64]:
    """[d, size * size] cos(2 pi u x) cos(2 pi v y), 1 <= u, v <= 5, at the middles of the pixels: orthogonal.

    A mirrored image has the same textures, and a crop has them zoomed: what augmentation keeps of photographs it keeps
    of these.
    """
    places = (np.arange(size) + 0.5) / size
    waves = {u: np.cos(2 * math.pi * u * places) for u in range(1, 6)}
    return np.stack([np.outer(waves[v], waves[u]).reshape(-1) for u, v in _WAVES[:d]])


def render(x: ArrayLike, size: int) -> Array:
    """[n, d] -> [n, 1, size, size] uint8: 127.5 + sum_j (127 / d) Phi(x_j / 2) texture_j, rounded. No pixel is clipped.

    The map to images before rounding is one to one, so laws of images are as far apart as laws of vectors, and are as
    hard to classify. From the cache where it was made before.
    """
    rows = np.asarray(x, float)
    n, d = rows.shape

    def build(allocate: Allocate) -> Array:
        out, basis = allocate((n, 1, size, size)), textures(d, size)
        for start in range(0, n, _ROWS):
            contrast = 127 / d * special.ndtr(rows[start : start + _ROWS] / _SPREAD)
            out[start : start + _ROWS, 0] = np.rint(127.5 + contrast @ basis).reshape(-1, size, size)
        return out

    return cached(f"twin-gaussian-{size}", sha256("textures-1", rows, size), build)[0]


def decode(images: ArrayLike, d: int) -> NDArray[np.float64]:
    """[n, 1, size, size] -> [n, d]: the vectors again, as exactly as rounding to 256 levels leaves them."""
    pixels = np.asarray(images, float)
    basis = textures(d, pixels.shape[-1])
    contrast = (pixels.reshape(len(pixels), -1) - 127.5) @ basis.T / (basis**2).sum(1) * d / 127
    return np.asarray(_SPREAD * special.ndtri(np.clip(contrast, 1e-4, 1 - 1e-4)))
