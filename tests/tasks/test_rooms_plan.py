"""rooms before anything is rendered: models and their houses, what stands where, what Blender is told."""

import dataclasses
import json
import math
from collections import Counter

import numpy as np
import pytest

from tests.tasks.room_scenes import OPENING
from xkd_bench.tasks._rooms_layout import Anchor, Box, Piece, Space, box_of, wall_piece
from xkd_bench.tasks._rooms_models import CLASSES, HOUSES, KINDS, Model, houses, models
from xkd_bench.tasks._rooms_plan import ROOMS, plan, read_plan
from xkd_bench.tasks._rooms_render import CEILING, FIRST, FLOOR, WALL, developed, order

PLANS = [plan(number) for number in range(160)]


def test_models_have_sizes_classes_makers_and_licences():
    found = models()
    assert len(found) > 400
    kinds = {kind for kinds in KINDS.values() for kind in kinds}
    assert {model.kind for model in found.values()} == kinds
    for name, model in found.items():
        assert name == model.name
        assert 0.01 < max(model.width, model.depth, model.height) < 4
        assert min(model.width, model.depth, model.height) > 0
        assert 0 < model.top <= model.height
        assert len(model.turn) in (0, 9)
        assert model.creator
        assert model.kind in KINDS[CLASSES[model.label]]
    assert Counter(model.licence for model in found.values()).keys() == {"CC0", "CC-BY-3.0", "CC-BY-3.0-US"}
    turns = np.array([model.turn for model in found.values() if model.turn]).reshape(-1, 3, 3)
    assert np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max() < 1e-3, "turns are rotations"


def test_houses_share_no_model_and_no_family():
    assert len(houses()) == HOUSES
    held = [[model for kind in house.values() for model in kind] for house in houses()]
    assert sorted(model.name for house in held for model in house) == sorted(models())
    families = [{model.family for model in house} for house in held]
    assert sum(map(len, families)) == len(set().union(*families))
    of_class = np.array([np.bincount([m.label for m in house], minlength=len(CLASSES))[3:] for house in held])
    assert of_class.min() >= 2, "each house has a choice of each class"
    assert of_class.sum(0).min() >= 16


def test_a_plan_is_that_of_its_number_and_survives_json():
    assert plan(17) == plan(17) == PLANS[17]
    assert plan(17) != plan(18)
    for what in PLANS[:40]:
        assert read_plan(json.loads(json.dumps(dataclasses.asdict(what)))) == what


def test_scenes_are_furnished_from_their_house_alone():
    for what in PLANS:
        own = {model.name for kind in houses()[what.number % HOUSES].values() for model in kind}
        assert what.house == what.number % HOUSES
        assert {thing.model for thing in what.things} <= own


def corners(thing, model: Model) -> np.ndarray:
    """[4, 2] of a piece's rectangle on the floor."""
    c, s = math.cos(thing.yaw), math.sin(thing.yaw)
    half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2 * [model.width, model.depth]
    return half @ np.array([[c, s], [-s, c]]) + [thing.x, thing.y]


