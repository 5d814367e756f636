"""Archives come apart as they were put together, and what is hostile or broken in them stays inside."""

import tarfile
import zipfile

import pytest

from tests.tasks.archives import deb, link, npm, tar, wheel
from xkd_bench.tasks import _unpack
from xkd_bench.tasks._unpack import UnpackError, unpack

FILES = {"a.txt": b"alpha", "deep/er/b.bin": bytes(range(256)) * 9, "deep/c.txt": b""}


def put(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return path, tmp_path / "out"


def contents(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize(
    ("name", "content", "strip"),
    [
        ("x.tgz", npm(FILES), 1),
        ("x.tar", tar(FILES), 0),
        ("x.whl", wheel(FILES), 0),
        ("x.deb", deb(FILES), 0),
        ("x.deb", deb(FILES, "zst"), 0),
    ],
)
def test_every_kind_gives_back_its_files(tmp_path, name, content, strip):
    archive, out = put(tmp_path, name, content)
    index = unpack(archive, out, strip=strip)
    assert contents(out) == FILES
    assert {path: size for path, (size, _) in index.items()} == {path: len(data) for path, data in FILES.items()}


def test_only_what_is_wanted(tmp_path):
    archive, out = put(tmp_path, "x.tgz", npm(FILES))
    unpack(archive, out, ("*.bin", "a.*"), strip=1)
    assert set(contents(out)) == {"a.txt", "deep/er/b.bin"}


def test_a_pattern_that_names_nothing_is_told(tmp_path):
    archive, out = put(tmp_path, "x.whl", wheel(FILES))
    with pytest.raises(UnpackError, match=r"nothing in it is named \*\.svg"):
        unpack(archive, out, ("*.txt", "*.svg"))


@pytest.mark.parametrize("path", ["../evil", "ok/../../evil", "/etc/evil", "C:/evil", "ok\\..\\..\\evil"])
@pytest.mark.parametrize("make", [lambda files: ("x.tar", tar(files)), lambda files: ("x.zip", wheel(files))])
def test_no_path_leads_out(tmp_path, make, path):
    archive, out = put(tmp_path, *make({"good": b"1", path: b"2"}))
    if archive.suffix == ".zip" and zipfile.ZipFile(archive).namelist()[1] != path:
        pytest.skip("the zip module does not write this path")
    with pytest.raises(UnpackError, match="leads out of the folder"):
        unpack(archive, out)
    assert {f.name for f in tmp_path.rglob("*")} <= {archive.name, "out", "good"}


def test_links_and_devices_are_passed_over(tmp_path):
    more = (link("package/out", "/tmp"), link("package/hard", "package/a.txt", tarfile.LNKTYPE))
    pipe = tarfile.TarInfo("package/pipe")
    pipe.type = tarfile.FIFOTYPE
    archive, out = put(tmp_path, "x.tar", tar({"package/out/a.txt": b"1"}, more=(*more, pipe)))
    unpack(archive, out, strip=1)
    assert contents(out) == {"out/a.txt": b"1"}
    assert not (out / "out").is_symlink()


def test_a_link_in_a_wheel_is_passed_over(tmp_path):
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w") as packed:
        info = zipfile.ZipInfo("link")
        info.external_attr = 0o120777 << 16
        packed.writestr(info, "/etc/passwd")
        packed.writestr("file", b"1")
    unpack(path, tmp_path / "out")
    assert contents(tmp_path / "out") == {"file": b"1"}


def test_a_flood_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(_unpack, "MOST_BYTES", 3 << 20)
    archive, out = put(tmp_path, "x.tgz", npm({"small": b"1", "bomb": bytes(8 << 20)}))
    assert archive.stat().st_size < 1 << 20
    with pytest.raises(UnpackError, match="more than"):
        unpack(archive, out, strip=1)
    assert sum(f.stat().st_size for f in out.rglob("*")) <= 4 << 20


def test_too_many_files_are_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(_unpack, "MOST_FILES", 5)
    archive, out = put(tmp_path, "x.tar", tar({str(i): b"" for i in range(9)}))
    with pytest.raises(UnpackError, match="more than 5 files"):
        unpack(archive, out)


@pytest.mark.parametrize(("name", "content"), [("x.tgz", npm(FILES)), ("x.whl", wheel(FILES)), ("x.deb", deb(FILES))])
def test_what_is_cut_short_or_something_else_is_broken(tmp_path, name, content):
    for wrong in (content[: len(content) * 2 // 3], b"<html>not found</html>", b""):
        archive, out = put(tmp_path, name, wrong)
        with pytest.raises(UnpackError):
            unpack(archive, out)
