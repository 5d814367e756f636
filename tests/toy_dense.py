"""A tiny dense task for tests: coloured shapes on grey, their depth, and a label map. Learnable in seconds."""

import hashlib

import numpy as np

from tests.toy import shape
from xkd_bench.tasks._dense_data import check_dense
from xkd_bench.tasks.base import Card, Items, LabelMaps, Progress, Split, Task, TaskData

CLASSES = ("ground", "disc", "square", "cross")
N = 72


class ToyDenseData(TaskData):
    def __init__(self, height: int, width: int) -> None:
        rng = np.random.default_rng(0)
        rgb = np.full((N, 3, height, width), 120, np.uint8)
        depth = np.full((N, 1, height, width), 200, np.uint8)
        label = np.zeros((N, height, width), np.uint8)
        paint = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200]])
        for i in range(N):
            for side in (0, 1):
                kind = int(rng.integers(0, 3))
                inside = shape(kind, height, rng.uniform(0.35, 0.65), rng.uniform(0.35, 0.65), rng.uniform(0.2, 0.33))
                place = np.s_[:, side * height : side * height + height] if width >= 2 * height else np.s_[:, :height]
                label[i][place][inside[:, : label[i][place].shape[1]]] = kind + 1
        for k in (1, 2, 3):
            rgb[np.broadcast_to((label == k)[:, None], rgb.shape)] = 0
            rgb += ((label == k)[:, None] * paint[k - 1][None, :, None, None]).astype(np.uint8)
            depth -= (label == k)[:, None] * np.uint8(40 * k)
        noise = rng.integers(-15, 16, rgb.shape)
        rgb = np.clip(rgb + noise, 0, 255).astype(np.uint8)
        label[:, 0] = 255  # a strip that nobody scores
        ids = np.arange(N)
        self.source, self.target = Items(rgb, ids, ids), Items(depth, ids, ids)
        pixels = np.stack([(label == k).sum((1, 2)) for k in range(len(CLASSES))], 1)
        self.maps = LabelMaps(label, pixels, np.ones(N, bool), np.eye(4, 3, dtype=np.uint8) * 255)
        self.digest = hashlib.sha256(rgb.tobytes() + depth.tobytes() + label.tobytes()).hexdigest()

    def split(self, seed: int) -> Split:
        order = np.random.default_rng(seed).permutation(N)
        train, val, test = (np.sort(order[a:b]) for a, b in ((0, 40), (40, 52), (52, 72)))
        return check_dense(self, Split(train, train, train, val, test, np.full(N, -1), CLASSES))


class ToyDenseTask(Task):
    card = Card(
        "toy-dense", "Shapes to depth", "colour shapes", "depth of shapes", "instance", "simulated", "none",
        kind="segmentation", aligned=True, target_kind="depth",
    )  # fmt: skip

    def load(self, source_size, target_size, progress: Progress | None = None) -> TaskData:
        return ToyDenseData(*target_size)
