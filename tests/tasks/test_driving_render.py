"""driving's renderer on a tiny track; skipped where there is no moderngl or no EGL."""

import math
from dataclasses import replace

import numpy as np
import pytest

from tests.tasks import torcs_files
from xkd_bench.errors import UsageError
from xkd_bench.tasks import _driving_camera
from xkd_bench.tasks._driving_classes import CLASSES
from xkd_bench.tasks._driving_plan import Car, plan
from xkd_bench.tasks._driving_render import FARTHEST, Renderer, opengl, texels
from xkd_bench.tasks._driving_world import TORCS, read_world
from xkd_bench.tasks._packages import silent, unpacked

ROAD, GROUND, BARRIER, CAR = (CLASSES.index(name) for name in ("road", "ground", "barrier", "vehicle"))


@pytest.fixture(scope="module")
def torcs(tmp_path_factory):
    return torcs_files.write(tmp_path_factory.mktemp("torcs"))


@pytest.fixture(scope="module")
def drawing(torcs):
    try:
        with opengl() as context:
            yield Renderer(context, torcs)
    except UsageError as error:
        pytest.skip(str(error))


def view(number: int, **changed):
    """A plan of that number, on the tiny track, by day."""
    return replace(plan(number), **{"track": "road/square", "hour": 12.0, "haze": 0.0, **changed})


def found(planes, facts):
    """Depth in metres, class, and the point of each pixel."""
    metres = planes["depth"] * facts["step"]
    rays = _driving_camera.rays(facts["eye"], facts["target"], facts["plan"]["fov"], metres.shape)
    points = np.array(facts["eye"]) + metres[:, :, None] * rays
    return metres, np.array(facts["label"])[planes["instance"]], points


def test_depth_is_metric_and_classes_are_where_their_surfaces_are(drawing):
    seen = set()
    for number in range(8):
        planes, facts = drawing.render(view(number))
        metres, label, at = found(planes, facts)
        near = metres < 60
        assert np.abs(at[near & (label == ROAD)][:, 2] - 2.0).max() < 0.02
        assert np.abs(at[near & (label == GROUND)][:, 2] - 1.9).max() < 0.02
        wall = at[(label == BARRIER) & near]
        assert not len(wall) or np.abs(wall[:, 0] - 80).max() < 0.02
        assert (planes["depth"][label == 0] == FARTHEST).all()
        assert (planes["instance"] == 0).sum() == (label == 0).sum()
        seen |= set(np.unique(label))
    assert seen == {0, ROAD, GROUND, BARRIER, CAR}


def test_a_car_stands_where_the_plan_puts_it(drawing):
    planes, facts = drawing.render(view(3, side=0.0, way=1, along=0.02, cars=(Car(16, 12.0, 0.0, 0.3),)))
    _, label, at = found(planes, facts)
    ((number, x, y, z, reach),) = facts["cars"]
    assert np.array_equal(label == CAR, planes["instance"] == number)
    assert (label == CAR).sum() > 400
    mine = at[label == CAR]
    start = 0.02 * torcs_files.length()
    left, below = np.array(torcs_files.MOVED) + torcs_files.WIDTH / 2
    assert (x, y) == pytest.approx((left + torcs_files.BEND + start + 12, below), abs=0.05)
    assert z == pytest.approx(2.0)
    assert reach == 2
    turned = (mine[:, :2] - (x, y)) @ [[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]]
    assert np.abs(turned).max(0).tolist() <= [2.05, 0.98]
    assert 1.95 < mine[:, 2].min() < mine[:, 2].max() < 3.22


def test_colours_are_the_textures_lit_by_the_hour(drawing):
    planes, facts = drawing.render(view(2, cars=()))
    _, label, _ = found(planes, facts)
    day = planes["rgb"].astype(float)
    assert day[label == GROUND].mean(0).argmax() == 1, "grass is green"
    assert np.ptp(day[label == ROAD].mean(0)) < 2, "the road is grey"
    planes, facts = drawing.render(view(2, cars=(), hour=1.0, headlights=False))
    dark = planes["rgb"].astype(float)
    assert dark[label == GROUND].mean() == pytest.approx(0.12 * day[label == GROUND].mean(), rel=0.1)
    lit = drawing.render(view(2, cars=(), hour=1.0, headlights=True))[0]["rgb"].astype(float)
    assert lit[label == ROAD].mean() > 2 * dark[label == ROAD].mean()


