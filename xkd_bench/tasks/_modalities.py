"""Files of any modality as arrays: pictures, frames, sounds, arrays of numbers; told apart by the file's ending."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._pictures import Reader, decoded, pictures, square, unreadables
from xkd_bench.tasks._spectrogram import PARAMETERS, RATE, Short, grid, spectrogram
from xkd_bench.tasks.base import Size

Kind = Literal["image", "audio", "vector"]
FRAMES = 12
"""Of a clip: as many as the CMCD paper takes [PAPER app. C]."""

_VIDEO = (".mp4", ".webm", ".mkv", ".avi", ".mov", ".m4v", ".mpg", ".mpeg")
_AUDIO = (".wav", ".flac", ".ogg", ".oga", ".mp3", ".opus", ".aiff", ".aif", ".au")


@dataclass(frozen=True)
class Modality:
    """kind: what the items are to networks. each: items of a file (frames of a clip). media: what is read of the files.

    seconds: of sound, from the start; short: what becomes of a shorter one.
    """

    kind: Kind
    media: Literal["image", "video", "audio", "array"]
    each: int = 1
    seconds: float = 10.0
    short: Short = "repeated"


def modality(root: Path, side: str, files: Sequence[str], seconds: float = 10.0) -> Modality:
    """The one modality of a side's files. Raises UsageError that names two files where they differ."""
    media = [_media(file) for file in files]
    if other := next((i for i, found in enumerate(media) if found != media[0]), 0):
        raise UsageError(
            f"{side} items are of two sorts: '{files[0]}' ({media[0]}) and '{files[other]}' ({media[other]}): "
            "one modality a side"
        )
    if media[0] == "array":
        return Modality("vector" if _shape(root, files) == 1 else "image", "array")
    if media[0] == "audio":
        return Modality("audio", "audio", seconds=seconds)
    if media[0] == "video":
        return Modality("image", "video", FRAMES)
    return Modality("image", "image")


def _media(file: str) -> Literal["image", "video", "audio", "array"]:
    ending = Path(file).suffix.lower()
    if ending in _VIDEO:
        return "video"
    if ending in _AUDIO:
        return "audio"
    return "array" if ending == ".npy" else "image"


def read_side(
    found: Modality, name: str, root: Path, files: Sequence[str], size: Size, either: bool, add: Callable[[int], None]
) -> tuple[NDArray[Any], str]:
    """Items [n × each, ...] and their sha256. Raises UnreadableError with all files that are no good.

    Images and frames: [channels, size, size] uint8. Arrays [d]: float32; arrays [c, h, w] uint8: fitted to the square
    as images are. Sounds: log-mel spectrograms [1, height, width] uint8 (`_spectrogram`), the only ones that need not
    be square.
    """
    if isinstance(size, tuple) and found.media != "audio":
        raise UsageError(f"{found.media} items are read as squares: give one number of pixels")
    high, wide = grid(size)
    if found.media == "image":
        return pictures(name, root, files, high, either, add)
    shape, read = _reader(found, root, files, size)
    what: tuple[object, ...] = (found.media, size, found.each)
    if found.media == "audio":
        what += (found.seconds, found.short, PARAMETERS)
    data, digest = decoded(f"{name}-{high}x{wide}", root, files, shape, read, add, what=what)
    return data.view(np.float32) if found.kind == "vector" else data, digest


def no_good(found: Modality, name: str, root: Path, files: Sequence[str]) -> list[tuple[str, str]]:
    """The files that cannot be read, and why."""
    shape, read = ((1, 3, 8, 8), square(8)) if found.media == "image" else _reader(found, root, files, 8)
    return unreadables(name, root, files, shape, read, (found.media,))


def _reader(found: Modality, root: Path, files: Sequence[str], size: Size) -> tuple[tuple[int, ...], Reader]:
    """The shape of what a file holds, in bytes, and what reads it."""
    high, wide = grid(size)
    if found.media == "video":
        return (found.each, 3, high, wide), lambda path: frames(path, found.each, high)
    if found.media == "audio":
        return (1, 1, high, wide), lambda path: spectrogram(
            sound(path, RATE), found.seconds, (high, wide), found.short
        )[None]
    first = next((array for file in files if (array := _peek(root / file)) is not None), np.zeros(1))
    if found.kind == "vector":
        return (1, 4 * len(first)), _vector
    return (1, len(first), high, wide), lambda path: _planes_of(path, high)


def _peek(path: Path) -> NDArray[Any] | None:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def _shape(root: Path, files: Sequence[str]) -> int:
    """Dimensions of the first array that can be read."""
    return next((array.ndim for file in files if (array := _peek(root / file)) is not None), 1)


def _vector(path: Path) -> NDArray[np.uint8]:
    array = np.load(path, allow_pickle=False)
    if array.ndim != 1 or array.dtype.kind not in "fiub":
        raise ValueError(f"it is no vector of numbers, but {array.dtype} {list(array.shape)}")
    if not np.isfinite(array).all():
        raise ValueError("it has entries that are not finite")
    return np.ascontiguousarray(array, np.float32).view(np.uint8)[None]


def _planes_of(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    array = np.load(path, allow_pickle=False)
    if array.ndim != 3 or array.dtype != np.uint8:
        raise ValueError(f"it is no uint8 array [c, h, w], but {array.dtype} {list(array.shape)}")
    fitted = [ImageOps.fit(Image.fromarray(plane), (size, size), Image.Resampling.LANCZOS) for plane in array]
    return np.stack([np.asarray(plane) for plane in fitted])[None]


def frames(path: Path, n: int, size: int) -> NDArray[np.uint8]:
    """[n, 3, size, size]: evenly spaced frames of a clip, the middles of n equal spans; a short clip repeats some."""
    from PIL import Image, ImageOps

    av = _av()
    with av.open(str(path)) as clip:
        if not clip.streams.video:
            raise ValueError("it has no picture")
        small = [
            ImageOps.fit(frame.to_image(), (size, size), Image.Resampling.LANCZOS) for frame in clip.decode(video=0)
        ]
    if not small:
        raise ValueError("it has no frame")
    chosen = ((np.arange(n) + 0.5) * len(small) / n).astype(int)
    return np.stack([np.asarray(small[i].convert("RGB")).transpose(2, 0, 1) for i in chosen])


def sound(path: Path, rate: int) -> NDArray[np.float32]:
    """[samples] the sound of a clip or recording, at `rate` samples a second, its channels averaged."""
    av = _av()
    parts = []
    with av.open(str(path)) as clip:
        if not clip.streams.audio:
            raise ValueError("it has no sound")
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for frame in clip.decode(audio=0):
            parts += [out.to_ndarray().ravel() for out in resampler.resample(frame)]
        parts += [out.to_ndarray().ravel() for out in resampler.resample(None)]
    if not parts:
        raise ValueError("it has no sound")
    return np.concatenate(parts)


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise UsageError("video and sound need PyAV: pip install 'xkd-bench[data]'") from None
    return av
