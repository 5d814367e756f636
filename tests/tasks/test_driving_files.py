"""TORCS' formats and the table of textures: what is read is what was written, and what is broken is one line."""

import math
import re
from fnmatch import fnmatchcase

import numpy as np
import pytest

from tests.tasks import torcs_files
from tests.tasks.torcs_files import BEND, MOVED, SIDE, WIDTH, area, flat, model, obj, square_xml
from xkd_bench.errors import UsageError
from xkd_bench.tasks import _driving_classes, _driving_world
from xkd_bench.tasks._driving_classes import CLASSES, NOT_SCORED, TABLE, class_of, listed, stem
from xkd_bench.tasks._driving_course import CourseError, parse, read_course
from xkd_bench.tasks._driving_models import ModelError, Part, read_model
from xkd_bench.tasks._driving_plan import TRACKS
from xkd_bench.tasks._driving_world import TORCS, Road, cylinder, instances_of, read_car, read_world
from xkd_bench.tasks._packages import unpacked


@pytest.fixture(scope="module")
def torcs(tmp_path_factory):
    return torcs_files.write(tmp_path_factory.mktemp("torcs"))


def parts(tmp_path, text):
    file = tmp_path / "thing.acc"
    file.write_text(text, "latin-1")
    return read_model(file)


def test_polygons_and_strips_keep_their_area_and_face_up(tmp_path):
    zigzag = ((0, 0, 1), (4, 0, 1), (0, 3, 1), (4, 3, 1), (0, 6, 1), (4, 6, 1))
    fan, strip = parts(tmp_path, model(obj("A", "a.png", flat(0, 0, 4, 3, 1)), obj("B", "", zigzag, strip=True)))
    assert (fan.name, fan.texture, strip.texture) == ("A", "a.png", "")
    assert fan.colour == strip.colour == (0.2, 0.4, 0.8)
    assert (area(fan.triangles), area(strip.triangles)) == pytest.approx((12, 24))
    for part in (fan, strip):
        a, b, c = np.moveaxis(part.triangles[:, :, :3], 1, 0)
        assert (np.cross(b - a, c - a)[:, 2] > 0).all(), "z is up, and no triangle is turned over"
    assert fan.triangles[0, 1].tolist() == pytest.approx([4, 0, 1, 0.4, 0])


def test_surfaces_of_one_object_and_texture_are_one_part(tmp_path):
    twice = obj("A", "a.png", flat(0, 0, 1, 1, 0)) + obj("A", "a.png", flat(5, 0, 1, 1, 0))
    (one,) = parts(tmp_path, model(twice))
    assert len(one.triangles) == 4
    assert parts(tmp_path, model(obj("A", "", ((0, 0, 0), (1, 1, 1)))))[0].triangles.shape == (0, 3, 5)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("AC3Db", "AC4D", "line 1: it does not begin with AC3D"),
        ("numvert 4", "numvert 4000", "4000 lines are to follow"),
        ("numvert 4", "numvert -4", "-4 lines are to follow"),
        ("numvert 4", "numvert four", "line 9: it is broken"),
        ("refs 4", "refs 99999999", "lines are to follow"),
        ("\n3 ", "\n7 ", "it refers to vertex 7 of 4"),
        ("\n3 ", "\n-1 ", "it refers to vertex -1 of 4"),
        ("\n3 ", "\n1.5e5 ", "it refers to vertex 150000 of 4"),
        ("SURF 0x20", "SURF 0x21", "a surface of kind 1 is neither"),
        ("4 0 ", "nan 0 ", "a number is not finite"),
        ("4 0 ", "1e300 0 ", "a number is not finite, or too large"),
        ("kids 0", "loc 1 2 3", "'loc' moves an object"),
        ("mat 0", "mat ", "it is broken"),
        ("mat 0", "mat zero", "it is broken"),
    ],
)
def test_broken_models_are_one_line_with_its_number(tmp_path, old, new, line):
    text = model(obj("A", "a.png", flat(0, 0, 4, 3, 0)))
    assert old in text
    with pytest.raises(ModelError) as caught:
        parts(tmp_path, text.replace(old, new, 1))
    assert line in str(caught.value)
    assert "thing.acc', line " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_model_cut_off_anywhere_is_read_or_refused(tmp_path):
    text = model(obj("A", "a.png", flat(0, 0, 4, 3, 0)), obj("B", "b.png", flat(0, 0, 4, 3, 0), strip=True))
    refused = 0
    for end in range(0, len(text), 3):
        try:
            assert sum(len(part.triangles) for part in parts(tmp_path, text[:end])) <= 4
        except ModelError:
            refused += 1
    assert 0 < refused < len(text) // 3
    with pytest.raises(ModelError):
        parts(tmp_path, "\0\xff" * 5000)


