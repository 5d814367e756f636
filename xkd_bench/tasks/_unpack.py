"""Archives of the package registries, unpacked without trust: no path escapes, no links, no flood of bytes."""

import gzip
import hashlib
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

MOST_BYTES, MOST_FILES = 4 << 30, 200_000
_CHUNK = 1 << 20
_AR_MAGIC, _AR_HEADER = b"!<arch>\n", 60
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError, ValueError)


class UnpackError(Exception):
    """The archive is broken, or does what an archive of data has no need to do. Says what, in a few words."""


Member = tuple[str, Callable[[], IO[bytes]]]
Index = dict[str, tuple[int, str]]
"""Size and sha256 of each file by its path, parts joined by `/`."""


def unpack(archive: Path, into: Path, wanted: Sequence[str] = ("*",), strip: int = 0) -> Index:
    """Write the regular files of an npm tarball, wheel, zip or Debian package that match `wanted` to the folder `into`.

    wanted: shell patterns of whole paths; `*` matches `/` too. strip: how many leading folders of each path are left
    out. Links and devices are passed over. Raises UnpackError where a path leads out of `into`, where a pattern matches
    nothing, where there is more than MOST_BYTES or MOST_FILES, and where the archive is broken.
    """
    index: Index = {}
    used: set[str] = set()
    room = MOST_BYTES
    try:
        with _members(archive) as members:
            for name, opened in members:
                path = _safe(name, strip)
                matching = [pattern for pattern in wanted if path and fnmatchcase(path, pattern)]
                if not matching:
                    continue
                used.update(matching)
                if len(index) == MOST_FILES:
                    raise UnpackError(f"more than {MOST_FILES:,} files")
                with opened() as source:
                    index[path] = _write(source, into / path, room)
                room -= index[path][0]
    except _BROKEN as error:
        raise UnpackError(f"broken: {error}") from None
    if missing := sorted(set(wanted) - used):
        raise UnpackError(f"nothing in it is named {', '.join(missing)}")
    return index


def digest(source: BufferedReader) -> str:
    """sha256 (hex) of what is left in `source`."""
    return hashlib.file_digest(source, "sha256").hexdigest()


def _safe(name: str, strip: int) -> str:
    """The path below the folder, or "" if nothing of it is left."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name or (parts and ":" in parts[0]):
        raise UnpackError(f"'{name}' leads out of the folder")
    return "/".join(parts[strip:])


def _write(source: IO[bytes], path: Path, room: int) -> tuple[int, str]:
    path.parent.mkdir(parents=True, exist_ok=True)
    size, sha = 0, hashlib.sha256()
    with path.open("wb") as sink:
        while chunk := source.read(_CHUNK):
            size += len(chunk)
            if size > room:
                raise UnpackError(f"more than {MOST_BYTES >> 30} GiB")
            sha.update(chunk)
            sink.write(chunk)
    return size, sha.hexdigest()


@contextmanager
def _members(archive: Path) -> Iterator[Iterator[Member]]:
    """Names of the regular files of an archive, with what opens each; in the archive's order."""
    if archive.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(archive) as packed:
            yield _of_zip(packed)
    elif archive.suffix == ".deb":
        with archive.open("rb") as raw, _data_of_deb(raw) as tar:
            yield _of_tar(tar)
    else:
        with tarfile.open(archive, "r:*") as tar:
            yield _of_tar(tar)


def _of_zip(packed: zipfile.ZipFile) -> Iterator[Member]:
    link = 0o120000
    for info in packed.infolist():
        if not info.is_dir() and (info.external_attr >> 16) & 0o170000 != link:
            yield info.filename, lambda info=info: packed.open(info)  # type: ignore[misc]


def _of_tar(tar: tarfile.TarFile) -> Iterator[Member]:
    for info in tar:
        if info.isreg():
            yield info.name, lambda info=info: _opened(tar, info)  # type: ignore[misc]


def _opened(tar: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(info)
    assert stream is not None, "regular files can be read"
    return stream


def _data_of_deb(raw: IO[bytes]) -> tarfile.TarFile:
    """The tar file `data.tar.*` in a Debian package, which is an `ar` archive: see deb(5)."""
    if raw.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise UnpackError("broken: no Debian package")
    while len(header := raw.read(_AR_HEADER)) == _AR_HEADER:
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
        if not name.startswith("data.tar"):
            raw.seek(size + size % 2, 1)  # members begin at even bytes
        else:
            data: Any = _Part(raw, size)
            if name.endswith(".zst"):  # which tarfile cannot read before Python 3.14
                import pyarrow

                data = pyarrow.CompressedInputStream(pyarrow.PythonFile(data, "r"), "zstd")
            return tarfile.open(fileobj=data, mode="r|*")
    raise UnpackError("broken: a Debian package without data")


class _Part:
    """The next `size` bytes of a stream, to be read once from front to end."""

    closed = False

    def __init__(self, raw: IO[bytes], size: int) -> None:
        self._raw, self._left = raw, size

    def read(self, n: int = -1) -> bytes:
        data = self._raw.read(self._left if n < 0 else min(n, self._left))
        self._left -= len(data)
        return data
