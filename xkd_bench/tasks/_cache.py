"""Arrays made once and kept as memory-mapped files: written atomically, locked, and checked when read."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]
_LOG = logging.getLogger(__name__)
_LAYOUT = 1
_ZEROS = 1 << 24


def cache_dir() -> Path:
    """`$XKD_BENCH_CACHE`, else `$XDG_CACHE_HOME/xkd-bench`, else `~/.cache/xkd-bench`."""
    if own := os.environ.get("XKD_BENCH_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "xkd-bench"


def sha256(*parts: object) -> str:
    """Hex digest of strings, numbers, and arrays (with dtype and shape), each part kept apart from the next."""
    out = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            out.update(f"{part.dtype.str}{part.shape}:".encode())
            out.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
        else:
            text = json.dumps(part, sort_keys=True).encode()
            out.update(f"{len(text)}:".encode() + text)
    return out.hexdigest()


Allocate = Callable[[tuple[int, ...]], Array]
"""Room for an array of this shape: in the cache folder where that can be written, else in memory."""


def cached(name: str, key: str, build: Callable[[Allocate], Array], dtype: DTypeLike = np.uint8) -> tuple[Array, str]:
    """The array that `build` makes, and its sha256; read from the cache where an intact copy is.

    name: for people, in the file name. key: all that the array depends on. build: makes the array, best in the room
    that it is given, for then it need not fit in memory. dtype: of that room (images are uint8, spectrograms float16;
    what `build` returns is kept as it is). A damaged copy is built anew with one line in the log.
    Where the cache cannot be written (no space, no permission), the array is kept in memory.
    """
    from filelock import FileLock, Timeout

    kind = np.dtype(dtype)
    own = () if kind == np.uint8 else (kind.str,)
    path = cache_dir() / f"{name}-{sha256(_LAYOUT, key, *own)[:20]}.npy"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        try:
            lock.acquire(timeout=1)
        except Timeout:
            _LOG.warning("another process is making %s: waiting for it", path.name)
            lock.acquire()
    except OSError as error:
        _warn(path, error)
        array = build(lambda shape: np.empty(shape, kind))
        return array, sha256(array)
    try:
        return _read(path) or _made(path, build, kind)
    finally:
        lock.release()


def _warn(path: Path, error: OSError) -> None:
    _LOG.warning("the cache %s cannot be used (%s): data is kept in memory", path.parent, error)


def _read(path: Path) -> tuple[Array, str] | None:
    """The array and its digest, or None where there is none, or none that is intact."""
    note = path.with_suffix(".json")
    if not path.exists() or not note.exists():
        return None
    try:
        array = np.load(path, mmap_mode="r")
        digest = str(json.loads(note.read_text("utf8"))["sha256"])
        intact = sha256(array) == digest
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        intact = False
    if intact:
        return array, digest
    _LOG.warning("the cached %s is damaged: it is made anew", path.name)
    return None


def _made(path: Path, build: Callable[[Allocate], Array], dtype: np.dtype[Any]) -> tuple[Array, str]:
    """Build beside `path`, then move there. Rooms that `build` does not return are thrown away.

    The caller holds the lock, so whatever else lies beside `path` was left by a process that was killed.
    """

    def on_disk(shape: tuple[int, ...]) -> Array:
        try:
            return _room(path, shape, dtype)
        except OSError as error:
            _warn(path, error)
            return np.empty(shape, dtype)

    _clear(path)
    try:
        array = build(on_disk)
        digest = sha256(array)
        try:
            _keep(path, array, digest)
            array = np.load(path, mmap_mode="r")
        except OSError as error:
            _warn(path, error)
        return array, digest
    finally:
        _clear(path)


def _clear(path: Path) -> None:
    for left in path.parent.glob(f"{path.stem}-*.tmp"):
        with suppress(OSError):
            left.unlink()


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.stem}-{uuid4().hex}.tmp")


def _room(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A writable array on a file beside `path`. The space is taken at once: a full disk is an OSError, not a crash."""
    file = _temporary(path)
    array: Array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    with file.open("rb+") as handle:
        handle.seek(array.offset)  # type: ignore[attr-defined]
        for left in range(array.nbytes, 0, -_ZEROS):
            handle.write(bytes(min(left, _ZEROS)))
    return array


def _keep(path: Path, array: Array, digest: str) -> None:
    """Put the array, then the note of its digest, in place by renaming: a reader sees old, new or nothing."""
    file = Path(str(getattr(array, "filename", None) or _temporary(path)))
    if isinstance(array, np.memmap):
        array.flush()
    else:
        with file.open("wb") as handle:
            np.save(handle, array)
    os.replace(file, path)
    note = _temporary(path)
    note.write_text(json.dumps({"sha256": digest}), "utf8")
    os.replace(note, path.with_suffix(".json"))
