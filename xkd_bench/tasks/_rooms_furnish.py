"""How each sort of room of `rooms` is furnished: beds with nightstands, sofas before low tables, rows of units."""

import math
from collections.abc import Callable, Mapping, Sequence

from xkd_bench.tasks._rooms_layout import Anchor, Piece, Space, Thing, row, wall_piece
from xkd_bench.tasks._rooms_models import Model

House = Mapping[str, Sequence[Model]]
Rug = tuple[float, float, float, float]
"""x from, x to, y from, y to."""
_FAR, _SEEN = (0, 0, 1, 2), (0, 1, 2)
"""Walls to stand at: those that the camera sees, the far one more often."""
_ENOUGH, _MORE = 9, 8
"""Things on the floor of a room that is not bare, and how often more are looked for."""
_LOW = 1.25
"""Metres: on what is lower, things are put that are seen."""


class Room:
    """A space with the house that its furniture is from."""

    def __init__(self, space: Space, house: House) -> None:
        self.space, self.house, self.rng = space, house, space.rng
        self.rug: Rug | None = None

    def pick(self, *kinds: str, wide: float = 9.0, high: float = 9.0) -> Model | None:
        """A model of one of the kinds, drawn; None where the house has none so small."""
        tall = min(high, self.space.height - 0.05)
        choice = [m for kind in kinds for m in self.house[kind] if m.width <= wide and m.height <= tall]
        return choice[int(self.rng.integers(len(choice)))] if choice else None

    def several(self, n: int, *kinds: str, high: float = 0.6) -> list[Model]:
        """Up to n models, drawn, each again perhaps."""
        return [model for _ in range(n) if (model := self.pick(*kinds, high=high))]

    def chance(self, share: float) -> bool:
        """Whether it happens this time."""
        return bool(self.rng.random() < share)

    def laid(self, on: Model | None, placed: Sequence[Thing], *kinds: str, most: int = 3) -> None:
        """Small things of the kinds on the first of what was placed."""
        if on is not None and placed:
            self.space.on_top(on, placed[0], self.several(int(self.rng.integers(1, most + 1)), *kinds))

    def bed(self) -> None:
        """A bed, its head to the wall, with what the house has for its sides."""
        if (model := self.pick("bed", wide=self.space.width - 0.2) if self.chance(0.9) else self.pick("cot")) is None:
            return
        pieces = [wall_piece(model)]
        side = self.pick("nightstand", "small-cabinet", "stool", wide=0.65, high=0.7)
        if side is not None:
            away = (model.width + side.width) / 2 + 0.05
            pieces += [wall_piece(side, away), wall_piece(side, -away)]
        placed = self.space.against(_FAR, pieces)
        self.laid(model, placed, "bed-object", most=2)
        for stand in placed[1:]:
            assert side is not None
            self.space.on_top(side, stand, self.several(1, "table-lamp", "deco"))

    def sofa(self) -> None:
        """A sofa, a low table before it on a rug, an armchair at its side."""
        if (model := self.pick("sofa", wide=max(self.space.width, self.space.depth) - 0.3)) is None:
            return
        pieces = [wall_piece(model)]
        table, seat = self.pick("coffee-table"), self.pick("armchair")
        before = model.depth + 0.4
        if table is not None:
            pieces.append(Piece(table, 0, before + table.depth / 2))
        if seat is not None:
            side = 1.0 if self.chance(0.5) else -1.0
            away = max(table.width if table else 0.0, 0.6 * model.width) / 2 + 0.35 + seat.depth / 2
            pieces.append(Piece(seat, side * away, before + seat.width / 2, 0, -side * math.pi / 2))
        placed = self.space.against(_FAR, pieces)
        if len(placed) > 1 and table is not None and placed[1].model == table.name:
            self.space.on_top(table, placed[1], self.several(2, "deco", "small-plant", "kitchen-object", high=0.4))
            self._lay_rug(placed[1], 2.0, 1.5)

    def dining(self, chairs: int) -> None:
        """A table with chairs of one sort on its long sides, and one at an end."""
        table, chair = self.pick("dining-table"), self.pick("chair")
        if table is None:
            return
        pieces = [Piece(table, 0, 0)]
        if chair is not None:
            out = (table.depth + chair.depth) / 2 + 0.04
            columns = [0.0] if table.width < 1.2 else [-table.width / 4, table.width / 4]
            places = [(x, side) for x in columns for side in (1, -1)]
            for x, side in [places[i] for i in self.rng.permutation(len(places))[:chairs]]:
                turned = (math.pi if side > 0 else 0.0) + self.rng.uniform(-0.2, 0.2)
                pieces.append(Piece(chair, x, side * (out + self.rng.uniform(0, 0.2)), 0, turned))
        placed = self.space.somewhere(pieces, 2 if chair else 1, turns=(0.0, math.pi / 2))
        self.laid(table, placed, "kitchen-object", "small-plant", "deco")
        if placed and self.chance(0.4):
            self._lay_rug(placed[0], table.width + 1.2, table.depth + 1.6)

    def desk(self) -> None:
        """A desk at a wall with what is worked with, and its chair turned from it a little."""
        table, chair = self.pick("desk", "dining-table", high=1.2), self.pick("office-chair", "chair")
        if table is None:
            return
        pieces = [wall_piece(table)]
        if chair is not None:
            turned = math.pi + self.rng.uniform(-0.6, 0.6)
            pieces.append(Piece(chair, self.rng.uniform(-0.2, 0.2), table.depth + chair.depth / 2 + 0.2, 0, turned))
        placed = self.space.against(_FAR, pieces)
        if placed:
            screens = [m for m in (self.pick("computer", "tv", high=0.55),) if m is not None]
            self.space.on_top(table, placed[0], screens, back=True)
            self.laid(table, placed, "desk-object", "table-lamp", "small-plant", "desk-object")

    def storage(self, *kinds: str) -> None:
        """A cupboard, a shelf: at a wall; things on it if it is low."""
        model = self.pick(*kinds)
        if model is None:
            return
        placed = self.space.against(_FAR, [wall_piece(model, z=0.0)])
        if placed and model.height < _LOW:
            self.laid(model, placed, "deco", "table-lamp", "small-plant", "table-lamp")

    def media(self) -> None:
        """A television on what it can stand on."""
        below = self.pick("low-cabinet", "dresser", "small-cabinet", "coffee-table", high=1.0)
        screen = self.pick("tv")
        if below is None:
            return
        placed = self.space.against(_SEEN, [wall_piece(below)])
        if placed and screen is not None and screen.width < below.width + 0.4:
            top = Piece(screen, 0, 0, placed[0].z + below.top + 0.002)
            self.space.put(Anchor(placed[0].x, placed[0].y, placed[0].yaw), [top])
        self.laid(below, placed, "deco", "small-plant")

    def kitchen_row(self) -> None:
        """Units, stove, sink, fridge in a row at a wall; cabinets and hood above, where no window is."""
        names = ("fridge", "kitchen-unit", "sink", "kitchen-unit", "stove", "kitchen-unit", "washer")
        chosen = [m for kind in names if (m := self.pick(kind)) is not None]
        shelf, hood = self.pick("upper-cabinet"), self.pick("hood")
        for _ in range(4):
            if not chosen:
                return
            length = sum(m.width + 0.005 for m in chosen) - chosen[0].width
            wall = int(self.rng.choice(_FAR))
            reach = self.space.wall(wall)[1] / 2
            low, high = -reach + chosen[0].width / 2 + 0.02, reach - chosen[0].width / 2 - length - 0.02
            if low > high:
                chosen.pop()
                continue
            anchor = self.space.along(wall, self.rng.uniform(low, high))
            pieces = list(row(chosen))
            placed = self.space.put(anchor, pieces, len(pieces) // 2)
            there = {(thing.x, thing.y): thing for thing in placed}
            for piece in pieces:
                thing = there.get((anchor.at(piece).x, anchor.at(piece).y))
                if thing is None:
                    continue
                above = hood if piece.model.kind == "stove" else shelf
                if piece.model.height < _LOW:
                    self.laid(piece.model, [thing], "kitchen-object", most=2)
                    if above is not None:
                        z = max(1.45, above.elevation if above.elevation + above.height < self.space.height else 1.45)
                        self.space.put(anchor, [wall_piece(above, piece.right, z)])
            if placed:
                return

    def bathroom(self) -> None:
        """What the house has of a bathroom, each at a wall of its own choice."""
        for kind in ("bath", "shower", "washbasin", "toilet", "washer"):
            model = self.pick(kind)
            if model is None or (kind == "washer" and self.chance(0.5)):
                continue
            placed = self.space.against(_FAR, [wall_piece(model)], corner=kind in ("bath", "shower"))
            if kind in ("washbasin", "washer"):
                self.laid(model, placed, "bath-object", most=2)
        self.hung(2, "wall-object")

    def hung(self, most: int, *kinds: str) -> None:
        """Things on the walls: lamps, cabinets, radiators."""
        for model in self.several(int(self.rng.integers(0, most + 1)), *kinds, high=2.0):
            self.space.against(_SEEN, [wall_piece(model)])

    def loose(self, n: int, *kinds: str) -> None:
        """Things on the floor: by the walls, in corners."""
        for _ in range(n):
            if (model := self.pick(*kinds)) is not None:
                self.space.against(_SEEN, [wall_piece(model, z=0.0)], corner=self.chance(0.5))

    def ceiling(self) -> None:
        """A lamp that hangs high enough to walk below it."""
        lamp = self.pick("ceiling-lamp", high=self.space.height - 1.75)
        if lamp is not None:
            self.space.somewhere([Piece(lamp, 0, 0, self.space.height - lamp.height - 0.001)])

    def _lay_rug(self, around: Thing, wide: float, deep: float) -> None:
        turned = abs(math.sin(around.yaw)) > 0.5
        x, y = (deep, wide) if turned else (wide, deep)
        half = (self.space.width / 2 - 0.05, self.space.depth / 2 - 0.05)
        self.rug = (
            max(around.x - x / 2, -half[0]), min(around.x + x / 2, half[0]),
            max(around.y - y / 2, -half[1]), min(around.y + y / 2, half[1]),
        )  # fmt: skip


def _bedroom(room: Room) -> None:
    room.bed()
    room.storage("wardrobe", "dresser", "shelf")
    if room.chance(0.5):
        room.desk()
    room.storage("wardrobe", "dresser", "shelf", "small-cabinet")
    room.loose(1, "armchair", "stool", "chair")


def _living_room(room: Room) -> None:
    room.sofa()
    room.media()
    room.storage("wall-unit", "shelf", "dresser")
    if room.chance(0.35):
        room.dining(2)
    room.loose(2, "armchair", "plant", "floor-lamp", "sofa")


def _dining_room(room: Room) -> None:
    room.dining(int(room.rng.integers(2, 5)))
    room.storage("dresser", "shelf", "wall-unit", "wardrobe")
    room.storage("shelf", "dresser", "low-cabinet")
    room.loose(1, "plant", "armchair", "sofa")


def _kitchen(room: Room) -> None:
    room.kitchen_row()
    room.storage("fridge", "stove", "washer", "kitchen-unit")
    room.dining(int(room.rng.integers(1, 4)))
    room.hung(2, "upper-cabinet")
    room.loose(1, "stool", "small-chair", "floor-object")


def _bathroom(room: Room) -> None:
    room.bathroom()
    room.storage("nightstand", "small-cabinet", "shelf", "washer")
    room.loose(1, "stool", "floor-object", "small-plant")


def _office(room: Room) -> None:
    room.desk()
    room.storage("shelf", "wardrobe", "small-cabinet")
    room.desk()
    room.storage("shelf", "small-cabinet", "dresser")
    room.loose(1, "chair", "armchair", "sofa")


_SORTS: dict[str, tuple[Callable[[Room], None], tuple[str, ...]]] = {
    "bedroom": (_bedroom, ("wardrobe", "dresser", "armchair", "plant", "desk", "shelf")),
    "living room": (_living_room, ("armchair", "plant", "sofa", "dresser", "floor-lamp", "shelf")),
    "dining room": (_dining_room, ("plant", "dresser", "armchair", "shelf", "stool")),
    "kitchen": (_kitchen, ("fridge", "washer", "stool", "floor-object", "stove", "plant")),
    "bathroom": (_bathroom, ("washer", "washbasin", "radiator", "plant", "floor-object", "stool", "small-cabinet")),
    "office": (_office, ("shelf", "small-cabinet", "plant", "office-chair", "armchair", "desk")),
}
"""How each is furnished, and what else is put where much room is left."""


def furnish(sort: str, space: Space, house: House) -> Rug | None:
    """Put into the space what belongs there, the largest first; returns where a rug lies."""
    room = Room(space, house)
    begin, more = _SORTS[sort]
    begin(room)
    for _ in range(_MORE):
        if sum(box.z0 < 0.3 for box in space.taken) < _ENOUGH:
            room.loose(1, *more)
    room.hung(2, "wall-lamp", "wall-object", "radiator")
    if room.chance(0.8):
        room.ceiling()
    room.loose(int(room.rng.integers(2, 5)), "plant", "floor-lamp", "floor-object", "plant", "small-plant")
    return room.rug
