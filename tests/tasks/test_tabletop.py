"""tabletop without its renderer: names, plans, and what becomes of rendered blocks (here: balls on tables)."""

import dataclasses
import json
import math
import shutil
import sys

import numpy as np
import pytest

from tests.cli.program import xkd
from tests.tasks.tabletop_scenes import scene, write
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import tabletop
from xkd_bench.tasks._tabletop_plan import CLASSES, KINDS, PATTERNS, Surface, daylight, plan, read_plan
from xkd_bench.tasks._tabletop_render import pattern
from xkd_bench.tasks.tabletop import BLOCKS, SCENES, Tabletop

FULL = (120, 160)
N = 100


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_BENCH_CACHE", str(tmp_path_factory.mktemp("tabletop")))
        write(N)
        yield BLOCKS.folder


@pytest.fixture(scope="module")
def depth(rendered):
    return tasks.get(f"tabletop:depth,scenes={N}").load(FULL, FULL)


@pytest.fixture(scope="module")
def thermal(rendered):
    return tasks.get(f"tabletop:thermal,scenes={N}").load(FULL, FULL)


def test_names_say_target_and_number_of_scenes():
    assert [(t.kind, t.n) for t in map(Tabletop, ("", "depth", "thermal", "scenes=40", "thermal,scenes=300"))] == [
        ("depth", SCENES),
        ("depth", SCENES),
        ("thermal", SCENES),
        ("depth", 40),
        ("thermal", 300),
    ]


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("dept", "unknown target of tabletop 'dept': did you mean 'depth'?"),
        ("scenes=5", "scenes is '5', and must be a number from 20 to 100,000"),
        ("depth,scenes=many", "scenes is 'many'"),
        ("depth,scenes=", "scenes is ''"),
        ("depth,thermal", "takes TARGET,scenes=NUMBER"),
        ("depth,views=3", "takes TARGET,scenes=NUMBER"),
    ],
)
def test_names_that_mean_nothing(argument, line):
    with pytest.raises(UsageError) as caught:
        Tabletop(argument)
    assert line in str(caught.value)


def test_the_cards_say_what_is_rendered_and_what_is_simulated():
    plain, deep, warm = (tasks.get(name).card for name in ("tabletop", "tabletop:depth", "tabletop:thermal"))
    assert (plain.origin, deep.origin, warm.origin) == ("rendered", "rendered", "simulated")
    assert (deep.target, warm.target) == ("rendered depth", "simulated thermal")
    assert "rendered" in deep.title
    assert "simulated" in warm.title
    assert deep.name == "tabletop:depth"
    for card in (deep, warm):
        assert (card.kind, card.aligned, card.pairing) == ("segmentation", True, "instance")


def test_a_plan_is_that_of_its_number_and_survives_json():
    assert plan(17) == plan(17)
    assert plan(17) != plan(18)
    for number in range(30):
        assert read_plan(json.loads(json.dumps(dataclasses.asdict(plan(number))))) == plan(number)


def test_objects_stand_on_the_table_and_not_in_each_other():
    for number in range(200):
        what = plan(number)
        assert what.things
        for i, thing in enumerate(what.things):
            assert abs(thing.x) + thing.radius <= what.half[0] + 1e-9
            assert abs(thing.y) + thing.radius <= what.half[1] + 1e-9
            for other in what.things[:i]:
                assert math.hypot(thing.x - other.x, thing.y - other.y) > 1.3 * (thing.radius + other.radius)
        assert max(map(abs, what.eye)) < what.room, "the camera is in the room"
        assert what.eye[2] > 0.62 + 0.2
        assert math.isclose(math.hypot(*what.towards_light), 1)


def test_scenes_differ_in_all_that_is_drawn():
    plans = [plan(number) for number in range(600)]
    things = [thing for what in plans for thing in what.things]
    often = np.bincount([thing.kind for thing in things], minlength=len(KINDS)) / len(things)
    share = np.array([kind.share for kind in KINDS])
    assert np.abs(often / (share / share.sum()) - 1).max() < 0.3, "large objects fit less often, but not much"
    for kind, what in enumerate(KINDS):
        mine = [thing for thing in things if thing.kind == kind]
        assert len({thing.model for thing in mine}) >= min(len(what.models), 100)
        assert {thing.pose for thing in mine} == {pose for model in what.models for pose in model.poses}
        sizes = [thing.size for thing in mine]
        assert what.sizes[0] <= min(sizes) < max(sizes) <= what.sizes[1]
        assert 0.5 < np.mean([thing.colour is not None for thing in mine]) < 0.7
    assert {what.table.pattern for what in plans} == set(PATTERNS)
    dark = np.mean([what.ambient + what.diffuse < 0.5 for what in plans])
    assert 0.1 < dark < 0.5
    assert daylight(12) == 1
    assert daylight(3) == daylight(18.1) == 0


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_mix_two_colours(name):
    first, second = (0.2, 0.9, 0.4), (1.0, 0.1, 0.6)
    pixels = pattern(Surface(name, (first, second), 4, 7))
    assert np.array_equal(pixels, pattern(Surface(name, (first, second), 4, 7)))
    seen = pixels.reshape(-1, 3).astype(float) / 255
    ways = np.subtract(second, first)
    mix = (seen - first) @ ways / (ways @ ways)
    assert np.abs(seen - first - mix[:, None] * ways).max() < 0.01
    assert (mix.min(), mix.max()) == pytest.approx((0, 0 if name == "plain" else 1), abs=0.02)
    if name in ("checks", "stripes"):
        assert mix.mean() == pytest.approx(0.5)


