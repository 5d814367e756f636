"""Images made worse along named axes, by a strength from 0 (unchanged, bit for bit) to 1.

Strengths are of no common unit: half of one axis is not as bad as half of another. Along one axis, more is worse: the
mean distance from the original grows. What is random (noise, places of patches) is drawn for each item from its
number, so that an item is the same in every call, and its noise at one strength is that at another, scaled.

| axis | at strength s |
|---|---|
| edge | mixed with its line drawing: s of dark lines where the grey image has edges, 1 − s of the image |
| grey | colour faded towards luma (ITU-R 601): 1 has none left |
| contrast | each channel drawn towards the image's mean: 1 is flat |
| occlude | this share of the area covered by mid-grey squares, an 8 × 8 grid, in the item's own order |
| blur | Gaussian, standard deviation s · side / 8 |
| noise | Gaussian, standard deviation s · 128 grey levels, in each pixel and channel |
| quantise | 256^(1−s) · 2^s grey levels, evenly spaced: 1 is black and white |
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._splits import generator

Float = NDArray[np.float32]
VERSION = 1
"""Part of what a degraded task's digest rests on; raised when an axis comes to mean something else."""

_BLOCK = 256
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_CELLS = 8
_MID = 128.0
_FULL_EDGE = 64.0
"""Grey levels of a step that is drawn as a black line."""


def degrade(images: NDArray[np.uint8], strengths: Mapping[str, float], out: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Write images [n, 1 or 3, h, w], made worse along the axes named, to `out` of the same shape; returns `out`.

    Axes are gone through in the order of AXES, whatever the order in `strengths`: what is before the camera, its lens,
    its sensor, its storage.
    """
    for start in range(0, len(images), _BLOCK):
        block = np.asarray(images[start : start + _BLOCK])
        worse = block.astype(np.float32)
        for axis, apply in AXES.items():
            if strength := strengths.get(axis, 0.0):
                worse = apply(worse, np.float32(strength), range(start, start + len(block)))
        out[start : start + len(block)] = np.rint(worse.clip(0, 255)).astype(np.uint8)
    return out


def _edge(x: Float, s: np.float32, items: range) -> Float:
    from scipy.ndimage import gaussian_filter

    width, luma = max(0.7, _side(x) / 64), _luma(x)
    slopes = [gaussian_filter(luma, (0, 0, width, width), (0, 0, *way), mode="nearest") for way in ((0, 1), (1, 0))]
    slope = np.hypot(*slopes)
    # A step of height H, smoothed by a Gaussian of deviation w, has the slope H / (w √2π) at its steepest.
    ink = np.clip(slope * np.float32(width * np.sqrt(2 * np.pi) / _FULL_EDGE), 0, 1)
    return x + s * (255 * (1 - ink) - x)


def _grey(x: Float, s: np.float32, items: range) -> Float:
    return x + s * (_luma(x) - x)


def _contrast(x: Float, s: np.float32, items: range) -> Float:
    return x + s * (x.mean((2, 3), keepdims=True) - x)


def _occlude(x: Float, s: np.float32, items: range) -> Float:
    n, _, height, width = x.shape
    order = np.stack([generator(i, "degrade/occlude").permutation(_CELLS**2) for i in items])
    covered = np.clip(s * _CELLS**2 - order, 0, 1).astype(np.float32).reshape(n, 1, _CELLS, _CELLS)
    rows, columns = (np.arange(size) * _CELLS // size for size in (height, width))
    return x + covered[:, :, rows[:, None], columns] * (_MID - x)


def _blur(x: Float, s: np.float32, items: range) -> Float:
    """With the discrete Gaussian e^{-t} I_n(t), t the variance (Lindeberg 1990): no width is too small to blur."""
    from scipy.ndimage import convolve1d
    from scipy.special import ive

    width = float(s) * _side(x) / 8
    reach = int(np.ceil(4 * width)) + 1
    weights = ive(abs(np.arange(-reach, reach + 1)), width**2)
    for axis in (2, 3):
        x = convolve1d(x, weights / weights.sum(), axis, mode="nearest")
    return x


def _noise(x: Float, s: np.float32, items: range) -> Float:
    drawn = [generator(i, "degrade/noise").standard_normal(x.shape[1:], np.float32) for i in items]
    return x + s * 128 * np.stack(drawn)


def _quantise(x: Float, s: np.float32, items: range) -> Float:
    steps = np.rint(256 ** (1 - s) * 2**s) - 1
    return np.rint(x.clip(0, 255) / 255 * steps) * (255 / steps)


def _luma(x: Float) -> Float:
    """[n, c, h, w] to [n, 1, h, w]."""
    return x if x.shape[1] == 1 else np.einsum("nchw,c->nhw", x, _LUMA)[:, None]


def _side(x: Float) -> int:
    return min(x.shape[2:])


AXES: dict[str, Callable[[Float, np.float32, range], Float]] = {
    "edge": _edge,
    "grey": _grey,
    "contrast": _contrast,
    "occlude": _occlude,
    "blur": _blur,
    "noise": _noise,
    "quantise": _quantise,
}
