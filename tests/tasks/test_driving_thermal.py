"""The simulated thermal picture of `driving`: what cars and road trade, and that temperature tells no class."""

import dataclasses
import math

import numpy as np
import pytest

from tests.tasks.driving_views import seen
from xkd_bench.tasks import _driving_thermal, _thermal
from xkd_bench.tasks._driving_classes import CLASSES
from xkd_bench.tasks._planes import IGNORE
from xkd_bench.tasks._splits import generator

VIEWS = 160


def picture(number: int) -> np.ndarray:
    return _driving_thermal.picture(seen(number)[0], generator(number, "driving thermal"))


def test_pictures_are_the_same_for_the_same_view_and_within_the_grey_levels():
    one = picture(7)
    assert one.shape == (120, 160, 1)
    assert one.dtype == np.uint8
    assert np.array_equal(one, picture(7))
    assert not np.array_equal(one, picture(8))
    assert ((one == 0) | (one == 255)).mean() < 0.05


def test_at_night_and_without_cars_each_instance_has_one_temperature():
    told = dataclasses.replace(seen(5)[0], hour=1.0, cars=np.zeros((0, 5)))
    celsius = _driving_thermal.surface(told, np.random.default_rng(0))
    each = [celsius[told.instance == i] for i in np.unique(told.instance)]
    assert max(np.ptp(one) for one in each) < 1e-9
    assert len({round(float(one[0]), 6) for one in each}) == len(each), "its own"


def test_a_car_and_the_road_near_it_meet_halfway_and_far_from_each_other_nothing_changes():
    told = next(
        one for one in (seen(n)[0] for n in range(50)) if (one.instance == one.cars[0][0]).sum() > 300
    )  # a car that is well seen
    told = dataclasses.replace(told, cars=told.cars[:1])
    car = int(told.cars[0][0])
    own = np.zeros(int(told.instance.max()) + 1)
    own[car] = 10.0
    change = _driving_thermal.traded(told, own)
    mine = told.instance == car
    height = told.points[:, :, 2]
    assert change[mine] == pytest.approx(-5.0 * np.exp(-np.maximum(height[mine], 0) / 0.25))
    away = np.hypot(told.points[:, :, 0] - told.cars[0][1], told.points[:, :, 1] - told.cars[0][2])
    assert np.abs(change[~mine & (away > 8)]).max() < 0.01
    assert 0 < change[~mine].max() <= 5.0
    assert not change[told.instance == 0].any(), "the sky touches nothing"


def test_the_sun_warms_sides_and_no_instance_as_a_whole():
    told = dataclasses.replace(seen(5)[0], hour=12.0, cars=np.zeros((0, 5)))
    noon = _driving_thermal.surface(told, np.random.default_rng(0))
    cars = [int(car[0]) for car in seen(5)[0].cars if (told.instance == car[0]).sum() > 50]
    assert all(np.ptp(noon[told.instance == i]) > 0.5 for i in cars)
    own = _thermal.temperatures(
        int(told.instance.max()) + 1, *(lambda rng: (_thermal.air(12.0, rng), rng))(np.random.default_rng(0))
    )
    for i in np.unique(told.instance):
        assert noon[told.instance == i].mean() == pytest.approx(own[i], abs=1e-6)


def warmth() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each instance seen in many views: its mean grey level, its class, its view."""
    rows = []
    for number in range(VIEWS):
        told, label = seen(number)
        grey = _driving_thermal.picture(told, generator(number, "driving thermal"))[:, :, 0]
        rows += [
            (grey[told.instance == i].mean(), label[i], number)
            for i in np.unique(told.instance)
            if (told.instance == i).sum() >= 8 and label[i] != IGNORE
        ]
    level, label, number = np.array(rows).T
    return level, label.astype(int), number


def nearest_neighbours(level: np.ndarray, label: np.ndarray, number: np.ndarray, k: int = 25) -> tuple[float, float]:
    """Balanced accuracy of telling classes by temperature alone, in views not learned from; and chance's deviation."""
    learned = number < VIEWS // 2
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
    assert set(label) == set(range(len(CLASSES)))
    chance = 1 / len(CLASSES)
    found, spread = nearest_neighbours(level, label, number)
    assert abs(found - chance) < 3 * spread
    leaky, _ = nearest_neighbours(level + 8 * label, label, number)
    assert leaky > chance + 4 * spread, "this test would see a leak of 1.2 degrees a class"
