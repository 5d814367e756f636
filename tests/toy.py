"""A tiny task for tests: coloured shapes on white, and their outlines. Learnable in seconds, made by arithmetic."""

import hashlib

import numpy as np

from xkd_bench.tasks.base import Card, Items, Progress, Split, Task, TaskData, check_split

CLASSES = ("disc", "square", "cross", "ring")
CONCEPTS = 96


def shape(kind: int, size: int, cx: float, cy: float, r: float) -> np.ndarray:
    """The inside of a shape, [size, size] bool."""
    y, x = np.mgrid[:size, :size] / size
    dx, dy = x - cx, y - cy
    box = np.maximum(abs(dx), abs(dy))
    disc = np.hypot(dx, dy)
    inside = {
        0: disc < r,
        1: box < r,
        2: (box < r) & (np.minimum(abs(dx), abs(dy)) < r / 3),
        3: abs(disc - r * 0.8) < r / 4,
    }
    return inside[kind]


class ToyData(TaskData):
    def __init__(self, source_size: int, target_size: int) -> None:
        rng = np.random.default_rng(0)
        self.label = np.arange(CONCEPTS) % len(CLASSES)
        colour, line = [], []
        for kind in self.label:
            cx, cy, r = rng.uniform(0.4, 0.6), rng.uniform(0.4, 0.6), rng.uniform(0.2, 0.35)
            inside = shape(int(kind), source_size, cx, cy, r)
            paint = rng.integers(0, 200, (3, 1, 1))
            colour.append(np.where(inside, paint, 255))
            filled = shape(int(kind), target_size, cx, cy, r)
            edge = filled & ~(
                np.roll(filled, 1, 0) & np.roll(filled, 1, 1) & np.roll(filled, -1, 0) & np.roll(filled, -1, 1)
            )
            line.append(np.where(edge, 0, 255)[None])
        ids = np.arange(CONCEPTS)
        self.source = Items(np.array(colour, np.uint8), ids, ids)
        self.target = Items(np.array(line, np.uint8), ids, ids)
        self.digest = hashlib.sha256(self.source.data.tobytes() + self.target.data.tobytes()).hexdigest()

    def split(self, seed: int) -> Split:
        order = np.random.default_rng(seed).permutation(CONCEPTS)
        train, val, test = (np.sort(order[a:b]) for a, b in ((0, 56), (56, 72), (72, 96)))
        return check_split(self, Split(train, train, train, val, test, self.label.astype(np.int64), CLASSES))


class ToyTask(Task):
    card = Card("toy", "Coloured shapes to outlines", "colour shapes", "outlines", "instance", "simulated", "none")

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> TaskData:
        return ToyData(source_size, target_size)
