"""A tiny TORCS, written by tests: one track (four straights and four bends in a plain) and cars that are boxes."""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from xkd_bench.tasks._driving_plan import CARS

SIDE, BEND, WIDTH = 100.0, 20.0, 10.0
"""Metres of its straights, of its bends' radius, and of its lane."""
MOVED = (30.0, 45.0)
"""What its mesh is moved by: the lane's least x and y."""
SQUARE = f"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE params SYSTEM "../params.dtd" [
<!ENTITY default-surfaces SYSTEM "../../../data/tracks/surfaces.xml">
]>
<params name="Square" type="trackdef"><!-- a comment -->
<section name="Surfaces">&default-surfaces;</section>
<section name="Main Track"><attnum name="width" unit="m" val="{WIDTH}"/>
<section name="Track Segments">{{segments}}</section></section></params>"""
STRAIGHT = (
    f"""<section name="s{{i}}"><attstr name="type" val="str"/><attnum name="lg" unit="m" val="{SIDE}"/></section>"""
)
LEFT = f"""<section name="b{{i}}"><attstr name="type" val="lft"/><attnum name="radius" unit="m" val="{BEND}"/>
<attnum name="arc" unit="deg" val="90"/></section>"""
CAR = """<params name="car"><section name="Front Axle"><attnum name="xpos" val="1.2"/></section>
<section name="Rear Axle"><attnum name="xpos" val="-1.3"/></section>{wheels}</params>"""
WHEEL = """<section name="{name} Wheel"><attnum name="ypos" unit="m" val="{y}"/>
<attnum name="rim diameter" unit="in" val="16"/><attnum name="tire width" unit="mm" val="250"/>
<attnum name="tire height-width ratio" val="0.4"/><attnum name="ride height" unit="mm" val="100"/></section>"""

Quad = tuple[tuple[float, float, float], ...]


def square_xml() -> str:
    """The square's XML, its start line at the origin, heading along x, turning left."""
    return SQUARE.format(segments="".join(STRAIGHT.format(i=i) + LEFT.format(i=i) for i in range(4)))


def obj(name: str, texture: str, corners: Quad, strip: bool = False) -> str:
    """An object of one surface; corners have z up, and are written as TORCS does, y up."""
    rows = "\n".join(f"{x} {z} {-y} 0 1 0" for x, y, z in corners)
    refs = "\n".join(f"{i} {x / 10} {y / 10} 0.5 0.5" for i, (x, y, _) in enumerate(corners))
    kind = f"0x{1 if strip else 2}{4 if strip else 0}"
    return (
        f'OBJECT poly\nname "{name}"\ntexture "{texture}" base\ntexture "shadow.png" tiled\nnumvert {len(corners)}\n'
        f"{rows}\nnumsurf 1\nSURF {kind}\nmat 0\nrefs {len(corners)}\n{refs}\nkids 0\n"
    )


def model(*objects: str) -> str:
    """A file of objects."""
    head = 'AC3Db\nMATERIAL "" rgb 0.2 0.4 0.8 amb 0.8 0.8 0.8 emis 0 0 0 spec 0 0 0 shi 50 trans 0\nOBJECT world\n'
    return f"{head}kids {len(objects)}\n{''.join(objects)}"


def flat(x: float, y: float, wide: float, long: float, z: float) -> Quad:
    """A rectangle in the plane, anticlockwise from its least corner."""
    return (x, y, z), (x + wide, y, z), (x + wide, y + long, z), (x, y + long, z)


def lane(z: float = 2.0) -> tuple[Quad, ...]:
    """The square's lane as four strips with corners, which the bends do not fill; and it is laid where MOVED says."""
    size = SIDE + 2 * BEND + WIDTH
    x, y = MOVED
    w = WIDTH + BEND
    return (
        flat(x, y, size, w, z),
        flat(x + size - w, y, w, size, z),
        flat(x, y + size - w, size, w, z),
        flat(x, y, w, size, z),
    )


def write(root: Path, track: str = "road/square", cars: tuple[str, ...] = CARS) -> Path:
    """The files of a track and of all cars below `root`. A wall 3 m high is beyond the middle of the first straight."""
    name = track.rpartition("/")[2]
    folder = root / "tracks" / track
    folder.mkdir(parents=True)
    (folder / f"{name}.xml").write_text(square_xml())
    roads = [obj(f"TKMN{i}", "road1.png", quad) for i, quad in enumerate(lane())]
    plain = obj("TERR1", "tr-grass_nmm.png", flat(-500, -500, 1500, 1500, 1.9))
    wall = obj("B0LT1", "wall-grey.png", ((80, 60, 1.9), (80, 180, 1.9), (80, 60, 5), (80, 180, 5)), strip=True)
    (folder / f"{name}.acc").write_text(model(*roads, plain, wall))
    for texture, colour in (("road1", (90, 90, 90)), ("tr-grass_nmm", (40, 160, 40)), ("wall-grey", (200, 200, 190))):
        Image.new("RGB", (64, 64), colour).save(folder / f"{texture}.png")
    for car in cars:
        write_car(root, car)
    return root


def write_car(root: Path, car: str) -> None:
    """A box 4 m long, 1.8 m wide, 1 m high, and four wheels."""
    folder = root / "cars" / car
    folder.mkdir(parents=True)
    names = (("Front Right", -0.8), ("Front Left", 0.8), ("Rear Right", -0.8), ("Rear Left", 0.8))
    wheels = "".join(WHEEL.format(name=name, y=y) for name, y in names)
    (folder / f"{car}.xml").write_text(CAR.format(wheels=wheels))
    low, high = flat(-2, -0.9, 4, 1.8, 0.1), flat(-2, -0.9, 4, 1.8, 1.1)
    around = [(*low[i], *high[i]) for i in (0, 1, 2, 3, 0)]
    sides = tuple(point for six in around for point in (six[:3], six[3:]))
    (folder / f"{car}.acc").write_text(model(obj("TOP", "", high), obj("SIDES", "", sides, strip=True)))


def length() -> float:
    """Metres round the square."""
    return 4 * SIDE + 2 * math.pi * BEND


def area(triangles: np.ndarray) -> float:
    """Square metres of [n, 3, 5] triangles."""
    a, b, c = np.moveaxis(triangles[:, :, :3].astype(float), 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
