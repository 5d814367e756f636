"""driving without its renderer: names, plans, splits, and what becomes of rendered blocks (here: balls on a ring)."""

import contextlib
import dataclasses
import json
import math
import sys

import numpy as np
import pytest

from tests.cli.program import xkd
from tests.tasks.driving_views import RADIUS, WIDTH, blocks, ring, scene
from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.tasks import driving
from xkd_bench.tasks._driving_classes import CLASSES
from xkd_bench.tasks._driving_plan import (
    CARS,
    KIN,
    RUN,
    TRACKS,
    camera,
    cars,
    family,
    half_lane,
    plan,
    read_view,
    track_of,
)  # fmt: skip
from xkd_bench.tasks._planes import IGNORE
from xkd_bench.tasks.driving import BLOCKS, FARTHEST, NEAREST, SCENES, Driving

FULL = (120, 160)
N = 10 * RUN


@pytest.fixture(scope="module")
def rendered(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XKD_BENCH_CACHE", str(tmp_path_factory.mktemp("driving")))
        with pytest.MonkeyPatch.context() as preparing:
            without_renderer(preparing)
            tasks.get(f"driving:depth,scenes={N}").prepare()
        yield BLOCKS.folder


def without_renderer(patch):
    """Let the balls be rendered, and nothing be fetched."""
    patch.setattr(Driving, "blocks", blocks())
    patch.setattr(driving, "opengl", contextlib.nullcontext)
    patch.setattr(Driving, "packages", ())


@pytest.fixture(scope="module")
def depth(rendered):
    return tasks.get(f"driving:depth,scenes={N}").load(FULL, FULL)


@pytest.fixture(scope="module")
def thermal(rendered):
    return tasks.get(f"driving:thermal,scenes={N}").load(FULL, FULL)


def test_names_say_target_and_number_of_views():
    assert [(t.kind, t.n) for t in map(Driving, ("", "depth", "thermal", "scenes=400", "thermal,scenes=300"))] == [
        ("depth", SCENES),
        ("depth", SCENES),
        ("thermal", SCENES),
        ("depth", 400),
        ("thermal", 300),
    ]


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("dept", "unknown target of driving 'dept': did you mean 'depth'?"),
        ("scenes=5", "scenes is '5', and must be a number from 160 to 100,000"),
        ("depth,scenes=many", "scenes is 'many'"),
        ("depth,scenes=", "scenes is ''"),
        ("depth,thermal", "takes TARGET,scenes=NUMBER"),
        ("depth,views=300", "takes TARGET,scenes=NUMBER"),
    ],
)
def test_names_that_mean_nothing(argument, line):
    with pytest.raises(UsageError) as caught:
        Driving(argument)
    assert line in str(caught.value)


def test_the_cards_say_what_is_rendered_what_is_simulated_and_that_labels_are_noisy():
    plain, deep, warm = (tasks.get(name).card for name in ("driving", "driving:depth", "driving:thermal"))
    assert (plain.origin, deep.origin, warm.origin) == ("rendered", "rendered", "simulated")
    assert (deep.target, warm.target) == ("rendered depth", "simulated thermal")
    for card in (deep, warm):
        assert "labels noisy" in card.title
        assert (card.kind, card.aligned, card.pairing) == ("segmentation", True, "instance")
        assert "GPL-2+" in card.licence
        assert "Free Art" in card.licence


def test_a_plan_is_that_of_its_number_and_survives_json():
    assert plan(17) == plan(17)
    assert plan(17) != plan(18)
    for number in range(0, 600, 20):
        assert read_view(json.loads(json.dumps(dataclasses.asdict(plan(number))))) == plan(number)


def test_every_track_has_its_turn():
    turns = [track_of(number) for number in range(0, RUN * len(TRACKS), RUN)]
    assert sorted(turns) == sorted(TRACKS)
    assert turns != list(TRACKS), "kinds of track are mixed"
    assert track_of(RUN * len(TRACKS)) == turns[0]
    assert len({track_of(number) for number in range(RUN)}) == 1
    assert SCENES % (RUN * len(TRACKS)) == 0, "by default each has as many views"


