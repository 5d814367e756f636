"""The user's image files as arrays: read once, at the asked size, and every unreadable file named."""

import hashlib
import json
import logging
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks.base import Index

if TYPE_CHECKING:
    from PIL.Image import Image

_LOG = logging.getLogger(__name__)
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


def say_skipped(name: str, files: Sequence[str]) -> None:
    """One line in the log on what was left out."""
    if files:
        _LOG.warning("%s: %d files that cannot be read are left out (first: %s)", name, len(files), files[0])


Reader = Callable[[Path], NDArray[np.uint8]]
"""[items, ...] of one file: what each of its items is, all of one shape."""


def pictures(
    name: str, root: Path, files: Sequence[str], size: int, either: bool, add: Callable[[int], None]
) -> tuple[Array, str]:
    """Images [n, channels, size, size] uint8, and their sha256; from the cache where no file has changed since.

    Each image is scaled so that it covers the square, its aspect kept, and cut to it around its centre.
    Transparency is laid on white; of 16 bits the upper 8 are kept. either: one channel if all images are grey, else
    three. Raises UnreadableError with all files that cannot be read.
    """
    return decoded(f"{name}-{size}", root, files, (1, 3, size, size), square(size), add, either, (size,))


def square(size: int) -> Reader:
    """What reads an image file as [1, 3, size, size]."""
    return lambda path: _read(path, size)[None]


def decoded(
    name: str,
    root: Path,
    files: Sequence[str],
    shape: tuple[int, ...],
    read: Reader,
    add: Callable[[int], None],
    either: bool = False,
    what: tuple[object, ...] = (),
) -> tuple[Array, str]:
    """What `read` makes of each file, [n × items, ...] bytes, and its sha256; cached until a file changes.

    shape: of what `read` returns. what: all that `read` depends on but the file. either: of [n, 3, h, w] the first
    channel alone where all three are the same throughout. Raises UnreadableError with all files that are no good.
    """
    stamps = [stamp(root / file) for file in files]
    bad = [(file, said) for file, said in zip(files, stamps, strict=True) if isinstance(said, str)]
    told = 0

    def tell(n: int) -> None:
        nonlocal told
        told += n
        add(n)

    def build(allocate: Allocate) -> Array:
        return _read_all(root, files, shape, read, either, allocate, tell)

    if bad:
        left = {file for file, _ in bad}
        _read_all(root, [file for file in files if file not in left], shape, read, False, _scrap, tell, bad)
    found = cached(name, sha256(str(root.resolve()), list(files), stamps, *what, either), build)
    add(len(files) - told)
    return found


def unreadables(
    name: str, root: Path, files: Sequence[str], shape: tuple[int, ...], read: Reader, what: tuple[object, ...] = ()
) -> list[tuple[str, str]]:
    """The files that are no good, and why; found out once, until a file changes."""
    stamps = [stamp(root / file) for file in files]

    def build(_: Allocate) -> Array:
        good = [file for file, said in zip(files, stamps, strict=True) if not isinstance(said, str)]
        bad = [(file, str(said)) for file, said in zip(files, stamps, strict=True) if isinstance(said, str)]
        try:
            _read_all(root, good, shape, read, False, _scrap, lambda n: None, bad)
        except UnreadableError as error:
            bad = error.files
        return np.frombuffer(json.dumps(bad).encode(), np.uint8)

    array, _ = cached(f"{name}-unreadable", sha256(str(root.resolve()), list(files), stamps, *what), build)
    return [(str(file), str(said)) for file, said in json.loads(array.tobytes())]


def twins(images: NDArray[Any], group: Index) -> list[tuple[int, int]]:
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
    shape: tuple[int, ...],
    read: Reader,
    either: bool,
    allocate: Allocate,
    tell: Callable[[int], None],
    bad: Sequence[tuple[str, str]] = (),
) -> Array:
    each = shape[0]
    out = allocate((len(files) * each, *shape[1:]))
    bad, grey = list(bad), either
    with ThreadPoolExecutor(_THREADS) as pool:
        for start in range(0, len(files), _BLOCK):
            block = files[start : start + _BLOCK]
            for i, pixels in enumerate(pool.map(lambda file: _try_to_read(root / file, read), block), start):
                if isinstance(pixels, str):
                    bad.append((files[i], pixels))
                elif pixels.shape != shape:
                    bad.append((files[i], f"shape {pixels.shape[1:]}, where others have {shape[1:]}"))
                elif not bad and out.flags.writeable:
                    out[i * each : (i + 1) * each] = pixels
                    grey = grey and bool((pixels == pixels[:, :1]).all())
            tell(len(block))
    if bad:
        raise UnreadableError(bad)
    if not grey:
        return out
    flat = allocate((len(out), 1, *shape[2:]))
    for start in range(0, len(out), _BLOCK):
        flat[start : start + _BLOCK] = out[start : start + _BLOCK, :1]
    return flat


def _try_to_read(path: Path, read: Reader) -> NDArray[np.uint8] | str:
    """What is in the file, or why there is nothing."""
    try:
        return read(path)
    except UsageError:  # not this file's fault: a package is missing
        raise
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


def open_image(path: Path | IO[bytes]) -> "Image":
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
