"""rooms without its renderer: names, splits, and what becomes of rendered blocks (here: furniture as boxes)."""

import shutil
import sys

import numpy as np
import pytest

from tests.cli.program import xkd
from tests.tasks.room_scenes import scene, write
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import _packages, _rooms_render, rooms
from xkd_bench.tasks._planes import IGNORE
from xkd_bench.tasks._rooms_models import CLASSES, HOUSES, models
from xkd_bench.tasks._rooms_plan import plan
from xkd_bench.tasks._rooms_render import BLENDER, FURNITURE
from xkd_bench.tasks.rooms import BLOCKS, SCENES, Rooms

FULL = (120, 160)
N = 80


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_BENCH_CACHE", str(tmp_path_factory.mktemp("rooms")))
        write(N)
        yield BLOCKS.folder


@pytest.fixture(scope="module")
def data(rendered):
    return tasks.get(f"rooms:depth,scenes={N}").load(FULL, FULL)


def test_names_say_the_number_of_scenes():
    assert [Rooms(name).n for name in ("", "depth", "scenes=40", "depth,scenes=300")] == [SCENES, SCENES, 40, 300]


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("dept", "unknown target of rooms 'dept': did you mean 'depth'?"),
        ("scenes=5", "scenes is '5', and must be a number from 40 to 100,000"),
        ("depth,scenes=many", "scenes is 'many'"),
        ("depth,scenes=", "scenes is ''"),
        ("depth,depth", "takes depth,scenes=NUMBER"),
        ("depth,views=3", "takes depth,scenes=NUMBER"),
    ],
)
def test_names_that_mean_nothing(argument, line):
    with pytest.raises(UsageError) as caught:
        Rooms(argument)
    assert line in str(caught.value)


def test_the_card_says_that_it_is_rendered_and_whose_models_they_are():
    card = tasks.get("rooms:depth").card
    assert (card.origin, card.kind, card.aligned, card.pairing) == ("rendered", "segmentation", True, "instance")
    assert (card.name, card.target) == ("rooms:depth", "rendered depth")
    assert all(model.licence in card.licence for model in models().values())
    assert 11 <= len(CLASSES) <= 13


def test_pixels_are_those_of_the_blocks(data):
    for number in (0, 19, 20, N - 1):
        planes, facts = scene(number)
        metres = planes["depth"] * facts["step"]
        label = np.array([IGNORE, 0, 1, 2, *(models()[t.model].label for t in plan(number).things)])[planes["instance"]]
        assert np.array_equal(data.source.data[number], planes["rgb"].transpose(2, 0, 1))
        assert np.array_equal(data.maps.data[number], label)
        assert (label[:3, :3] == IGNORE).all(), "where nothing is seen there is no label"
        grey = data.target.data[number, 0].astype(float)
        inside = (metres > rooms.NEAREST) & (metres < rooms.FARTHEST)
        assert np.abs(rooms.NEAREST + 0.025 * grey - metres)[inside].max() <= 0.01251
        assert (grey[metres >= rooms.FARTHEST] == 255).all()
        assert (grey[metres <= rooms.NEAREST] == 0).all()


def test_no_model_of_a_test_scene_is_seen_in_training(data):
    drawn = []
    for seed in range(6):
        parts = data.split(seed)
        assert parts.classes == CLASSES
        used = [
            {thing.model for number in part for thing in plan(int(number)).things}
            for part in (np.union1d(parts.train, parts.pairs_target), parts.val, parts.test)
        ]
        assert not used[0] & used[2]
        assert not used[1] & used[2]
        assert not used[0] & used[1]
        counts = [len(part) * HOUSES // N for part in (parts.train, parts.val, parts.test)]
        assert counts == [5, 1, 2], "houses"
        assert not set(parts.absent) - {"bed", "lamp", "plant", "sofa"}, "and these by chance alone"
        drawn.append(tuple(sorted(set((parts.test % HOUSES).tolist()))))
    assert len(set(drawn)) > 1, "seeds draw other houses"


def test_the_first_scenes_of_more_are_the_same(data):
    fewer = tasks.get("rooms:depth,scenes=50").load(FULL, FULL)
    assert np.array_equal(fewer.source.data, data.source.data[:50])
    assert np.array_equal(fewer.target.data, data.target.data[:50])
    assert len(fewer.target) == 50
    assert fewer.digest != data.digest


def test_smaller_sizes_keep_the_depths_of_the_renderer(data):
    small = tasks.get(f"rooms:depth,scenes={N}").load((48, 64), (48, 64))
    assert small.target.data.shape == (N, 1, 48, 64)
    for i in (0, 60):
        assert set(np.unique(small.target.data[i])) <= set(np.unique(data.target.data[i])), "no depth is made up"


def test_the_command_line(loaded, rendered):
    prelude = f"import os; os.environ['XKD_BENCH_CACHE'] = {str(rendered.parents[1])!r}"
    name = f"rooms:depth,scenes={N}"
    ended = xkd(loaded, "data", "check", name, "--budget", "smoke", prelude=prelude)
    assert ended.code == 0, ended.err
    assert "is in order" in ended.out
    ended = xkd(loaded, "data", "prepare", name, prelude=prelude)
    assert ended.out.startswith(f"task '{name}' is prepared ({N} scenes, "), "with neither Blender nor models"


def test_not_prepared_and_no_python_for_blender_are_one_line_each(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    task = tasks.get("rooms:depth,scenes=60")
    assert not task.ready()
    with pytest.raises(UsageError) as caught:
        task.load(FULL, FULL)
    assert str(caught.value).endswith("is not prepared: xkd-bench data prepare rooms:depth,scenes=60")
    assert len(task.check()) == 3
    monkeypatch.setattr(rooms, "python", lambda: None)
    with pytest.raises(UsageError) as caught:
        task.prepare()
    assert "which needs Python 3.11" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not BLOCKS.folder.exists()


def test_the_interpreter_is_this_one_or_found_by_its_name(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 11, 9))
    assert _rooms_render.python() == sys.executable
    monkeypatch.setattr(sys, "version_info", (3, 13, 0))
    monkeypatch.setattr(shutil, "which", lambda name: f"/somewhere/{name}")
    assert _rooms_render.python() == "/somewhere/python3.11"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert _rooms_render.python() is None


def test_the_renderer_is_fetched_for_its_own_python_and_models_from_debian(tmp_path):
    command = _packages._command(BLENDER, tmp_path)
    assert command[command.index("--python-version") + 1] == "3.11"
    assert "--no-deps" in command
    assert "--only-binary=:all:" in command
    assert command[-1] == "bpy==5.0.1"
    assert Rooms.packages == (FURNITURE, BLENDER)
    assert _packages._command(FURNITURE, tmp_path)[-1] == "sweethome3d-furniture=1.8-1"


def test_without_what_it_renders_with_a_worker_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        BLOCKS.make(20, _packages.silent)
    assert "could not be rendered" in str(caught.value)
    assert "xkd-bench data prepare rooms" in str(caught.value)
    assert not BLOCKS.ready(20)


def test_a_damaged_block_is_named(rendered, tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    shutil.copytree(rendered, BLOCKS.folder)
    task = tasks.get("rooms:depth,scenes=50")
    assert task.check() == []
    file = BLOCKS.files(50)[0]
    file.write_bytes(file.read_bytes()[:-2000])
    assert task.check()[0].startswith(f"'{file}' is damaged")
    with pytest.raises(UsageError, match=r"scenes-000000\.npz"):
        task.load(FULL, FULL)
