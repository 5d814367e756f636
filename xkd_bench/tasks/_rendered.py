"""What the tasks share whose scenes are rendered here, by number, into blocks (`_blocks`)."""

from abc import abstractmethod
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError, nearest
from xkd_bench.tasks import _planes
from xkd_bench.tasks._blocks import Blocks, Facts, Planes
from xkd_bench.tasks._dense import Dense, Scene
from xkd_bench.tasks._planes import Bytes

MOST = 100_000


class Rendered(Dense):
    """RGB to depth or, where it is a target, to simulated thermal; `NAME:thermal,scenes=300`.

    The card is that of depth. planes of a scene: rgb, depth (in steps of the fact `step`, metres), instance.

    blocks: where they are and what renders them. targets: the first is that of the bare name. scenes_by_default,
    fewest: how many. nearest, farthest: metres, what 0 and 255 of a depth target mean. unit: what scenes are called.
    """

    blocks: Blocks
    targets: tuple[str, ...] = ("depth",)
    scenes_by_default: int = 1200
    fewest: int
    nearest: float
    farthest: float
    unit: str = "scenes"

    def __init__(self, argument: str = "") -> None:
        self.kind, self.n = self._read(argument)
        self.root = self.blocks.folder
        self.target_nearest = self.kind == "depth"
        card = self.card
        if self.kind == "thermal":
            title = card.title.replace("depth", "simulated thermal")
            card = replace(card, title=title, target="simulated thermal", origin="simulated", target_kind="image")
        self.card = replace(card, name=f"{card.name}:{argument}") if argument else card

    def _read(self, argument: str) -> tuple[str, int]:
        """Target and number of scenes of `depth`, `thermal,scenes=300`, `scenes=300` or nothing."""
        name, kind, scenes = self.card.name, self.targets[0], self.scenes_by_default
        for i, part in enumerate(argument.split(",") if argument else ()):
            key, equals, text = part.partition("=")
            if key == "scenes" and equals:
                if not (text.isascii() and text.isdigit() and self.fewest <= int(text) <= MOST):
                    raise UsageError(
                        f"task '{name}': scenes is '{text}', and must be a number from {self.fewest} to {MOST:,}"
                    )
                scenes = int(text)
            elif i or equals:
                one = "TARGET" if len(self.targets) > 1 else self.targets[0]
                such = f"{name}:{self.targets[-1]},scenes={max(300, 2 * self.fewest)}"
                raise UsageError(f"task '{name}' takes {one},scenes=NUMBER, such as '{such}', not '{argument}'")
            elif part not in self.targets:
                raise nearest(f"target of {name}", part, list(self.targets))
            else:
                kind = part
        return kind, scenes

    def prepared(self) -> str:
        """How much was rendered."""
        size = sum(file.stat().st_size for file in self.blocks.files(self.n))
        return f"{self.n:,} {self.unit}, {size / 1e6:.1f} MB"

    def ready(self) -> bool:
        """Whether all scenes are there; reads none. What they were made of is not needed any more."""
        return self.blocks.ready(self.n)

    def check(self) -> list[str]:
        """Blocks that are missing or damaged. Reads every byte."""
        return self.blocks.damage(self.n)

    def scenes(self) -> list[Scene]:
        """By number."""
        if not self.ready():
            raise self.not_prepared()
        name = [file.name for file in self.blocks.files(self.n)]
        files = [f"{name[i // self.blocks.size]}#{i}" for i in range(self.n)]
        return [Scene(self.scene_name(i), file, file, file, self.group(i), "") for i, file in enumerate(files)]

    def scene_name(self, number: int) -> str:
        """What a scene is called."""
        return f"scene {number}"

    @abstractmethod
    def group(self, number: int) -> str:
        """What must not be parted from this scene in a split."""

    def rendered(self, file: str) -> tuple[Planes, Facts]:
        """Planes and facts of a scene, by its file."""
        return self.blocks.read(int(file.rpartition("#")[2]))

    def read_source(self, file: str) -> Bytes:
        """[120, 160, 3]"""
        return self.rendered(file)[0]["rgb"]

    def read_target(self, file: str) -> Bytes:
        """[120, 160, 1]"""
        planes, facts = self.rendered(file)
        metres = planes["depth"] * facts["step"]
        if self.kind == "depth":
            return _planes.ranged(metres, self.nearest, self.farthest)
        return self.thermal(metres, planes, facts)

    def thermal(self, metres: NDArray[np.float64], planes: Planes, facts: Facts) -> Bytes:
        """[120, 160, 1]: the invented picture of a scene, where thermal is a target."""
        raise UsageError(f"task '{self.card.name}' has no thermal target")
