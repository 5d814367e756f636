"""emoji: 14 styles of the same concepts; every pair has the same splits, and what is not here says how to get it."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image

from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import _styles, emoji
from xkd_bench.tasks._styles import FLUENT_3D, FLUENT_COLOR, OPENMOJI, STYLES
from xkd_bench.tasks.base import check_split
from xkd_bench.tasks.emoji import Emoji, shared_concepts

FETCHED = [style.name for style in STYLES.values() if style.package]


FEW = shared_concepts()[::7]


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Folders as the four fetched styles unpack: a square in a colour of its own for each of a few concepts."""
    root = tmp_path_factory.mktemp("packages")
    icons = {}
    for i, concept in enumerate(FEW):
        colour = (i, 60, 90)
        body = f'<rect width="%d" height="%d" fill="rgb{colour}"/>'
        for name in ("color", "black"):
            file = root / f"openmoji/{name}/svg/{concept.code}{'-FE0F' * (i % 2)}.svg"
            file.parent.mkdir(parents=True, exist_ok=True)
            ink = body % (72, 72) if name == "color" else '<path d="M10 10h50v50z"/>'
            file.write_text(f'<svg viewBox="0 0 72 72" xmlns="http://www.w3.org/2000/svg">{ink}</svg>')
        icon = _styles._FLUENT_NAMES.get(concept.code) or _styles.kebab(concept.label)
        icons[icon] = {"body": body % (32, 33), "height": 33} if i == 5 else {"body": body % (32, 32)}
        file = root / f"{FLUENT_3D.name}/assets/{concept.code.lower()}.webp"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGBA", (16, 16), (*colour, 255)).save(file, lossless=True)
    (root / FLUENT_COLOR.name).mkdir(parents=True)
    (root / FLUENT_COLOR.name / "icons.json").write_text(json.dumps({"icons": icons, "width": 32, "height": 32}))
    return root


@pytest.fixture
def few(packages, monkeypatch):
    """The task with these concepts and packages."""
    monkeypatch.setattr(emoji, "shared_concepts", lambda: FEW)
    monkeypatch.setattr(Emoji, "folder", lambda self, package: packages / package.name)


def test_fourteen_styles_and_what_is_known_of_them():
    assert len(STYLES) == 14
    assert sum(style.colour for style in STYLES.values()) == 8
    assert len(list(itertools.permutations(STYLES, 2))) == 182
    assert len([1 for a, b in itertools.product(STYLES.values(), repeat=2) if a.colour and not b.colour]) == 48
    families = {name: {s.name for s in STYLES.values() if s.family == name} for name in ("fluent", "openmoji")}
    assert families["fluent"] == {"fluent-3d", "fluent-color", "fluent-flat", "fluent-hc"}
    assert families["openmoji"] == {"openmoji-color", "openmoji-line"}
    assert STYLES["emojione-mono"].family == STYLES["emojione-v2"].family == "emojione"
    assert {style.name for style in STYLES.values() if not style.family} == {"twemoji", "symbola", "unifont16"}


@pytest.mark.parametrize("pair", [f"{a}>{b}" for a, b in itertools.pairwise([*STYLES, "openmoji-color"])])
def test_every_style_is_source_and_target(few, pair):
    task = tasks.get(f"emoji:{pair}")
    data = task.load(8, 12)
    target = STYLES[pair.split(">")[1]]
    assert data.source.data.shape == (len(FEW), 3, 8, 8)
    assert data.target.data.shape == (len(FEW), 3 if target.colour else 1, 12, 12)
    assert (data.source.concept == np.arange(len(FEW))).all()
    check_split(data, data.split(0))
    assert {style.package for style in (task.source, task.target)} - {None} == set(task.packages)


def test_colour_and_place_of_what_is_fetched(few):
    """The icon of 32 × 33 is centred with a white margin at its sides; every other fills its square."""
    for name in ("openmoji-color", "fluent-3d", "fluent-color"):
        pixels = np.asarray(tasks.get(f"emoji:{name}>noto").load(8, 12).source.data)
        expected = np.array([(i, 60, 90) for i in range(len(FEW))])
        assert abs(pixels[:, :, 4, 4].astype(int) - expected).max() <= 1, name


def test_all_pairs_have_one_split(few):
    first, second = (tasks.get(f"emoji:{pair}").load(8, 8) for pair in ("noto>twemoji", "symbola>unifont16"))
    assert first.digest != second.digest
    assert first.concept_names == second.concept_names
    for seed in range(5):
        a, b = first.split(seed), second.split(seed)
        for part in ("pairs_source", "pairs_target", "train", "val", "test", "label"):
            assert (getattr(a, part) == getattr(b, part)).all()
    assert len(first.classes) == 8


def test_subgroups_are_labels_of_their_own():
    assert len(shared_concepts()) == 1059
    data = tasks.get("emoji:noto>noto:subgroups").load(8, 8)
    assert len(data.classes) == 37
    for seed in range(10):
        check_split(data, data.split(seed))


def test_the_card_names_the_pair():
    card = tasks.get("emoji:noto>fluent-hc:subgroups").card
    assert card.name == "emoji:noto>fluent-hc:subgroups"
    assert card.licence == "Apache-2.0; MIT"
    assert card.lineage == ("noto", "fluent")
    assert tasks.get("emoji").card.name == "emoji"
    assert set(tasks.get("emoji").packages) == {OPENMOJI, FLUENT_3D, FLUENT_COLOR}


@pytest.mark.parametrize("name", ["emoji", "emoji:noto>openmoji-line", "emoji:fluent-3d>noto:subgroups"])
def test_what_is_not_prepared_says_how_to(name, tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    assert not tasks.get(name).ready()
    quoted = name if name == "emoji" else f"'{name}'"
    with pytest.raises(UsageError) as caught:
        tasks.get(name).load(8, 8)
    assert str(caught.value) == f"task '{name}' is not prepared: xkd-bench data prepare {quoted}"


def test_shipped_pairs_need_nothing():
    assert tasks.get("emoji:noto>symbola").ready()


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("noto", "takes SOURCE>TARGET"),
        ("noto>", "unknown style ''"),
        ("noto>twemoij", "did you mean 'twemoji'"),
        ("apple>noto", "unknown style 'apple'"),
        ("a>b>c", "takes SOURCE>TARGET"),
        ("noto>noto:colours", "takes SOURCE>TARGET"),
        (":subgroups", "takes SOURCE>TARGET"),
    ],
)
def test_what_cannot_be_meant_is_refused(argument, said):
    with pytest.raises(UsageError, match=said):
        tasks.get(f"emoji:{argument}")


@pytest.mark.slow
def test_the_real_packages_draw_every_concept_and_no_two_groups_alike(tmp_path, monkeypatch):
    """Needs the network and npm."""
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    task = tasks.get("emoji")
    task.prepare()
    assert task.check() == []
    for name in FETCHED:
        data = tasks.get(f"emoji:noto>{name}").load(8, 32)
        groups: dict[bytes, set[int]] = {}
        for picture, group in zip(np.asarray(data.target.data), data.target.group.tolist(), strict=True):
            assert np.ptp(picture.astype(int)) >= 10, name
            groups.setdefault(picture.tobytes(), set()).add(group)
        assert max(map(len, groups.values())) == 1, name