def test_views_differ_in_all_that_is_drawn():
    views = [plan(number) for number in range(0, 2000, 2)]
    every = [car for view in views for car in view.cars]
    assert {car.model for car in every} == set(range(len(CARS)))
    assert {len(view.cars) for view in views} == {2, 3, 4, 5, 6}
    assert np.mean([view.way for view in views]) == pytest.approx(0.5, abs=0.1)
    assert {view.haze for view in views} == {view.haze for view in views[:40]}
    dark = np.mean([view.light < 0.13 for view in views])
    assert dark == pytest.approx(0.25, abs=0.05), "a quarter is at night"
    assert max(view.light for view in views) == 1
    for name in ("along", "side", "height", "ahead", "lift", "fov", "hour", "ambient"):
        drawn = [getattr(view, name) for view in views]
        assert len(set(drawn)) == len(drawn)
    for view in views:
        assert math.isclose(math.hypot(*view.towards_sun), 1)
        assert all(0 <= channel <= 1 for colour in view.sky for channel in colour)


def test_cars_stand_on_the_lane_near_the_camera_and_not_in_each_other():
    course, shown, near = ring(), [], []
    for number in range(0, 600, 3):
        view = plan(number)
        stand, goal = camera(view, course)
        ahead = math.atan2(goal.y - stand.y, goal.x - stand.x)
        wide = math.radians(view.fov / 2) * 160 / 120
        places = cars(view, course)
        for i, pose in enumerate(places):
            out = math.hypot(pose.x, pose.y - RADIUS) - RADIUS
            assert abs(out) < WIDTH / 2
            assert math.hypot(pose.x - stand.x, pose.y - stand.y) > 6
            for other in places[:i]:
                assert math.hypot(pose.x - other.x, pose.y - other.y) > 2
            bearing = math.atan2(pose.y - stand.y, pose.x - stand.x) - ahead
            shown.append(abs(math.remainder(bearing, 2 * math.pi)) < wide)
            near.append(math.hypot(pose.x - stand.x, pose.y - stand.y))
    assert np.mean(shown) > 0.9, "where the road bends, too"
    assert np.median(near) < 20


def test_the_camera_looks_along_the_road_either_way():
    course = ring()
    for number in range(0, 300, 7):
        view = plan(number)
        stand, goal = camera(view, course)
        assert abs(math.hypot(stand.x, stand.y - RADIUS) - RADIUS) <= 0.6 * half_lane(course) + 1e-9
        turn = math.atan2(goal.y - RADIUS, goal.x) - math.atan2(stand.y - RADIUS, stand.x)
        assert math.copysign(1, math.remainder(turn, 2 * math.pi)) == view.way


def test_pixels_are_those_of_the_blocks(depth, thermal):
    for number in (0, RUN - 1, RUN, N - 1):
        planes, facts = scene(number)
        metres = planes["depth"] * facts["step"]
        label = np.array(facts["label"])[planes["instance"]]
        assert (label == IGNORE).any()
        for data in (depth, thermal):
            assert np.array_equal(data.source.data[number], planes["rgb"].transpose(2, 0, 1))
            assert np.array_equal(data.maps.data[number], label)
        grey = depth.target.data[number, 0].astype(float)
        inside = (metres > NEAREST) & (metres < FARTHEST)
        assert np.abs(NEAREST + 0.4 * grey - metres)[inside].max() <= 0.2001
        assert (grey[metres >= FARTHEST] == 255).all()
        assert (grey[label == CLASSES.index("sky")] == 255).all()
        warm = thermal.target.data[number, 0].astype(float)
        spread = [warm[planes["instance"] == i].std() for i in np.unique(planes["instance"])]
        assert np.mean(spread) < warm.std(), "warmth goes with what is seen, pixel for pixel"


