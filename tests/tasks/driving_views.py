"""Views of `driving` without its renderer: a round course in a plain, cars are balls, seen by tracing rays.

Run as a command it is a worker of `_blocks`, as the renderer is.
"""

import os
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from xkd_bench.tasks import _driving_camera
from xkd_bench.tasks._blocks import Blocks, Facts, Planes, serve
from xkd_bench.tasks._driving_classes import CLASSES
from xkd_bench.tasks._driving_course import Course, parse
from xkd_bench.tasks._driving_plan import RUN, View, camera, cars, plan
from xkd_bench.tasks._driving_thermal import Seen
from xkd_bench.tasks._planes import IGNORE

RADIUS, WIDTH, BALL = 150.0, 12.0, 1.0
RING = f"""<params name="ring"><section name="Main Track"><attnum name="width" unit="m" val="{WIDTH}"/>
<section name="Track Segments"><section name="round"><attstr name="type" val="lft"/>
<attnum name="radius" unit="m" val="{RADIUS}"/><attnum name="arc" unit="deg" val="360"/></section></section>
</section></params>"""
STEP, FAR = 0.01, 65535
UPRIGHT = ("vegetation", "barrier", "building", "sign", None)
"""What stands on the horizon, in turn; None is not scored."""


def ring() -> Course:
    return parse(RING)


def view_of(number: int) -> tuple[View, tuple[float, float, float], tuple[float, float, float]]:
    """The plan, the eye and the point that it looks at."""
    view = plan(number)
    stand, goal = camera(view, ring())
    return view, (stand.x, stand.y, view.height), (goal.x, goal.y, view.lift)


def scene(number: int) -> tuple[Planes, Facts]:
    """What a block keeps: the colours are those of the instances' numbers."""
    view, eye, target = view_of(number)
    rays = _driving_camera.rays(eye, target, view.fov, (120, 160))
    depth, instance = np.full((120, 160), np.inf), np.zeros((120, 160), np.int64)
    label = [CLASSES.index("sky")]

    def see(t: np.ndarray, hit: np.ndarray, kind: str | None) -> None:
        hit = hit & (t > 0) & (t < depth)
        depth[hit], instance[hit] = t[hit], len(label)
        label.append(IGNORE if kind is None else CLASSES.index(kind))

    down = rays[:, :, 2] < -1e-6
    t = eye[2] / np.where(down, -rays[:, :, 2], 1.0)
    away = np.hypot(eye[0] + t * rays[:, :, 0], eye[1] + t * rays[:, :, 1] - RADIUS) - RADIUS
    for inner, outer, kind in ((-1e9, -WIDTH, "sand"), (-WIDTH, -WIDTH / 2, "curb"), (-WIDTH / 2, WIDTH / 2, "road")):
        see(t, down & (away >= inner) & (away < outer), kind)
    see(t, down & (away >= WIDTH / 2), "ground")
    low = ~down & (rays[:, :, 2] < 0.12)
    for i in range(10):
        kind = UPRIGHT[(number + i) % len(UPRIGHT)]
        see(np.full_like(t, 60.0 + i), low & (np.arange(160) // 16 == i)[None, :], kind)
    stands = []
    for pose in cars(view, ring()):
        to = np.array([pose.x, pose.y, BALL]) - eye
        a, b, c = (rays**2).sum(2), rays @ to, to @ to - BALL**2
        root = b**2 - a * c
        stands.append([len(label), pose.x, pose.y, 0.0, BALL])
        see((b - np.sqrt(np.maximum(root, 0))) / a, root > 0, "vehicle")
    planes = {
        "rgb": np.stack([instance * 9 % 256, 255 - instance, instance % 2 * 255], 2).astype(np.uint8),
        "depth": np.minimum(np.rint(depth / STEP), FAR).astype(np.uint16),
        "instance": instance.astype(np.uint16),
    }
    facts = {"eye": list(eye), "target": list(target), "step": STEP, "label": label, "cars": stands}
    return planes, {"plan": asdict(view), "renderer": "rays", **facts}


def seen(number: int) -> tuple[Seen, list[int]]:
    """What the thermal simulation is told of a view, and the class of each instance, which it is not."""
    planes, facts = scene(number)
    view = plan(number)
    rays = _driving_camera.rays(facts["eye"], facts["target"], view.fov, (120, 160))
    told = Seen(
        points=np.array(facts["eye"]) + (planes["depth"] * STEP)[:, :, None] * rays,
        instance=planes["instance"],
        cars=np.array(facts["cars"]).reshape(-1, 5),
        hour=view.hour,
        towards_sun=view.towards_sun,
    )
    return told, facts["label"]


def blocks() -> Blocks:
    """As the task's, but rendered here."""
    return Blocks("driving-1", "tests.tasks.driving_views", RUN)


if __name__ == "__main__":
    if log := os.environ.get("TOY_LOG"):
        with Path(log).open("a") as out:
            out.write(f"{sys.argv[2]}\n")
    serve(scene, sys.stdout)
