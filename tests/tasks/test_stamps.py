"""Pictures to spoken descriptions, on a tiny collection in the layout of Tux Paint's stamps."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tasks.archives import Registry
from tests.tasks.sounds import ogg, tone
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import stamps
from xkd_bench.tasks.stamps import LANGUAGES, Stamps

RATE = 44100
FOLDERS = ("animals", "food", "town")
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{}pt" height="{}pt">'
    '<rect width="100%" height="100%" fill="#0000ff"/></svg>'
)


def png(colour: tuple[int, int, int], wide: int = 20, high: int = 20, clear: bool = False) -> bytes:
    image = Image.new("RGBA", (wide, high), (*colour, 0 if clear else 255))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def collection(root: Path) -> None:
    """Eight stamps a folder, and all that is to be told from them."""
    for f, folder in enumerate(FOLDERS):
        for k in range(8):
            stem = root / folder / ("wild" if k % 2 else ".") / f"thing{k}"
            stem.parent.mkdir(parents=True, exist_ok=True)
            stem.with_suffix(".png").write_bytes(png((80 * f, 20 * k, 100)))
            describe(stem, 200 + 900 * f + 40 * k)
    animals = root / "animals"
    (animals / "thing0_mirror.png").write_bytes(png((0, 0, 0)))
    (animals / "thing0.svg").write_text(SVG.format(20, 20))
    ogg(animals / "thing0.ogg", tone(3000, 0.2, RATE), RATE)
    (animals / "wide.svg").write_text(SVG.format(40, 20))
    describe(animals / "wide", 1500)
    (animals / "quiet.png").write_bytes(png((9, 9, 9)))
    for language in LANGUAGES[1:]:
        ogg(animals / f"quiet_desc_{language}.ogg", tone(900, 0.1, RATE), RATE)
    copy(root, "food/thing2", "food/again2")
    copy(root, "food/thing3", "town/thing3", folder="wild/")
    (root / "rare").mkdir()
    (root / "rare/one.png").write_bytes(png((1, 1, 1)))
    describe(root / "rare/one", 5000)


def describe(stem: Path, hertz: float) -> None:
    for k, language in enumerate(LANGUAGES):
        ogg(stem.with_name(f"{stem.name}_desc_{language}.ogg"), tone(hertz + 5 * k, 0.4, RATE), RATE)


def copy(root: Path, this: str, other: str, folder: str = "") -> None:
    """The recording in one language of one stamp is another's too; the other gets a picture if it has none."""
    here, there = (root / f"{path.rpartition('/')[0]}/{folder}{path.rpartition('/')[2]}" for path in (this, other))
    if not there.with_suffix(".png").exists():
        there.with_suffix(".png").write_bytes(png((200, 0, 0)))
        describe(there, 6000)
    sound = here.with_name(f"{here.name}_desc_fr.ogg").read_bytes()
    there.with_name(f"{there.name}_desc_fr.ogg").write_bytes(sound)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("collection")
    collection(made)
    return made


def offer(root: Path, tmp_path: Path, monkeypatch) -> None:
    files = {
        f"usr/share/tuxpaint/stamps/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(stamps, "LEAST", 6)
    with pytest.MonkeyPatch.context() as client:
        fake = Registry(tmp_path, client).offer("apt-get", files, wanted=stamps.STAMPS.files)
        monkeypatch.setattr(stamps, "STAMPS", fake)
        monkeypatch.setattr(Stamps, "packages", (fake,))
        tasks.get("stamps").prepare()


@pytest.fixture(scope="module")
def prepared(root, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        offer(root, tmp_path_factory.mktemp("prepared"), patch)
        yield


def table(root: Path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stamps, "LEAST", 6)
        return stamps.described(root, stamps.find(root))


def test_which_stamps_are_read(root):
    found = table(root)
    files = set(found.source.files)
    assert {"animals/thing0.png", "animals/wild/thing1.png", "animals/wide.svg", "food/again2.png"} <= files
    for left_out in ("animals/thing0.svg", "animals/thing0_mirror.png", "animals/quiet.png", "rare/one.png"):
        assert left_out not in files
    assert found.classes == FOLDERS
    assert not any(file.endswith("thing0.ogg") for file in found.target.files)


def test_stamps_that_share_a_recording_are_one_concept_and_it_is_there_once(root):
    found = table(root)
    concept = dict(zip(found.source.files, found.source.concept.tolist(), strict=True))
    assert concept["food/thing2.png"] == concept["food/again2.png"]
    assert len(set(concept.values())) == len(concept) - 1
    heard = (found.target.concept == concept["food/thing2.png"]).sum()
    assert heard == 11, "twelve, of which one twice"
    assert len({(root / file).read_bytes() for file in found.target.files}) == len(found.target.files)


def test_a_description_that_two_folders_share_tells_no_label(root):
    files = table(root).source.files
    assert "food/wild/thing3.png" not in files
    assert "town/wild/thing3.png" not in files
    assert "animals/wild/thing3.png" in files


def test_pairs_and_splits(prepared):
    data = tasks.get("stamps").load(16, (32, 48))
    assert data.source.data.shape == (24, 3, 16, 16)  # 8 and a wide one, 7 and another of one, 7
    assert data.target.data.shape == (6 * 24 - 1, 1, 32, 48)
    for seed in range(3):
        split = data.split(seed)
        assert split.classes == FOLDERS
        assert not np.intersect1d(data.target.concept[split.test], data.target.concept[split.pairs_target]).size
        assert len(np.unique(data.target.concept[split.pairs_target])) > len(np.unique(data.target.concept[split.test]))
    assert (data.target.data[..., 9:] == 0).all(), "silent after 0.4 of 2.5 s"
    assert (data.target.data[..., 1:6].max((1, 2, 3)) > 100).all()


def test_pictures_are_whole_on_white(root):
    wide = stamps.picture(root / "animals/wide.svg", 16)
    assert wide.shape == (3, 16, 16)
    assert (wide[:, [0, 1, 2, -3, -2, -1]] > 250).all(), "above and below"
    assert (wide[2, 5:11] > 250).all()
    assert (wide[0, 5:11] < 5).all(), "blue to both sides, sized in points"


def test_transparent_is_white(tmp_path):
    (tmp_path / "ghost.png").write_bytes(png((0, 0, 0), 10, 20, clear=True))
    assert (stamps.picture(tmp_path / "ghost.png", 8) == 255).all()


def test_too_few_stamps_are_one_line(root, monkeypatch):
    monkeypatch.setattr(stamps, "LEAST", 25)
    with pytest.raises(UsageError, match="no two folders of 25 stamps described in bg, ca") as error:
        stamps.find(root)
    assert "\n" not in str(error.value)


def test_not_prepared_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="xkd-bench data prepare stamps"):
        tasks.get("stamps").load(8, 8)