def apart(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two convex shapes do not meet: some side of one parts them (separating axes)."""
    for shape in (a, b):
        for edge in shape - np.roll(shape, 1, 0):
            normal = np.array([-edge[1], edge[0]]) / np.linalg.norm(edge)
            p, q = a @ normal, b @ normal
            if p.max() <= q.min() + 1e-6 or q.max() <= p.min() + 1e-6:
                return True
    return False


def test_nothing_is_in_anything_and_all_is_in_the_room():
    for what in PLANS:
        placed = [(thing, models()[thing.model]) for thing in what.things if models()[thing.model].label != OPENING]
        for i, (thing, model) in enumerate(placed):
            mine = corners(thing, model)
            assert (np.abs(mine) <= [what.width / 2 + 1e-6, what.depth / 2 + 1e-6]).all(), (what.number, model.name)
            assert thing.z >= 0
            assert thing.z + model.height <= what.height + 1e-6
            for other, its in placed[:i]:
                over = thing.z >= other.z + its.height - 1e-6 or other.z >= thing.z + model.height - 1e-6
                assert over or apart(mine, corners(other, its)), (what.number, model.name, its.name)


def test_what_is_off_the_floor_hangs_or_stands_on_something():
    hanging = {"upper-cabinet", "hood", "ceiling-lamp", "wall-lamp", "wall-object", "radiator", "washbasin", "toilet"}
    for what in PLANS:
        placed = [(thing, models()[thing.model]) for thing in what.things if models()[thing.model].label != OPENING]
        for thing, model in placed:
            if thing.z > 0.01 and model.kind not in hanging:
                below = [
                    its for other, its in placed
                    if abs(other.z + its.top - thing.z) < 0.01
                    and math.hypot(other.x - thing.x, other.y - thing.y) < math.hypot(its.width, its.depth) / 2
                ]  # fmt: skip
                assert below or model.elevation == pytest.approx(thing.z), (what.number, model.name, thing.z)


def test_the_camera_stands_free_in_the_room_and_looks_across():
    for what in PLANS:
        x, y, z = what.eye
        assert abs(x) < what.width / 2 - 0.1
        assert -what.depth / 2 < y < 0
        assert 1.2 < z < 1.7
        assert what.target[1] > 0
        around = Box(x - 0.25, x + 0.25, y - 0.1, y + 0.25, 0, what.height)
        for thing in what.things:
            model = models()[thing.model]
            assert model.label == OPENING or not box_of(model, thing).meets(around), (what.number, model.name)


def test_rooms_of_all_sorts_have_what_belongs_there():
    plans = [*PLANS, *(plan(number) for number in range(160, 480))]
    assert {what.room for what in plans} == set(ROOMS)

    def share(room: str, *kinds: str) -> float:
        return np.mean([
            any(models()[thing.model].kind in kinds for thing in what.things) for what in plans if what.room == room
        ])  # fmt: skip

    assert share("bedroom", "bed", "cot") > 0.75
    assert share("living room", "sofa") > 0.75
    assert share("dining room", "dining-table") > 0.75
    assert share("office", "desk", "dining-table") > 0.75
    assert share("kitchen", "kitchen-unit", "stove", "sink", "fridge") > 0.75
    assert share("bathroom", "bath", "toilet", "washbasin", "shower", "washer") > 0.75
    assert len({thing.model for what in plans for thing in what.things}) > 0.85 * len(models())


def test_a_wall_is_looked_from_into_the_room():
    space = Space(4, 6, 2.5, np.random.default_rng(0))
    cupboard = Model("wardrobe", "", "", 1.0, 0.5, 2.0, 0, 2.0, "", (), "")
    for number, (x, y) in enumerate([(0.5, 2.73), (-1.73, 0.5), (1.73, -0.5), (-0.5, -2.73)]):
        thing = space.along(number, 0.5).at(wall_piece(cupboard))
        assert (thing.x, thing.y) == pytest.approx((x, y)), (
            "the middle of 0.5 m, 2 cm from the wall, 0.5 m to the right"
        )
        to_middle = np.array([math.sin(thing.yaw), -math.cos(thing.yaw)]) @ [-thing.x, -thing.y]
        assert to_middle > 1, "its front looks away from the wall"
    assert space.put(space.along(0, 0), [wall_piece(cupboard)])
    assert not space.put(space.along(0, 0.9), [wall_piece(cupboard)]), "taken"
    space.keep(1, 0.0, 1.0, 0.9, 0.3)
    assert not space.put(space.along(1, 0), [wall_piece(cupboard)]), "before a window"
    low = dataclasses.replace(cupboard, height=0.8)
    assert space.put(space.along(1, 0), [wall_piece(low)]), "low enough"


def test_a_group_comes_whole_where_it_must():
    space = Space(3, 3, 2.5, np.random.default_rng(0))
    table = Model("desk", "", "", 1.0, 0.6, 0.7, 0, 0.7, "", (), "")
    far = [Piece(table, 0, 0), Piece(table, 0, 5)]
    assert space.put(Anchor(0, 0, 0), far, needed=2) == []
    assert space.taken == []
    assert len(space.put(Anchor(0, 0, 0), far, needed=1)) == 1


def test_walls_are_whole_but_for_their_openings():
    for what in PLANS[:40]:
        told = order(what, {thing.model: thing.model for thing in what.things}, "out")
        assert json.loads(json.dumps(told)) is not None
        walls = [box for box in told["boxes"] if box["instance"] == WALL]
        area = sum((b["high"][2] - b["low"][2]) * max(b["high"][i] - b["low"][i] for i in (0, 1)) for b in walls)
        whole = 2 * (what.width + what.depth + 4 * 0.35) * what.height
        holes = sum(hole.width * (hole.high - hole.low) for hole in what.openings)
        assert area == pytest.approx(whole - holes, rel=1e-6)
        assert {FLOOR, WALL, CEILING} <= {box["instance"] for box in told["boxes"]}
        assert [thing["instance"] for thing in told["things"]] == list(range(FIRST, FIRST + len(what.things)))
        assert FIRST + len(what.things) < 256


def test_pictures_are_exposed_for_their_middle():
    light = np.full((6, 8, 3), 0.004)
    assert np.array_equal(developed(light), developed(1000 * light)), "as a camera's, whatever the lamp"
    assert 140 < developed(light)[0, 0, 0] < 155
    ramp = np.repeat(np.linspace(0, 50, 48).reshape(6, 8, 1), 3, 2)
    grey = developed(ramp)[:, :, 0].ravel().astype(int)
    assert grey[0] == 0
    assert (np.diff(grey) >= 0).all()
    assert developed(np.full((2, 2, 3), np.nan)).max() == 0
