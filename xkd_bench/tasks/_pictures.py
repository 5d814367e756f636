"""The user's image files as arrays: read once, at the asked size, and every unreadable file named."""

import hashlib
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks.base import Index

if TYPE_CHECKING:
    from PIL.Image import Image

_THREADS, _BLOCK, _NAMED = 8, 256, 10
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")


class UnreadableError(Exception):
    """Files that are no images: (path, why) of each."""

    def __init__(self, files: list[tuple[str, str]]) -> None:
        super().__init__(f"{len(files)} unreadable files")
        self.files = files


def unreadable(root: Path, files: Sequence[tuple[str, str]], total: int, what: str = "images") -> UsageError:
    """One line that names the first of the files, with the reason, and says how many there are."""
    named = ", ".join(f"{path} ({why})" for path, why in files[:_NAMED])
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return UsageError(f"{len(files)} of {total} {what} in '{root}' cannot be read: {named}{more}")


def pictures(
    name: str, root: Path, files: Sequence[str], size: int, either: bool, add: Callable[[int], None]
) -> tuple[Array, str]:
    """Images [n, channels, size, size] uint8, and their sha256; from the cache where no file has changed since.

    Each image is scaled so that it covers the square, its aspect kept, and cut to it around its centre.
    Transparency is laid on white; of 16 bits the upper 8 are kept. either: one channel if all images are grey, else
    three. Raises UnreadableError with all files that cannot be read.
    """
    stamps = [stamp(root / file) for file in files]
    bad = [(file, stamp) for file, stamp in zip(files, stamps, strict=True) if isinstance(stamp, str)]
    told = 0

    def tell(n: int) -> None:
        nonlocal told
        told += n
        add(n)

    def build(allocate: Allocate) -> Array:
        return _read_all(root, files, size, either, allocate, tell)

    if bad:
        left = {file for file, _ in bad}
        _read_all(root, [file for file in files if file not in left], size, False, _scrap, tell, bad)
    key = sha256(str(root.resolve()), list(files), stamps, size, either)
    found = cached(f"{name}-{size}", key, build)
    add(len(files) - told)
    return found


def twins(images: Array, group: Index) -> list[tuple[int, int]]:
    """Images that are the same, pixel for pixel, as the first of their kind, but in another group: (first, this)."""
    first: dict[bytes, int] = {}
    found = []
    for i, image in enumerate(images):
        same = first.setdefault(hashlib.sha256(image.tobytes()).digest(), i)
        if group[same] != group[i]:
            found.append((same, i))
    return found


def _scrap(shape: tuple[int, ...]) -> Array:
    """Room for pixels that nobody will look at."""
    return np.broadcast_to(np.zeros(1, np.uint8), shape)


def stamp(path: Path) -> list[int] | str:
    """What changes when the file does; or why it is none (a pipe would be waited for without end)."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return "not found"
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error).lower()
    if stat.S_ISREG(found.st_mode):
        return [found.st_size, found.st_mtime_ns]
    return "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"


def _read_all(
    root: Path,
    files: Sequence[str],
    size: int,
    either: bool,
    allocate: Allocate,
    tell: Callable[[int], None],
    bad: Sequence[tuple[str, str]] = (),
) -> Array:
    out = allocate((len(files), 3, size, size))
    bad, grey = list(bad), either
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(files), _BLOCK):
            block = files[start : start + _BLOCK]
            for i, pixels in enumerate(pool.map(lambda file: _try_to_read(root / file, size), block), start):
                if isinstance(pixels, str):
                    bad.append((files[i], pixels))
                elif not bad:
                    out[i] = pixels
                    grey = grey and bool((pixels == pixels[:1]).all())
            tell(len(block))
    if bad:
        raise UnreadableError(bad)
    if not grey:
        return out
    flat = allocate((len(files), 1, size, size))
    for start in range(0, len(files), _BLOCK):
        flat[start : start + _BLOCK] = out[start : start + _BLOCK, :1]
    return flat


def _try_to_read(path: Path, size: int) -> NDArray[np.uint8] | str:
    """Pixels [3, size, size], or why there are none."""
    try:
        return _read(path, size)
    except Exception as error:
        return why(path, error)


def why(path: Path, error: Exception) -> str:
    """In a few words, why reading `path` ended in `error`."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "no image" if path.stat().st_size else "empty"
    if isinstance(error, Image.DecompressionBombError):
        return "too many pixels"
    if isinstance(error, OSError):
        return "truncated" if "truncated" in str(error).lower() else (error.strerror or str(error)).lower()
    return f"broken: {error}".splitlines()[0]


def _read(path: Path, size: int) -> NDArray[np.uint8]:
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(open_image(path).convert("RGB"), (size, size), Image.Resampling.LANCZOS)
    return np.asarray(fitted).transpose(2, 0, 1)


def open_image(path: Path) -> "Image":
    """An image of 8 bits a channel, the right way up: transparency laid on white, of 16 bits the upper 8."""
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        image: Image.Image = ImageOps.exif_transpose(file)
        if image.mode == "F":
            raise ValueError("its pixels are fractions: store 8 or 16 bits")
        if image.mode == "I" or image.mode in _DEEP:
            deep = np.asarray(image)
            if deep.min() < 0 or deep.max() > 65535:
                raise ValueError("it has more than 16 bits a pixel: store 8 or 16")
            image = Image.fromarray((deep >> 8).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image.load()
        return image
