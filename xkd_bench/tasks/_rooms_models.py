"""The furniture of `rooms`: 420 models of Debian's sweethome3d-furniture, what they are, and how they are kept apart.

`embedded/rooms_models.csv` was made from the package's catalogues (sizes, makers) and says by `kind` what a model is
used as. A `family` is models that are variants of each other. Families are dealt into `HOUSES`: a scene is furnished
from one house alone, so that parting houses parts models.
"""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xkd_bench.tasks._packages import Package
from xkd_bench.tasks._splits import generator

FURNITURE = Package(
    "apt-get",
    "sweethome3d-furniture",
    "1.8-1",
    sha256="3ccb90c63f9525e887a767b9cd5c8b6933b8b6b2973a615a5359ee68a2118668",
    size=119_782_356,
    licence="CC-BY-3.0, CC-BY-3.0-US, CC0 (by catalogue)",
    files=("usr/share/sweethome3d/furniture/*.sh3f", "usr/share/doc/sweethome3d-furniture/copyright"),
)
INSIDE = "usr/share/sweethome3d/furniture"
HOUSES = 8
KINDS = {
    "bed": ("bed", "cot"),
    "sofa": ("sofa",),
    "chair": ("chair", "armchair", "office-chair", "stool", "small-chair"),
    "table": ("dining-table", "coffee-table", "desk"),
    "cabinet": (
        *("wardrobe", "shelf", "dresser", "low-cabinet", "small-cabinet", "nightstand", "wall-unit"),
        *("kitchen-unit", "upper-cabinet"),
    ),
    "fixture": (*("bath", "shower", "toilet", "washbasin", "sink", "stove", "hood", "fridge", "washer", "radiator"),),
    "lamp": ("ceiling-lamp", "floor-lamp", "table-lamp", "wall-lamp"),
    "plant": ("plant", "small-plant"),
    "opening": ("door", "window"),
    "object": (
        *("tv", "computer", "desk-object", "kitchen-object", "bath-object", "bed-object", "deco", "floor-object"),
        "wall-object",
    ),
}
"""Classes and the kinds of models in them. fixture: what water, gas or current is laid to; opening: doors, windows."""
_LICENCE = {"BlendSwap-CC-0": "CC0", "KatorLegaz": "CC-BY-3.0-US"}
CLASSES = ("floor", "wall", "ceiling", *KINDS)
_CLASS_OF = {kind: 3 + i for i, kinds in enumerate(KINDS.values()) for kind in kinds}


@dataclass(frozen=True)
class Model:
    """One of the catalogues'. file: in the catalogue, an OBJ file. Sizes in metres, its front to -y.

    elevation: of its lower side, where it hangs on a wall; top: where things stand on it; turn: rotation to be applied
    first (nine numbers, by rows; y is up), or ().
    """

    kind: str
    catalogue: str
    file: str
    width: float
    depth: float
    height: float
    elevation: float
    top: float
    family: str
    turn: tuple[float, ...]
    creator: str

    @property
    def name(self) -> str:
        """Of its own, such as Scopia/bed1."""
        return f"{self.catalogue}/{self.file.rpartition('/')[2].removesuffix('.obj')}"

    @property
    def label(self) -> int:
        """Its place in `CLASSES`."""
        return _CLASS_OF[self.kind]

    @property
    def licence(self) -> str:
        """Of the model, as the package's copyright file says of its catalogue."""
        return _LICENCE.get(self.catalogue, "CC-BY-3.0")


@cache
def models() -> dict[str, Model]:
    """All, by name, in the order of the table."""
    with (Path(__file__).parent / "embedded" / "rooms_models.csv").open(encoding="utf8", newline="") as table:
        found = [_model(row) for row in csv.DictReader(table)]
    return {model.name: model for model in found}


def _model(row: Mapping[str, str]) -> Model:
    return Model(
        kind=row["kind"],
        catalogue=row["catalogue"],
        file=row["file"],
        width=float(row["width"]),
        depth=float(row["depth"]),
        height=float(row["height"]),
        elevation=float(row["elevation"]),
        top=float(row["top"]),
        family=row["family"],
        turn=tuple(float(value) for value in row["turn"].split()),
        creator=row["creator"],
    )


@cache
def houses() -> tuple[dict[str, tuple[Model, ...]], ...]:
    """The models of each house, by kind. Families stay whole; each, the large ones first, goes where its like lacks.

    Drawn once for all scenes and seeds: which houses train and which test is what splits draw.
    """
    families: dict[str, list[Model]] = {}
    for model in models().values():
        families.setdefault(model.family, []).append(model)
    names = [str(name) for name in generator(0, "houses").permutation(sorted(families))]
    whole = Counter(like for model in models().values() for like in _likes(model))
    held: list[list[Model]] = [[] for _ in range(HOUSES)]
    counts: list[Counter[str]] = [Counter() for _ in range(HOUSES)]
    for name in sorted(names, key=lambda name: -len(families[name])):
        likes = [like for model in families[name] for like in _likes(model)]
        house = min(range(HOUSES), key=lambda i: sum(counts[i][like] / whole[like] for like in likes))
        held[house] += families[name]
        counts[house].update(likes)
    return tuple({kind: tuple(model for model in house if model.kind == kind) for kind in _CLASS_OF} for house in held)


def _likes(model: Model) -> tuple[str, str]:
    """What houses should have alike: its kind, its class."""
    return f"kind {model.kind}", f"class {model.label}"
