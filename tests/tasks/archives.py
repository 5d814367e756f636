"""Package files in the registries' true formats, made on the spot, and stand-ins for the registries' clients."""

import gzip
import hashlib
import io
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from xkd_bench.tasks._packages import Client, Package

Files = Mapping[str, bytes]


def tar(files: Files, mode: str = "w", more: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as packed:
        for info in more:
            packed.addfile(info)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
    return out.getvalue()


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def npm(files: Files) -> bytes:
    return gzip.compress(tar({f"package/{name}": content for name, content in files.items()}), mtime=0)


def wheel(files: Files) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return out.getvalue()


def deb(files: Files, compression: str = "xz") -> bytes:
    """An `ar` archive as dpkg makes it: deb(5). Members begin at even bytes."""
    data = tar({f"./{name}": content for name, content in files.items()}, "w" if compression == "zst" else "w:xz")
    if compression == "zst":
        import pyarrow

        data = pyarrow.Codec("zstd").compress(data, asbytes=True)
    out = b"!<arch>\n"
    for name, content in (("debian-binary", b"2.0\n"), ("control.tar.xz", tar({}, "w:xz")), ("data.tar", data)):
        name += f".{compression}" * (name == "data.tar")
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content
        out += b"\n" * (len(content) % 2)
    return out


MAKERS = {"npm": npm, "pip": wheel, "apt-get": deb}
FILE_NAMES = {"npm": "thing-1.0.tgz", "pip": "thing-1.0-py3-none-any.whl", "apt-get": "thing_1.0_all.deb"}

_CLIENT = """#!{python}
import pathlib, shutil, sys
registry, argv = pathlib.Path({registry!r}), sys.argv[1:]
with (registry / "asked.txt").open("a") as log:
    log.write(" ".join(argv) + "\\n")
name = argv[1].partition("@")[0] if argv[0] == "pack" else argv[-1].partition("=")[0]
answers = sorted(registry.glob("*." + name))
if not answers:
    sys.exit((registry / "error.txt").read_text() if (registry / "error.txt").exists() else "no such package")
folder = next((argv[i + 1] for i, word in enumerate(argv) if word in ("--pack-destination", "--dest")), ".")
kept, = (registry / "name.txt").read_text().splitlines()
shutil.copy(answers[0], pathlib.Path(folder) / kept)
if len(answers) > 1:
    answers[0].unlink()
"""


class Registry:
    """Serves packages to stand-ins for npm, apt-get and pip, which are programs of their own in PATH."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.programs = folder / "registry", folder / "programs"
        for path in (self.folder, self.programs):
            path.mkdir()
        script = _CLIENT.format(python=sys.executable, registry=str(self.folder))
        for name in ("npm", "apt-get", "python"):
            (self.programs / name).write_text(script)
            (self.programs / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(self.programs))
        monkeypatch.setattr(sys, "executable", str(self.programs / "python"))

    def offer(self, client: Client, files: Files, *before: bytes, wanted: tuple[str, ...] = ("*",)) -> Package:
        """A package that is served after the wrong contents `before`, one an answer."""
        content = MAKERS[client](files)
        (self.folder / "name.txt").write_text(FILE_NAMES[client])
        for i, answer in enumerate((*before, content)):
            (self.folder / f"{i}.thing").write_bytes(answer)
        sha = hashlib.sha256(content).hexdigest()
        return Package(client, "thing", "1.0", sha, len(content), "MIT", wanted)

    def fail(self, said: str) -> None:
        (self.folder / "error.txt").write_text(said)

    @property
    def asked(self) -> list[str]:
        log = self.folder / "asked.txt"
        return log.read_text().splitlines() if log.exists() else []
