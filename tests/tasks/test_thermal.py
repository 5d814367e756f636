"""The simulated thermal picture: laws that it obeys, and that temperature tells nothing of the class."""

import dataclasses
import math

import numpy as np
import pytest

from tests.tasks.tabletop_scenes import balls, seen
from xkd_bench.tasks import _thermal
from xkd_bench.tasks._splits import generator
from xkd_bench.tasks._tabletop_plan import CLASSES, KINDS, TABLE_TOP, plan

SCENES = 150


def test_cooling_follows_newton():
    start, air = np.array([40.0, 10.0, 25.0]), 20.0
    still = np.zeros(3)
    tau = np.array([10.0, 20.0, 30.0])
    assert np.array_equal(_thermal.cooled(start, air, still, tau), start)
    once = _thermal.cooled(start, air, tau, tau)
    assert np.allclose((once - air) / (start - air), [math.exp(-1)] * 2 + [math.exp(-1)])
    assert np.allclose(_thermal.cooled(start, air, still + 1e4, tau), air)
    halfway = _thermal.cooled(start, air, tau / 2, tau)
    assert np.allclose(_thermal.cooled(halfway, air, tau / 2, tau), once), "cooling on is cooling longer"


def test_the_air_is_warmest_in_the_afternoon():
    hours = [_thermal.air(hour, np.random.default_rng(3)) for hour in range(24)]
    assert (int(np.argmax(hours)), int(np.argmin(hours))) == (15, 3)
    assert math.isclose(max(hours) - min(hours), 8)


def test_instances_are_independent_and_alike():
    rng = np.random.default_rng(0)
    drawn = np.stack([_thermal.temperatures(6, 20.0, rng) for _ in range(4000)])
    assert np.abs(np.corrcoef(drawn.T) - np.eye(6)).max() < 4 / math.sqrt(4000)
    assert np.ptp(drawn.mean(0)) < 5 * drawn.std() / math.sqrt(4000)
    assert drawn.std() > 4, "they differ, or nothing could be seen"


def test_points_are_where_the_rays_hit():
    what = plan(3)
    depth, instance = balls(what)
    at = _thermal.points(depth, what.eye, what.target, what.fov)
    assert np.abs(at[instance == 1][:, 2] - TABLE_TOP).max() < 1e-9
    for i, thing in enumerate(what.things, 2):
        if (instance == i).any():
            middle = (thing.x, thing.y, TABLE_TOP + thing.radius)
            assert np.allclose(np.linalg.norm(at[instance == i] - middle, axis=1), thing.radius)
    assert np.allclose((at - what.eye) @ ahead(what), depth), "depth is along the optical axis"


def ahead(what):
    way = np.subtract(what.target, what.eye)
    return way / np.linalg.norm(way)


def test_facing_is_the_cosine_of_a_ball():
    """Against the closed form: a ball's normal is the way from its middle."""
    what = next(plan(n) for n in range(50) if max(t.radius for t in plan(n).things) > 0.14)
    number = 2 + int(np.argmax([thing.radius for thing in what.things]))
    depth, instance = balls(what, (480, 640))
    at = _thermal.points(depth, what.eye, what.target, what.fov)
    thing = what.things[number - 2]
    found = _thermal.facing(at, instance, what.towards_light)
    ball = instance == number
    assert ball.sum() > 2000
    normal = (at[ball] - (thing.x, thing.y, TABLE_TOP + thing.radius)) / thing.radius
    cosine = np.clip(normal @ what.towards_light, 0, 1)
    inner = (normal @ ahead(what)) < -0.3  # slopes are rough where a ball turns away
    error = (found[ball] - (cosine - cosine.mean()))[inner]
    assert np.abs(np.median(error)) < 0.01
    assert np.quantile(np.abs(error), 0.99) < 0.05
    for one in np.unique(instance):
        assert abs(found[instance == one].mean()) < 1e-9, "no instance is warmer as a whole"
    assert np.abs(found[(instance == 1)]).max() < 1e-6, "a flat table is lit evenly"


def test_without_sun_an_object_far_above_the_table_has_one_temperature():
    night = dataclasses.replace(seen(5), hour=1.0, top=-1.0)
    celsius = _thermal.surface(night, np.random.default_rng(0))
    for number in np.unique(night.instance):
        if number != 1:
            assert np.ptp(celsius[night.instance == number]) < 1e-6


