"""Packages: fetched once by the registry's client, checked, mended, and every way to fail is one line."""

import os

import pytest

from tests.tasks.archives import Registry
from xkd_bench.errors import UsageError
from xkd_bench.tasks import _packages
from xkd_bench.tasks._packages import Package, damage, fetch, fetch_all, unpacked

FILES = {"data/a.txt": b"alpha", "data/b.bin": bytes(range(256)) * 40, "README": b"read me"}
CLIENTS = ["npm", "pip", "apt-get"]


@pytest.fixture
def registry(tmp_path, monkeypatch) -> Registry:
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path / "cache"))
    return Registry(tmp_path, monkeypatch)


def contents(folder):
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("client", CLIENTS)
def test_fetched_once_then_kept(registry, client):
    package = registry.offer(client, FILES)
    assert unpacked(package) is None
    assert damage(package) == ["thing 1.0 is not here"]
    told = []
    folder = fetch(package, lambda *what: told.append(what))
    assert contents(folder) == FILES
    assert told[0] == ("fetching thing 1.0", 0, package.size)
    assert told[-1] == ("thing 1.0", package.size, package.size)
    assert fetch(package) == unpacked(package) == folder
    assert damage(package) == []
    assert len(registry.asked) == 1


def test_clients_are_asked_as_their_users_would(registry):
    asked = {}
    for client in CLIENTS:
        fetch(registry.offer(client, FILES))
        asked[client] = registry.asked[-1]
    assert asked["npm"].startswith("pack thing@1.0 --pack-destination ")
    assert asked["apt-get"] == "download thing=1.0"
    assert asked["pip"].startswith("-m pip download --no-deps --only-binary=:all: ")
    assert asked["pip"].endswith(" thing==1.0")


def test_only_the_wanted_files_and_more_later_without_fetching(registry):
    few = registry.offer("npm", FILES, wanted=("data/*.txt",))
    assert set(contents(fetch(few))) == {"data/a.txt"}
    more = registry.offer("npm", FILES, wanted=("data/*",))
    assert set(contents(fetch(more))) == {"data/a.txt", "data/b.bin"}
    assert len(registry.asked) == 1


def test_what_was_damaged_is_told_and_mended_without_fetching(registry):
    package = registry.offer("npm", FILES)
    folder = fetch(package)
    (folder / "data/b.bin").write_bytes(FILES["data/b.bin"][:-1] + b"!")
    assert unpacked(package), "the size is right, and bytes are not read"
    assert damage(package) == [f"thing 1.0: '{folder / 'data/b.bin'}' is damaged"]
    (folder / "data/a.txt").unlink()
    assert unpacked(package) is None
    assert len(damage(package)) == 2
    assert contents(fetch(package)) == FILES
    assert damage(package) == []
    assert len(registry.asked) == 1


def test_a_damaged_package_file_is_fetched_again(registry):
    package = registry.offer("npm", FILES)
    folder = fetch(package)
    next(folder.parent.glob("*.tgz")).write_bytes(b"cut sho")
    assert contents(fetch(package)) == FILES
    assert len(registry.asked) == 1, "what is unpacked is whole"
    (folder / "README").unlink()
    assert contents(fetch(package)) == FILES
    assert len(registry.asked) == 2


def test_a_corrupt_download_is_fetched_once_more(registry):
    package = registry.offer("npm", FILES, b"<html>try later</html>")
    assert contents(fetch(package)) == FILES
    assert len(registry.asked) == 2


def test_a_download_corrupt_twice_is_refused(registry):
    package = registry.offer("npm", FILES, b"no", b"no")
    with pytest.raises(UsageError, match=r"^thing 1\.0 came with another sha256 than .*, twice: ") as caught:
        fetch(package)
    assert "\n" not in str(caught.value)
    assert len(registry.asked) == 2
    assert unpacked(package) is None
    home = _packages._home(package)
    assert [f.name for f in home.iterdir()] == [".lock"], "nothing half-written"


@pytest.mark.parametrize(
    ("client", "said", "kept"),
    [
        (
            "npm",
            "npm error code ENOTFOUND\nnpm error network request to https://npm.example failed\nnpm error A log",
            "npm error network request to https://npm.example failed",
        ),
        ("apt-get", "Reading package lists...\nE: Unable to locate package thing\n", "E: Unable to locate package"),
        (
            "pip",
            "WARNING: Retrying\nERROR: No matching distribution found for thing==1.0\n",
            "No matching distribution",
        ),
        ("npm", "", "it gave no reason"),
    ],
)
def test_no_registry_is_one_line_with_the_reason(registry, client, said, kept):
    registry.fail(said or "\n")
    with pytest.raises(UsageError, match=f"^{client} could not fetch thing 1.0 ") as caught:
        fetch(Package(client, "thing", "1.0", "0" * 64, 1, "MIT"))
    assert kept in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("client", "install"), [("npm", "install Node.js"), ("apt-get", "part of Debian and Ubuntu")])
def test_a_client_that_is_missing_is_one_line_that_says_what_to_install(registry, client, install):
    package = registry.offer(client, FILES)
    (registry.programs / client).unlink()
    with pytest.raises(UsageError, match=f"{client} is needed to fetch thing 1.0, and is not there: .*{install}"):
        fetch(package)


def test_a_python_without_pip(registry):
    registry.fail("/usr/bin/python: No module named pip")
    with pytest.raises(UsageError, match=r"pip is needed .*ensurepip"):
        fetch(Package("pip", "thing", "1.0", "0" * 64, 1, "MIT"))


def test_all_that_cannot_be_had_is_listed_and_the_rest_is_got(registry):
    package = registry.offer("npm", FILES)
    gone = [Package("npm", name, "2.0", "0" * 64, 1, "MIT") for name in ("gone", "lost")]
    with pytest.raises(UsageError, match=r"^2 of 3 packages could not be had: .*gone 2\.0.*; .*lost 2\.0") as caught:
        fetch_all([gone[0], package, gone[1]])
    assert "\n" not in str(caught.value)
    assert unpacked(package)


def test_what_a_killed_process_left_is_cleared(registry):
    package = registry.offer("npm", FILES)
    home = _packages._home(package)
    (home / "abc.tmp/files").mkdir(parents=True)
    (home / "thing-1.0.tgz").write_bytes(b"half")
    assert contents(fetch(package)) == FILES
    assert not list(home.glob("*.tmp"))


def test_a_cache_that_cannot_be_written_is_one_line(registry):
    package = registry.offer("npm", FILES)
    os.environ["XKD_BENCH_CACHE"] += "/file"
    (registry.folder.parent / "cache").mkdir()
    (registry.folder.parent / "cache/file").write_text("")
    with pytest.raises(UsageError, match=r"thing 1\.0 cannot be kept in '.*': "):
        fetch(package)


@pytest.mark.slow
def test_a_real_package_of_each_registry(tmp_path, monkeypatch):
    """Needs the network, npm and apt-get."""
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    npm = Package(
        "npm", "@iconify-json/noto-v1", "1.2.5",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37", 1_587_591, "Apache-2.0", ("icons.json",),
    )  # fmt: skip
    deb = Package(
        "apt-get", "fonts-symbola", "2.60-1.1",
        "408244997437d4103e9cdc9dd75db29d0e5fbee6e6874536173995204033a6df", 1_279_216, "free for any use", ("*.ttf",),
    )  # fmt: skip
    fetch_all([npm, deb])
    assert set(contents(unpacked(npm))) == {"icons.json"}
    assert set(contents(unpacked(deb))) == {"usr/share/fonts/truetype/ancient-scripts/Symbola_hint.ttf"}
