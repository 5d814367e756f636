"""Blender's side of rooms: how it is talked to (with a stand-in), and Blender itself where it has been fetched."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.room_scenes import OPENING, rays, shell
from xkd_bench.errors import UsageError
from xkd_bench.tasks import _rooms_blender, _rooms_render
from xkd_bench.tasks._cache import cache_dir
from xkd_bench.tasks._packages import unpacked
from xkd_bench.tasks._rooms_models import FURNITURE, models
from xkd_bench.tasks._rooms_plan import plan
from xkd_bench.tasks._rooms_render import BLENDER, CEILING, FIRST, FLOOR, STEP, WALL, renderer, scene

CACHE = cache_dir()
"""That of the user, before tests are given one of their own: the test that renders uses what was fetched there."""
FETCHED = bool(unpacked(BLENDER) and unpacked(FURNITURE) and _rooms_render.python())

STAND_IN = """
import array, json, sys
if "{how}" == "lacks":
    sys.exit("ImportError: libXi.so.6: cannot open shared object file")
print("ready", flush=True)
for line in sys.stdin:
    task = json.loads(line)
    if "{how}" == "refuses":
        print("ValueError: bed.obj holds no single mesh", flush=True)
        continue
    if "{how}" == "dies":
        sys.exit("no memory")
    for name, first in (("colour", 0.5), ("facts", 2.5)):
        values = array.array("f")
        for row in range(task["height"]):  # from below
            for column in range(task["width"]):
                values.extend((first, float(row // 60), 0.5, 1.0))
        open(task["out"] + "." + name, "wb").write(values.tobytes())
    print("done", flush=True)
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a program in Blender's place."""

    def make(how: str) -> None:
        file = tmp_path / "stand_in.py"
        file.write_text(STAND_IN.replace("{how}", how))
        monkeypatch.setattr(_rooms_blender, "__file__", str(file))
        monkeypatch.setattr(_rooms_render, "unpacked", lambda package: tmp_path)
        monkeypatch.setattr(_rooms_render, "python", lambda: sys.executable)
        monkeypatch.setattr(_rooms_render.Renderer, "_file", lambda self, model: model.name)

    return make


def test_what_blender_writes_is_read_rows_from_above(stand_in):
    stand_in("works")
    with renderer() as world:
        planes, facts = scene(world, 3)
        again, _ = scene(world, 3)
    assert facts["renderer"] == "bpy 5.0.1"
    assert planes["rgb"].shape == (120, 160, 3)
    assert (planes["instance"][:60] == 1).all()
    assert (planes["instance"][60:] == 0).all()
    assert (planes["depth"][:60] == 12500).all(), "2.5 m in steps of 0.2 mm"
    assert (planes["depth"][60:] == 65535).all(), "where nothing is seen it is as far as can be"
    assert all(np.array_equal(planes[name], again[name]) for name in planes)


@pytest.mark.parametrize(("how", "said"), [("refuses", "holds no single mesh"), ("dies", "Blender ended: no memory")])
def test_what_blender_cannot_do_is_told_in_its_words(stand_in, how, said):
    stand_in(how)
    with pytest.raises(RuntimeError, match=said), renderer() as world:
        scene(world, 0)


def test_what_blender_lacks_is_said_before_anything_is_rendered(stand_in):
    stand_in("lacks")
    with pytest.raises(UsageError) as caught, renderer():
        pass
    assert str(caught.value).startswith("Blender does not start (ImportError: libXi.so.6: cannot open")
    assert "apt-get install" in str(caught.value)


def test_blender_ends_with_the_worker(stand_in):
    stand_in("works")
    with renderer() as world:
        blender = world.blender
        assert blender.poll() is None
    assert blender.poll() is not None
    assert not Path(world.scratch).exists()


def test_without_blender_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="xkd-bench data prepare rooms"), renderer():
        pass


@pytest.mark.slow
@pytest.mark.skipif(not FETCHED, reason="rooms is rendered by Blender: xkd-bench data prepare rooms")
def test_two_scenes_are_what_their_plans_say(monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(CACHE))
    with renderer() as world:
        seen = {number: scene(world, number)[0] for number in (3, 6)}
    with renderer() as world:
        again, _ = scene(world, 6)
    assert all(np.array_equal(again[name], seen[6][name]) for name in again), "whatever was rendered before"
    for number, planes in seen.items():
        what = plan(number)
        metres, instance = planes["depth"] * STEP, planes["instance"]
        empty, walls = shell(what, rays(what))
        bare = (instance == walls) & (walls <= CEILING)
        inner = bare & (np.roll(bare, 1, 0) & np.roll(bare, -1, 0) & np.roll(bare, 1, 1) & np.roll(bare, -1, 1))
        assert inner.mean() > 0.1
        slope = np.abs(np.gradient(empty)[0]) + np.abs(np.gradient(empty)[1])
        assert (np.abs(metres - empty)[inner] < 0.01 + slope[inner]).mean() > 0.99, "depth is metric, to a pixel"
        opening = [i for i, thing in enumerate(what.things, FIRST) if models()[thing.model].label == OPENING]
        furniture = (instance >= FIRST) & ~np.isin(instance, opening)
        assert (metres <= empty + slope + 0.02)[furniture].mean() > 0.99, "furniture is in the room"
        assert {FLOOR, WALL} <= set(np.unique(instance).tolist())
        assert planes["rgb"].std() > 10
        at = np.array(what.eye) + metres[:, :, None] * rays(what)
        for i, thing in enumerate(what.things, FIRST):
            model, mine = models()[thing.model], at[instance == i]
            if len(mine) > 30 and model.label != OPENING:
                reach = np.hypot(model.width, model.depth) / 2 + 0.1
                assert np.median(np.hypot(mine[:, 0] - thing.x, mine[:, 1] - thing.y)) < reach, model.name
                assert thing.z - 0.1 < np.median(mine[:, 2]) < thing.z + model.height + 0.1, model.name