def test_a_square_closes_and_has_its_length():
    course = parse(square_xml())
    assert course.length == pytest.approx(torcs_files.length())
    assert np.allclose(course.middle[-1], course.middle[0], atol=1e-9)
    assert course.heading[-1] - course.heading[0] == pytest.approx(2 * math.pi)
    assert np.diff(course.along).max() <= 2
    assert course.place(SIDE / 2, 0) == pytest.approx((SIDE / 2, 0, 0))
    assert course.place(SIDE / 2, 3) == pytest.approx((SIDE / 2, 3, 0)), "left is the way that it turns"
    x, y, heading = course.place(SIDE + BEND * math.pi / 4, 0)
    assert (x, y) == pytest.approx((SIDE + BEND * math.sin(math.pi / 4), BEND * (1 - math.cos(math.pi / 4))), abs=0.05)
    assert heading == pytest.approx(math.pi / 4, abs=0.01)
    for rounds in (-2, 1, 3):
        again = course.place(17 + rounds * course.length, 1)
        assert again[:2] == pytest.approx(course.place(17, 1)[:2])
        assert again[2] - course.place(17, 1)[2] == pytest.approx(2 * math.pi * rounds)


def test_a_course_is_laid_where_its_mesh_is():
    course = parse(square_xml()).moved(*MOVED)
    assert course.middle.min(0) - WIDTH / 2 == pytest.approx(MOVED, abs=0.02)


def test_a_bend_whose_radius_changes_turns_as_it_says_and_grows_evenly():
    bend = """<section name="b"><attstr name="type" val="rgt"/><attnum name="radius" unit="m" val="50"/>
    <attnum name="end radius" unit="m" val="100"/><attnum name="arc" unit="deg" val="90"/>
    <attnum name="profil steps length" unit="m" val="4"/></section>"""
    course = parse(torcs_files.SQUARE.format(segments=bend))
    assert course.heading[-1] - course.heading[0] == pytest.approx(-math.pi / 2)
    turn = np.diff(course.heading) / np.diff(course.along)
    assert 1 / -turn[0] == pytest.approx(50)
    assert 1 / -turn[-1] == pytest.approx(100)
    assert (np.diff(-turn) <= 1e-12).all()
    arcs = np.unique(np.round(-turn, 9))
    lengths = [np.diff(course.along)[np.isclose(-turn, arc, atol=1e-8)].sum() for arc in arcs]
    assert np.ptp(lengths) < 1e-6, "arcs of one length"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("</params>", "", "no XML"),
        ("Main Track", "Main Road", "it has no section 'Main Track'"),
        ("Track Segments", "Parts", "it has no section 'Track Segments'"),
        ('name="lg"', 'name="length"', "section 's0' has no lg"),
        ('val="100.0"', 'val="-3"', "lg is -3, and must be more than 0"),
        ('val="100.0"', 'val="far"', "lg is 'far' in 'm', and must be a number"),
        ('val="100.0"', 'val="inf"', "lg is 'inf'"),
        ('val="100.0"', 'val="1e9"', "a straight is longer than any"),
        ('unit="deg" val="90"', 'unit="gon" val="90"', "arc is '90' in 'gon'"),
        ('val="lft"', 'val="up"', "a segment's type is 'up'"),
        ('val="20.0"', 'val="1e30"', "a bend is longer than any"),
        ("&default-surfaces;", "&a;&b;", ""),
        ("<!ENTITY", '<!ENTITY bomb "&bomb;&bomb;"> <!ENTITY', ""),
    ],
)
def test_broken_courses_are_one_line(tmp_path, old, new, line):
    file = tmp_path / "square.xml"
    assert old in square_xml()
    file.write_text(square_xml().replace(old, new, 1))
    if not line:
        assert read_course(file).length == pytest.approx(torcs_files.length())
        return
    with pytest.raises(CourseError) as caught:
        read_course(file)
    assert str(caught.value).startswith(f"'{file}': {line}")
    assert "\n" not in str(caught.value)


