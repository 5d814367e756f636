"""Files that are whole or not there."""

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from xkd_bench.errors import UsageError


def write_all(folder: Path | str, name: str, contents: Mapping[str, bytes]) -> list[Path]:
    """Write `folder/name`.ENDING for each ending and its content; return the paths in their order.

    Each file is written under a temporary name, then renamed: a reader, or a process killed on the way, never sees half
    a file. UsageError, in one line, where the folder cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_replace(folder / f"{name}.{ending}", content) for ending, content in contents.items()]
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another --out") from error


def _replace(path: Path, content: bytes) -> Path:
    here = f".{path.name}.{platform.node()}."
    temporary = path.with_name(f"{here}{os.getpid()}.tmp")
    for left in path.parent.iterdir():
        if left.name.startswith(here) and left.suffix == ".tmp" and not _alive(left.suffixes[-2][1:]):
            left.unlink(missing_ok=True)  # its writer was killed
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _alive(number: str) -> bool:
    """Whether this machine has a process of this number."""
    try:
        os.kill(int(number), 0)
    except (ValueError, OSError) as error:
        return isinstance(error, PermissionError)  # somebody else's
    return True