def test_pixels_are_those_of_the_blocks(depth, thermal):
    for number in (0, 49, 50, 99):
        planes, facts = scene(number)
        metres = planes["depth"] * facts["step"]
        label = np.array([0, 1, *(thing.label for thing in plan(number).things)])[planes["instance"]]
        for data in (depth, thermal):
            assert np.array_equal(data.source.data[number], planes["rgb"].transpose(2, 0, 1))
            assert np.array_equal(data.maps.data[number], label)
        grey = depth.target.data[number, 0].astype(float)
        inside = (metres > tabletop.NEAREST) & (metres < tabletop.FARTHEST)
        assert np.abs(tabletop.NEAREST + 0.008 * grey - metres)[inside].max() <= 0.00401
        assert (grey[metres >= tabletop.FARTHEST] == 255).all()
        warm = thermal.target.data[number, 0].astype(float)
        spread = [warm[label == c].std() for c in np.unique(label)]
        assert np.mean(spread) < warm.std(), "warmth goes with what is seen, pixel for pixel"


def test_thermal_and_depth_have_one_split_and_two_digests(depth, thermal):
    assert depth.digest != thermal.digest
    for seed in range(3):
        one, other = depth.split(seed), thermal.split(seed)
        assert np.array_equal(one.test, other.test)
        assert one.classes == CLASSES
        assert not one.absent
    parts = depth.split(0)
    assert [len(part) for part in (parts.train, parts.val, parts.test)] == pytest.approx([60, 15, 25], abs=4)
    assert not np.array_equal(parts.test, depth.split(1).test)


def test_the_first_scenes_of_more_are_the_same(depth):
    fewer = tasks.get("tabletop:depth,scenes=30").load(FULL, FULL)
    assert np.array_equal(fewer.source.data, depth.source.data[:30])
    assert np.array_equal(fewer.target.data, depth.target.data[:30])
    assert len(fewer.target) == 30


def test_smaller_sizes_keep_the_depths_of_the_renderer(depth, rendered):
    small = tasks.get(f"tabletop:depth,scenes={N}").load((48, 64), (48, 64))
    assert small.target.data.shape == (N, 1, 48, 64)
    for i in (0, 60):
        assert set(np.unique(small.target.data[i])) <= set(np.unique(depth.target.data[i])), "no depth is made up"


def test_the_command_line(loaded, rendered):
    assert tasks.get("tabletop:thermal,scenes=100").ready()
    assert tasks.get("tabletop:thermal@blur=0.2").card.origin == "simulated"
    prelude = f"import os; os.environ['XKD_BENCH_CACHE'] = {str(rendered.parents[1])!r}"
    ended = xkd(loaded, "data", "check", "tabletop:depth,scenes=100", "--budget", "smoke", prelude=prelude)
    assert ended.code == 0, ended.err
    assert "is in order" in ended.out
    rows = {line.split()[0]: line.split() for line in ended.out.splitlines() if line.split()}
    for column in (2, 3):  # of train, of test
        shares = [float(rows[name][column].rstrip("%")) for name in CLASSES]
        assert min(shares) > 0
        assert sum(shares) == pytest.approx(100, abs=0.1)
    ended = xkd(loaded, "data", "prepare", "tabletop:depth,scenes=100", prelude=prelude)
    assert ended.out.startswith("task 'tabletop:depth,scenes=100' is prepared (100 scenes, ")


def test_not_prepared_and_no_renderer_are_one_line_each(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    task = tasks.get("tabletop:thermal,scenes=60")
    assert not task.ready()
    with pytest.raises(UsageError) as caught:
        task.load(FULL, FULL)
    assert str(caught.value).endswith("is not prepared: xkd-bench data prepare tabletop:thermal,scenes=60")
    assert len(task.check()) == 2
    monkeypatch.setitem(sys.modules, "pybullet", None)
    with pytest.raises(UsageError) as caught:
        task.prepare()
    assert str(caught.value) == "task 'tabletop' needs pybullet to render: pip install 'xkd-bench[tabletop]'"
    assert not BLOCKS.folder.exists()


def test_a_damaged_block_is_named(rendered, tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    shutil.copytree(rendered, BLOCKS.folder)
    task = tasks.get("tabletop:depth,scenes=50")
    assert task.check() == []
    file = BLOCKS.files(50)[0]
    file.write_bytes(file.read_bytes()[:-2000])
    assert task.check()[0].startswith(f"'{file}' is damaged")
    with pytest.raises(UsageError, match=r"scenes-000000\.npz"):
        task.load(FULL, FULL)