def test_haze_draws_what_is_far_to_the_colour_of_the_horizon(drawing):
    clear, facts = drawing.render(view(2, cars=()))
    thick, _ = drawing.render(view(2, cars=(), haze=1 - math.exp(-20)))
    metres, label, _ = found(clear, facts)
    horizon = 255 * np.array(facts["plan"]["sky"][1])
    share = np.exp(-0.02 * metres)
    expected = share[:, :, None] * clear["rgb"] + (1 - share)[:, :, None] * horizon
    plain = (label == GROUND) & (metres < 200)
    assert np.abs(thick["rgb"] - expected)[plain].mean() < 4


def test_a_view_does_not_depend_on_the_ones_before(drawing, torcs):
    first = drawing.render(view(5))
    torcs_files.write(torcs, "road/other", cars=())
    drawing.render(view(5, track="road/other"))
    again = drawing.render(view(5))
    assert all(np.array_equal(first[0][name], again[0][name]) for name in first[0])
    assert first[1] == again[1]
    assert first[1]["renderer"].startswith("moderngl ")


def test_cars_are_tilted_as_the_road(torcs):
    here = read_world(torcs, "road/square")
    here.road.corners[:, :, 2] += 0.1 * here.road.corners[:, :, 0]
    one = view(1, along=0.0, way=1, cars=(Car(0, 10.0, 0.0, 0.0),))
    (matrix,) = _driving_camera.placed(one, here)
    assert matrix[:3, 0] == pytest.approx(np.array((1, 0, 0.1)) / math.hypot(1, 0.1))
    assert matrix[:3, 2] == pytest.approx(np.array((-0.1, 0, 1)) / math.hypot(1, 0.1))
    assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3))
    assert matrix[2, 3] == pytest.approx(2 + 0.1 * matrix[0, 3])


def test_rays_go_where_the_lens_has_the_pixels():
    eye, target, fov = (1.0, 2.0, 3.0), (8.0, 5.0, 2.5), 40.0
    rays = _driving_camera.rays(eye, target, fov, (12, 16))
    facing, lens = _driving_camera.matrices(eye, target, fov)
    points = np.concatenate([np.array(eye) + 7 * rays, np.ones((12, 16, 1))], 2)
    seen = points @ facing.T
    assert np.allclose(seen[:, :, 2], -7)
    clip = seen @ lens.T
    across, up = clip[:, :, 0] / clip[:, :, 3], clip[:, :, 1] / clip[:, :, 3]
    assert np.allclose(across, ((np.arange(16) + 0.5) / 8 - 1)[None])
    assert np.allclose(up, (1 - (np.arange(12) + 0.5) / 6)[:, None])


def test_a_texture_that_cannot_be_read_is_none_and_a_large_one_is_made_smaller(tmp_path):
    from PIL import Image

    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no more")
    assert texels(tmp_path / "broken.png") is None
    pixels = np.zeros((1024, 256, 3), np.uint8)
    pixels[512:] = 200
    Image.fromarray(pixels).save(tmp_path / "large.png")
    small = texels(tmp_path / "large.png")
    assert small.shape == (512, 128, 4)
    assert (small[0, 0].tolist(), small[-1, 0].tolist()) == ([200, 200, 200, 255], [0, 0, 0, 255])


@pytest.mark.slow
def test_prepare_renders_by_processes_what_this_process_renders():
    """On the package itself, where it has been fetched before."""
    from xkd_bench import tasks
    from xkd_bench.tasks.driving import BLOCKS

    if unpacked(TORCS) is None:
        pytest.skip("torcs-data is not here: xkd-bench data prepare driving")
    task = tasks.get("driving:thermal,scenes=160")
    task.prepare(silent)
    assert task.check() == []
    from xkd_bench.tasks._driving_world import home

    with opengl() as context:
        drawn = Renderer(context, home())
        for number in (0, 17):
            planes, _ = drawn.render(plan(number))
            stored, facts = BLOCKS.read(number)
            if facts["renderer"] == drawn.name:
                assert all(np.array_equal(stored[name], planes[name]) for name in planes)
    data = task.load((48, 64), (48, 64))
    vehicles = data.maps.pixels[:, CAR].sum() / data.maps.pixels.sum()
    assert vehicles > 0.03, "cars are near"
    scored = data.maps.pixels.sum() / data.maps.data.size
    assert scored > 0.97, "the table knows nearly all textures"
