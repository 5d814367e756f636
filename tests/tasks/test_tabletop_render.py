"""tabletop's renderer itself; skipped where pybullet is not installed."""

import numpy as np
import pytest

from xkd_bench.tasks import _thermal
from xkd_bench.tasks._packages import silent
from xkd_bench.tasks._tabletop_plan import TABLE_TOP, plan
from xkd_bench.tasks._tabletop_render import STEP, metres, renderer, scene

pytest.importorskip("pybullet", reason="tabletop is rendered by pybullet: pip install 'xkd-bench[tabletop]'")


@pytest.fixture(scope="module")
def scenes():
    with renderer() as world:
        yield [scene(world, number)[0] for number in range(3)]


def test_a_scene_is_what_its_plan_says(scenes):
    for number, planes in enumerate(scenes):
        what = plan(number)
        at = _thermal.points(planes["depth"] * STEP, what.eye, what.target, what.fov)
        instance = planes["instance"]
        assert {0, 1} <= set(np.unique(instance).tolist()) <= set(range(len(what.things) + 2))
        flat = instance == 1
        assert np.median(np.abs(at[flat][:, 2] - TABLE_TOP)) < 2e-4, "depth is metric"
        assert np.abs(at[:, :, :2]).max() < what.room + 0.01
        for i, thing in enumerate(what.things, 2):
            mine = at[instance == i]
            if len(mine) > 60:
                away = np.hypot(mine[:, 0] - thing.x, mine[:, 1] - thing.y)
                assert np.median(away) < 0.6 * thing.size
                assert mine[:, 2].min() > TABLE_TOP - 0.03
                assert mine[:, 2].max() < TABLE_TOP + 1.3 * thing.size


def test_pictures_are_lit_and_coloured(scenes):
    for planes in scenes:
        assert planes["rgb"].shape == (120, 160, 3)
        assert planes["rgb"].std() > 10
        assert len(np.unique(planes["rgb"].reshape(-1, 3), axis=0)) > 200


def test_a_scene_does_not_depend_on_the_ones_before(scenes):
    with renderer() as world:
        again, facts = scene(world, 2)
    assert all(np.array_equal(again[name], scenes[2][name]) for name in again)
    assert facts["renderer"].startswith("pybullet ")


def test_the_depth_buffer_is_read_as_opengl_defines_it():
    near, far = metres(np.array([0.0, 1.0]))
    assert near == pytest.approx(0.05)
    assert far == pytest.approx(8.0)


@pytest.mark.slow
def test_prepare_renders_by_processes_what_this_process_renders(tmp_path, monkeypatch, scenes):
    from xkd_bench import tasks
    from xkd_bench.tasks.tabletop import BLOCKS

    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    task = tasks.get("tabletop:thermal,scenes=60")
    task.prepare(silent)
    assert task.check() == []
    for number, planes in enumerate(scenes):
        stored, _ = BLOCKS.read(number)
        assert all(np.array_equal(stored[name], planes[name]) for name in planes)
    data = task.load((48, 64), (48, 64))
    assert data.split(0).absent == ()