def test_every_entry_of_the_table_is_there_once_and_is_of_a_class():
    assert set(TABLE) == set(CLASSES) - {"sky"}
    every = " ".join([*TABLE.values(), *NOT_SCORED.values()]).split()
    assert len(every) == len(set(every)) > 300
    assert all(re.fullmatch(r"[a-z0-9()_*?\[\]-]+", entry) and stem(entry) == entry for entry in every)


@pytest.mark.parametrize(
    ("texture", "part", "expected"),
    [
        ("tr-asphalt-l_nmm.rgb", "TERR12", "road"),
        ("tr-dirt.rgb", "tkMn3", "road"),
        ("tr-dirtb.rgb", "TKLS77", "sand"),
        ("unheard-of.png", "XKMN1", "road"),
        ("unheard-of.png", "TERR1", None),
        ("concrete.rgb", "P12", "building"),
        ("concrete2.rgb", "TERR8", "road"),
        ("concrete.rgb", "B0LT4", "barrier"),
        ("Tree10_n.png", "OBJ1", "vegetation"),
        ("treeUGLIES01_n.png", "CROWD2", None),
        ("TreeRNS3.png", "OBJ5", "vehicle"),
        ("treefc_n.png", "OBJ5", "barrier"),
        ("GStree_n.png", "OBJECT7", "sign"),
        ("GSpatree_n.png", "OBJECT7", None),
        ("tr-b-road1-l2.rgb", "T0LB1", "road"),
        ("tr-b-road1-grass6-l2.rgb", "T0LB1", None),
        ("tr-curb-l.rgb", "T0RB1", "curb"),
        ("", "OBJECT1", None),
    ],
)
def test_classes_are_read_off_names(texture, part, expected):
    assert class_of(texture, part) == expected


def test_a_name_in_full_goes_before_a_pattern_and_a_long_pattern_before_a_short_one():
    assert class_of("road03.png", "T0LB1") == "curb"
    assert class_of("road04.png", "OBJ1") == "road"
    assert class_of("tr-b-road1-sand3-l2.rgb", "OBJ1") is None
    names = [name for name, _ in _driving_classes._entries()]
    for name in (n for n in names if not set(n) & set("*?[")):
        best = sorted(_driving_classes._matching(name), reverse=True)
        assert best[0][0]
        assert len(best) == 1 or not best[1][0]
    assert listed("tr-grass6_nmm.rgb")
    assert not listed("unheard-of.png")


def test_things_are_instances_and_what_is_paved_is_one_for_each_texture():
    triangle = np.zeros((1, 3, 5), np.float32)
    names = [
        ("TKMN1", "road1.png"), ("TKMN2", "road1.png"), ("TKMN3", "road2.png"), ("TREE1", "tree1_n.png"),
        ("TREE2", "tree1_n.png"), ("HOUSE_s_1", "house.rgb"), ("HOUSE_s_2", "house.rgb"), ("HOUSE_s_2", "roof1.rgb"),
        ("ODD1", "unheard-of.png"),
    ]  # fmt: skip
    found, label = instances_of([Part(name, texture, (1, 1, 1), triangle) for name, texture in names])
    assert found == [1, 1, 2, 3, 4, 5, 5, 5, 6]
    kinds = [CLASSES[i] if i < len(CLASSES) else None for i in label]
    assert kinds == ["sky", "road", "road", "vegetation", "vegetation", "building", None]


