"""Furniture put into a room so that nothing is in anything else: along walls, in groups, on tops. Draws by a generator.

A room lies round the origin, x from -w/2 to w/2, y from -d/2 to d/2, metres, z up. A model at yaw 0 looks to -y.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from xkd_bench.tasks._rooms_models import Model

_GAP = 0.02
_TRIES = 24


@dataclass(frozen=True)
class Thing:
    """A model in its place. x, y: of its middle; z: of its lower side; yaw: radians."""

    model: str
    x: float
    y: float
    z: float
    yaw: float


@dataclass(frozen=True)
class Box:
    """What something takes up, along the axes."""

    x0: float
    x1: float
    y0: float
    y1: float
    z0: float
    z1: float

    def meets(self, other: "Box") -> bool:
        """Whether they share more than a border."""
        return all(
            low < high - 1e-9
            for low, high in (
                (max(self.x0, other.x0), min(self.x1, other.x1)),
                (max(self.y0, other.y0), min(self.y1, other.y1)),
                (max(self.z0, other.z0), min(self.z1, other.z1)),
            )
        )


@dataclass(frozen=True)
class Piece:
    """A model in a group: right and forward are from the group's anchor, yaw is added to the anchor's."""

    model: Model
    right: float
    forward: float
    z: float = 0.0
    yaw: float = 0.0


@dataclass(frozen=True)
class Anchor:
    """A place in the room that looks along `yaw` as a model there would: on a wall, into the room."""

    x: float
    y: float
    yaw: float

    def at(self, piece: Piece) -> Thing:
        """The piece where it belongs. Forward is where the anchor looks, right is to the right of who looks at it."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        x, y = piece.right, -piece.forward
        return Thing(piece.model.name, self.x + c * x - s * y, self.y + s * x + c * y, piece.z, self.yaw + piece.yaw)


def box_of(model: Model, thing: Thing) -> Box:
    """The box of a model at its place, whatever its yaw."""
    c, s = abs(math.cos(thing.yaw)), abs(math.sin(thing.yaw))
    x, y = (c * model.width + s * model.depth) / 2, (s * model.width + c * model.depth) / 2
    return Box(thing.x - x, thing.x + x, thing.y - y, thing.y + y, thing.z, thing.z + model.height)