def test_no_track_of_test_is_seen_before(depth, thermal):
    assert depth.digest != thermal.digest
    track = np.array([family(track_of(number)) for number in range(N)])
    for seed in range(4):
        split = depth.split(seed)
        for part in (split.train, split.val, split.pairs_source, split.pairs_target):
            assert not set(track[part]) & set(track[split.test])
        assert not set(track[split.train]) & set(track[split.val])
        assert np.array_equal(split.test, thermal.split(seed).test)
        assert split.classes == CLASSES
        assert split.absent == ()
    assert not np.array_equal(depth.split(0).test, depth.split(1).test)


def test_kin_is_not_parted():
    names = [track.rpartition("/")[2] for track in TRACKS]
    assert set(KIN) <= set(names)
    assert {family(track) for track, name in zip(TRACKS, names, strict=True) if name in KIN} == {KIN[0]}
    assert len({family(track) for track in TRACKS}) == len(TRACKS) - len(KIN) + 1


def test_smaller_sizes_keep_the_depths_of_the_renderer(depth):
    small = tasks.get(f"driving:depth,scenes={N}").load((48, 64), (48, 64))
    assert small.target.data.shape == (N, 1, 48, 64)
    for i in (0, 60):
        assert set(np.unique(small.target.data[i])) <= set(np.unique(depth.target.data[i])), "no depth is made up"


def test_the_command_line(loaded, rendered):
    prelude = f"import os; os.environ['XKD_BENCH_CACHE'] = {str(rendered.parents[1])!r}"
    ended = xkd(loaded, "data", "check", f"driving:thermal,scenes={N}", "--budget", "smoke", prelude=prelude)
    assert ended.code == 0, ended.err
    assert "is in order" in ended.out
    ended = xkd(loaded, "data", "prepare", f"driving:depth,scenes={N}", prelude=prelude)
    assert ended.out.startswith(f"task 'driving:depth,scenes={N}' is prepared ({N} views, "), ended.err


def test_what_is_there_is_kept_and_what_is_broken_is_made_again(rendered, tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    monkeypatch.setenv("TOY_LOG", str(tmp_path / "log"))
    BLOCKS.folder.mkdir(parents=True)
    files = [file.name for file in blocks().files(160)]
    for name in files[:8]:
        (BLOCKS.folder / name).write_bytes((rendered / name).read_bytes())
    broken = BLOCKS.folder / files[2]
    broken.write_bytes(broken.read_bytes()[:-2000])
    without_renderer(monkeypatch)
    task = tasks.get("driving:depth,scenes=160")
    assert not task.ready()
    assert [line.split(" ")[-1] for line in task.check() if "missing" in line] == ["missing", "missing"]
    assert [line for line in task.check() if line.startswith(f"'{broken}' is damaged")]
    with pytest.raises(UsageError, match="xkd-bench data prepare driving:depth,scenes=160"):
        task.load(FULL, FULL)
    told = []
    task.prepare(lambda what, done, total: told.append((what, done, total)))
    assert sorted((tmp_path / "log").read_text().split(), key=int) == ["32", "128", "144"]
    assert ("rendering", 7 * RUN, 160) in told
    assert told[-1] == ("rendering", 160, 160)
    assert task.check() == []
    for name in files:
        assert (BLOCKS.folder / name).read_bytes() == (rendered / name).read_bytes()


def test_without_what_renders_nothing_is_fetched_and_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    task = Driving("thermal")
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(UsageError) as caught:
        task.prepare()
    assert str(caught.value) == "task 'driving' needs moderngl to render: pip install 'xkd-bench[driving]'"
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "moderngl", type("Broken", (), {"create_context": staticmethod(_no_context)}))
    with pytest.raises(UsageError) as caught:
        task.prepare()
    assert str(caught.value) == (
        "task 'driving' needs EGL and a driver to render: apt-get install libegl1 libgl1-mesa-dri "
        "(libEGL.so not loaded)"
    )
    assert not list(tmp_path.iterdir())


def _no_context(**settings):
    raise OSError("libEGL.so not loaded\nand more")