def test_heights_are_those_of_the_lane_and_of_a_bridge_the_near_one():
    slope = np.array([[(0, 0, 0), (10, 0, 5), (0, 10, 0)], [(10, 0, 5), (10, 10, 5), (0, 10, 0)]], np.float32)
    road = Road(np.concatenate([slope, slope + np.float32((0, 0, 6))]))
    assert road.height(4, 3) == pytest.approx(2)
    assert road.height(4, 3, near=7) == pytest.approx(8)
    assert road.height(11, 3) is None
    assert road.least() == (0, 0)
    assert Road(np.zeros((1, 3, 3), np.float32)).height(0, 0) is None


def test_a_world_is_its_files(torcs):
    here = read_world(torcs, "road/square")
    assert [mesh.texture.name for mesh in here.meshes] == ["road1.png", "tr-grass_nmm.png", "wall-grey.png"]
    assert [CLASSES[i] for i in here.label] == ["sky", "road", "ground", "barrier"]
    corners = here.meshes[2].corners
    assert corners.shape == (6, 9)
    assert (corners[:, 8] == 3).all()
    assert np.abs(corners[:, 5:8]).tolist() == [[1, 0, 0]] * 6
    for along in np.linspace(0, here.course.length, 30):
        for side in (-4, 0, 4):
            x, y, _ = here.course.place(along, side)
            assert here.road.height(x, y) == pytest.approx(2), "the course is on the lane"


def test_a_car_stands_on_its_wheels(torcs):
    meshes, reach = read_car(torcs, "p406")
    assert reach == 2
    points = np.concatenate([mesh.corners[:, :3] for mesh in meshes])
    radius = 0.4 * 0.0254 * 16 / 0.8 + 0.25 * 0.4
    assert points[:, 2].min() == pytest.approx(0, abs=0.01)
    assert points[:, 2].max() == pytest.approx(1.2)
    tyres = next(mesh.corners for mesh in meshes if max(mesh.colour) < 0.1)
    assert tyres[:, 2].max() == pytest.approx(2 * radius, abs=0.01)
    assert tyres[:, 0].max() == pytest.approx(1.2 + radius, abs=0.01)
    assert {round(float(y), 3) for y in tyres[:, 1]} >= {-0.925, -0.675, 0.675, 0.925}


def test_a_wheel_has_the_area_of_a_cylinder():
    assert area(cylinder((1, 2, 3), 0.3, 0.2)) == pytest.approx(2 * math.pi * 0.3 * (0.3 + 0.2), rel=0.03)


def test_what_is_missing_or_leads_elsewhere(torcs, tmp_path):
    assert _driving_world._texture("../square.xml", (torcs / "tracks/road/square",)) is None
    assert _driving_world._texture("gone.png", (torcs / "tracks/road/square",)) is None
    with pytest.raises(OSError, match=r"ring\.ac'"):
        read_world(torcs, "road/ring")
    bare = torcs_files.write(tmp_path, cars=())
    file = bare / "tracks/road/square/square.acc"
    file.write_text(model(obj("TERR1", "grass.png", flat(0, 0, 1, 1, 0))))
    with pytest.raises(UsageError, match="has no lane"):
        read_world(bare, "road/square")


@pytest.mark.slow
def test_the_table_has_a_word_on_every_texture_and_no_word_too_many():
    """On the package itself, where it has been fetched before."""
    if unpacked(TORCS) is None:
        pytest.skip("torcs-data is not here: xkd-bench data prepare driving")
    names = set()
    for track in TRACKS:
        name = track.rpartition("/")[2]
        for file in (_driving_world.home() / "tracks" / track).glob(f"{name}.ac*"):
            names |= {part.texture for part in read_model(file)}
    assert [name for name in names if name and not listed(name)] == []
    stems = {stem(name) for name in names}
    entries = {entry for entry, _ in _driving_classes._entries()}
    idle = [entry for entry in entries if not any(fnmatchcase(name, entry) for name in stems)]
    assert idle == []


def test_the_package_is_pinned_and_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("XKD_BENCH_CACHE", str(tmp_path))
    with pytest.raises(UsageError) as caught:
        _driving_world.home()
    assert str(caught.value) == "torcs-data 1.3.7+dfsg-5 is not here: xkd-bench data prepare driving"