@dataclass
class Space:
    """A room being furnished. kept: what must stay free (for who looks, and for doors)."""

    width: float
    depth: float
    height: float
    rng: np.random.Generator
    things: list[Thing] = field(default_factory=list)
    taken: list[Box] = field(default_factory=list)
    kept: list[Box] = field(default_factory=list)

    def wall(self, number: int) -> tuple[Anchor, float]:
        """The middle of a wall (0: far, 1: left, 2: right, 3: near), looking into the room, and its length."""
        x, y = self.width / 2, self.depth / 2
        anchors = (
            Anchor(0, y, 0), Anchor(-x, 0, math.pi / 2), Anchor(x, 0, -math.pi / 2), Anchor(0, -y, math.pi),
        )  # fmt: skip
        return anchors[number], self.width if number in (0, 3) else self.depth

    def along(self, number: int, offset: float) -> Anchor:
        """A place on a wall, `offset` to the right of its middle."""
        anchor, _ = self.wall(number)
        c, s = math.cos(anchor.yaw), math.sin(anchor.yaw)
        return Anchor(anchor.x + c * offset, anchor.y + s * offset, anchor.yaw)

    def keep(self, number: int, offset: float, width: float, low: float, deep: float) -> None:
        """Let nothing higher than `low` stand so deep before this part of a wall."""
        x, y = self.along(number, offset - width / 2), self.along(number, offset + width / 2)
        c, s = math.sin(x.yaw) * deep, -math.cos(x.yaw) * deep  # into the room
        xs, ys = (x.x, y.x, x.x + c), (x.y, y.y, x.y + s)
        self.kept.append(Box(min(xs), max(xs), min(ys), max(ys), low, self.height))

    def fits(self, box: Box) -> bool:
        """Whether it is in the room, and in nothing that is there."""
        inside = (
            -self.width / 2 <= box.x0 + 1e-6 and box.x1 - 1e-6 <= self.width / 2
            and -self.depth / 2 <= box.y0 + 1e-6 and box.y1 - 1e-6 <= self.depth / 2
            and box.z0 >= -1e-6 and box.z1 <= self.height + 1e-6
        )  # fmt: skip
        return inside and not any(box.meets(other) for other in (*self.taken, *self.kept))

    def put(self, anchor: Anchor, pieces: Sequence[Piece], needed: int = 1) -> list[Thing]:
        """The pieces at the anchor: none if one of the first `needed` does not fit, of the others those that do."""
        placed: list[tuple[Thing, Box]] = []
        for i, piece in enumerate(pieces):
            thing = anchor.at(piece)
            box = box_of(piece.model, thing)
            if self.fits(box) and not any(box.meets(other) for _, other in placed):
                placed.append((thing, box))
            elif i < needed:
                return []
        self.things += [thing for thing, _ in placed]
        self.taken += [box for _, box in placed]
        return [thing for thing, _ in placed]

    def against(
        self, walls: Sequence[int], pieces: Sequence[Piece], needed: int = 1, corner: bool = False
    ) -> list[Thing]:
        """The group somewhere along one of the walls, the first piece's middle at its anchor.

        corner: at one of the ends of a wall.
        """
        half = pieces[0].model.width / 2 + 0.01
        for _ in range(_TRIES):
            number = int(self.rng.choice(walls))
            reach = self.wall(number)[1] / 2 - half
            if reach < 0:
                continue
            end = float(self.rng.choice([-1.0, 1.0])) * reach
            anchor = self.along(number, end if corner else self.rng.uniform(-reach, reach))
            if placed := self.put(anchor, pieces, needed):
                return placed
        return []

    def somewhere(self, pieces: Sequence[Piece], needed: int = 1, turns: Sequence[float] = (0.0,)) -> list[Thing]:
        """The group in the middle parts of the room."""
        for _ in range(_TRIES):
            x, y = self.rng.uniform(-0.3, 0.3) * self.width, self.rng.uniform(-0.2, 0.35) * self.depth
            if placed := self.put(Anchor(x, y, float(self.rng.choice(turns))), pieces, needed):
                return placed
        return []

    def on_top(self, below: Model, thing: Thing, models: Sequence[Model], back: bool = False) -> None:
        """The models on what stands there, as far as there is room; back: at its far side, looking as it looks."""
        anchor = Anchor(thing.x, thing.y, thing.yaw)
        inner = 0.36 if abs(below.width - below.depth) < 0.15 else 0.46  # a square one may be round
        for model in models:
            turn = 0.0 if back else float(self.rng.uniform(-0.6, 0.6))
            wide = abs(math.cos(turn)) * model.width + abs(math.sin(turn)) * model.depth
            deep = abs(math.sin(turn)) * model.width + abs(math.cos(turn)) * model.depth
            x, y = inner * below.width - wide / 2, inner * below.depth - deep / 2
            if x < 0 or y < 0:
                continue
            for _ in range(4):
                forward = -y if back else self.rng.uniform(-y, y)
                z = thing.z + below.top + 0.002
                if self.put(anchor, [Piece(model, self.rng.uniform(-x, x), forward, z, turn)]):
                    break


def wall_piece(model: Model, right: float = 0.0, z: float | None = None) -> Piece:
    """A model with its back to the wall of its anchor."""
    return Piece(model, right, model.depth / 2 + _GAP, model.elevation if z is None else z)


def row(models: Sequence[Model]) -> Iterator[Piece]:
    """One beside the other along a wall, from the first, which is at the anchor, to the right."""
    edge = -models[0].width / 2
    for model in models:
        yield wall_piece(model, edge + model.width / 2 + 0.001, 0.0)
        edge += model.width + 0.005
