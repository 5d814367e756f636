"""A task of another package: coloured stripes to grey ones; the class is their direction."""

import hashlib

import numpy as np

from xkd_bench.tasks.base import Card, Items, Progress, Split, Task, TaskData, check_split

CLASSES = ("across", "down", "diagonal")
N = 90


class Stripes(TaskData):
    def __init__(self, source_size: int, target_size: int) -> None:
        self.label = np.arange(N) % 3
        rng = np.random.default_rng(0)
        period, colour = rng.uniform(0.15, 0.4, N), rng.integers(0, 200, (N, 3, 1, 1))
        ids = np.arange(N)
        source = np.stack([np.where(self._dark(i, period, source_size), colour[i], 255) for i in ids])
        target = np.stack([np.where(self._dark(i, period, target_size), 0, 255)[None] for i in ids])
        self.source = Items(source.astype(np.uint8), ids, ids)
        self.target = Items(target.astype(np.uint8), ids, ids)
        self.digest = hashlib.sha256(self.source.data.tobytes() + self.target.data.tobytes()).hexdigest()

    def _dark(self, item: int, period: np.ndarray, size: int) -> np.ndarray:
        y, x = np.mgrid[:size, :size] / size
        along = (y, x, (x + y) / 2)[self.label[item]]
        return along % period[item] < period[item] / 2

    def split(self, seed: int) -> Split:
        order = np.random.default_rng(seed).permutation(N)
        train, val, test = (np.sort(order[a:b]) for a, b in ((0, 50), (50, 65), (65, N)))
        return check_split(self, Split(train, train, train, val, test, self.label.astype(np.int64), CLASSES))


class StripesTask(Task):
    card = Card("stripes", "Colour to grey stripes", "colour stripes", "grey stripes", "instance", "simulated", "none")

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> TaskData:
        return Stripes(source_size, target_size)