def test_heat_is_traded_where_objects_touch_the_table():
    night = dataclasses.replace(seen(5), hour=1.0)
    rng = np.random.default_rng(0)
    own = _thermal.temperatures(2 + len(night.spots), _thermal.air(1.0, np.random.default_rng(0)), rng)
    celsius = _thermal.surface(night, np.random.default_rng(0))
    assert own.shape == (2 + len(night.spots),)
    height = night.points[:, :, 2] - TABLE_TOP
    table = celsius[night.instance == 1]
    base = np.median(table)
    for number in range(2, len(night.spots) + 2):
        mine = night.instance == number
        low, high = mine & (height < 0.015), mine & (height > 0.12)
        if low.sum() > 5 and high.sum() > 5:
            assert abs(celsius[low].mean() - base) < abs(celsius[high].mean() - base)


def test_pictures_are_the_same_for_the_same_scene_and_within_the_grey_levels():
    one = _thermal.picture(seen(7), generator(7, "thermal"))
    assert one.shape == (120, 160, 1)
    assert one.dtype == np.uint8
    assert np.array_equal(one, _thermal.picture(seen(7), generator(7, "thermal")))
    assert not np.array_equal(one, _thermal.picture(seen(7), generator(8, "thermal")))
    assert ((one == 0) | (one == 255)).mean() < 0.05


def test_the_sensor_blurs_and_adds_noise_of_the_stated_size():
    flat = _thermal.sensed(np.full((400, 400), 20.0), np.random.default_rng(0))
    assert flat.mean() == pytest.approx(20, abs=0.05)
    columns = flat.mean(0)
    assert columns.std() == pytest.approx(0.1, rel=0.2)
    assert (flat - columns).std() == pytest.approx(0.15, rel=0.05)
    edge = np.zeros((40, 40))
    edge[:, 20:] = 100
    row = _thermal.sensed(edge, np.random.default_rng(0)).mean(0)
    assert 3 <= (np.abs(row - 50) < 49).sum() <= 6, "an edge is a few pixels wide"


def warmth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each instance seen in many scenes: its mean grey level, its class, its scene."""
    rows = []
    for number in range(SCENES):
        what = seen(number, (60, 80))
        grey = _thermal.picture(what, generator(number, "thermal"))[:, :, 0]
        label = np.array([0, 1, *(thing.label for thing in plan(number).things)])
        rows += [
            (grey[what.instance == i].mean(), label[i], number)
            for i in np.unique(what.instance)
            if (what.instance == i).sum() >= 8
        ]
    return tuple(np.array(rows).T)


def nearest_neighbours(level: np.ndarray, label: np.ndarray, number: np.ndarray, k: int = 25) -> tuple[float, float]:
    """Balanced accuracy of telling classes by temperature alone, in scenes not learned from; and chance's deviation.

    A vote counts for more the rarer its class, so that chance is one in so many classes.
    """
    learned = number < SCENES // 2
    near = np.abs(level[~learned][:, None] - level[learned]).argsort(1)[:, :k]
    weight = 1 / np.bincount(label[learned], minlength=len(CLASSES)).clip(1)
    votes = np.zeros((len(near), len(CLASSES)))
    for column in label[learned][near].T:
        votes[np.arange(len(near)), column] += weight[column]
    truth = label[~learned]
    each = [(votes[truth == c].argmax(1) == c).mean() for c in range(len(CLASSES))]
    p = 1 / len(CLASSES)
    spread = math.sqrt(p * (1 - p) * sum(1 / (truth == c).sum() for c in range(len(CLASSES)))) / len(CLASSES)
    return float(np.mean(each)), spread


def test_temperature_alone_tells_no_class():
    level, label, number = warmth()
    label = label.astype(int)
    assert len(np.unique(label)) == len(CLASSES) == len(KINDS) + 2
    chance = 1 / len(CLASSES)
    found, spread = nearest_neighbours(level, label, number)
    assert abs(found - chance) < 3 * spread
    leaky, _ = nearest_neighbours(level + 8 * label, label, number)
    assert leaky > chance + 4 * spread, "this test would see a leak of 1.2 degrees a class"
