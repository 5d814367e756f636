"""Arrays made once and kept as memory-mapped files: written atomically, locked, and checked when read."""

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.uint8]
_LOG = logging.getLogger(__name__)
_LAYOUT = 1


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


def cached(name: str, key: str, build: Callable[[], Array]) -> tuple[Array, str]:
    """The array that `build` makes, and its sha256; read from the cache where an intact copy is.

    name: for people, in the file name. key: all that the array depends on. A damaged copy is built anew with one
    line in the log. Where the cache cannot be written (no space, no permission), the array is kept in memory.
    """
    from filelock import FileLock

    path = cache_dir() / f"{name}-{sha256(_LAYOUT, key)[:20]}.npy"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        _LOG.warning("the cache %s cannot be used (%s): data is kept in memory", path.parent, error)
        array = build()
        return array, sha256(array)
    try:
        found = _read(path)
        if found is None:
            found = _write(path, build())
        return found
    finally:
        lock.release()


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


def _write(path: Path, array: Array) -> tuple[Array, str]:
    digest = sha256(array)
    try:
        _replace(path, lambda file: np.save(file, array))
        _replace(path.with_suffix(".json"), lambda file: file.write(json.dumps({"sha256": digest}).encode()))
        return np.load(path, mmap_mode="r"), digest
    except OSError as error:
        _LOG.warning("the cache %s cannot be written (%s): data is kept in memory", path.parent, error)
        return array, digest


def _replace(path: Path, fill: Callable) -> None:
    """Write to a temporary name beside `path`, then rename: a reader sees the old file, the new one, or none."""
    handle, temporary = tempfile.mkstemp(prefix=f"{path.stem}-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
