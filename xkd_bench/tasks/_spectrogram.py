"""Sounds as log-mel spectrograms, with VGGish's parameters (Hershey et al., ICASSP 2017)."""

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks.base import Size

RATE = 16_000
"""Samples a second."""
WINDOW, HOP = 400, 160
"""Samples: 25 ms under a Hann window, every 10 ms."""
BANDS, LOWEST, HIGHEST = 64, 125.0, 7500.0
"""Mel bands, and the Hz that they span."""
OFFSET = 0.01
"""Added to magnitudes before the logarithm: what is quieter is as good as silent."""
LOUDEST = 6.0
"""Log magnitude that becomes 255; silence becomes 0. A sine of full scale is at 4.6 to 5.2."""

PARAMETERS = (RATE, WINDOW, HOP, BANDS, LOWEST, HIGHEST, OFFSET, LOUDEST)
Short = Literal["repeated", "padded"]


def log_mel(wave: NDArray[np.float32]) -> NDArray[np.float32]:
    """[bands, frames] log(OFFSET + mel magnitudes) of samples in -1 to 1 at RATE; frames that lie wholly in the sound.

    Bands are triangles on the mel scale of HTK, 1127 ln(1 + f/700), of height 1.
    """
    if len(wave) < WINDOW:
        wave = np.pad(wave, (0, WINDOW - len(wave)))
    frames = np.lib.stride_tricks.sliding_window_view(wave, WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    magnitude = np.abs(np.fft.rfft(frames * hann, axis=1))
    return np.log(OFFSET + magnitude @ _triangles()).T.astype(np.float32)


@cache
def _triangles() -> NDArray[np.float64]:
    """[frequencies, bands]"""
    mel = 1127 * np.log(1 + np.fft.rfftfreq(WINDOW, 1 / RATE) / 700)
    low, high = (1127 * np.log(1 + f / 700) for f in (LOWEST, HIGHEST))
    corner = np.linspace(low, high, BANDS + 2)
    rising = (mel[:, None] - corner[:-2]) / (corner[1:-1] - corner[:-2])
    falling = (corner[2:] - mel[:, None]) / (corner[2:] - corner[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def spectrogram(wave: NDArray[np.float32], seconds: float, size: Size, short: Short = "repeated") -> NDArray[np.uint8]:
    """[1, height, width]: the first `seconds` as a picture, time to the right, low tones below; black is silence.

    size: of a square's side, or (height, width): bands and frames are averaged, or repeated, to so many. A shorter
    sound is repeated, as in VGGSound's own loader [CODE hche11/VGGSound], or padded with silence at its end.
    """
    from PIL import Image

    if not len(wave):
        raise ValueError("it has no sound")
    if not np.isfinite(wave).all():
        raise ValueError("it has samples that are not finite")
    n = round(seconds * RATE)
    whole = np.resize(wave, n) if short == "repeated" else np.pad(wave[:n], (0, max(0, n - len(wave))))
    loud = log_mel(whole) - np.log(OFFSET)
    pixels = np.clip(np.rint(loud * (255 / (LOUDEST - np.log(OFFSET)))), 0, 255).astype(np.uint8)[::-1]
    height, width = grid(size)
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).resize((width, height), Image.Resampling.BOX))[None]


def grid(size: Size) -> tuple[int, int]:
    """(height, width)"""
    return size if isinstance(size, tuple) else (size, size)
