"""From rows to items: which files there are on each side, what they show, and which must stay together."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xkd_bench.errors import UsageError
from xkd_bench.tasks._manifest import SPLITS, Manifest, Row
from xkd_bench.tasks._splits import SHARES, TRAIN, VAL, generator, numbered, parts_by_group
from xkd_bench.tasks.base import Index

_DISTILLED = 0.6
_SCORED_SHARES = (0.50, 0.10, 0.40)
_VAL_OF_TRAIN = 0.15
_LEAST_GROUPS, _LEAST_CLASSES = 3, 3


@dataclass(frozen=True)
class Side:
    """The items of one modality. concept, group, label (-1: none), part (-1: to be drawn): [n]."""

    files: tuple[str, ...]
    concept: Index
    group: Index
    label: Index
    part: Index

    def at(self, items: Index) -> "Side":
        """These of the items, some perhaps several times."""
        files = tuple(self.files[i] for i in items.tolist())
        return Side(files, self.concept[items], self.group[items], self.label[items], self.part[items])


@dataclass(frozen=True)
class Parts:
    """For one seed. pairs, scored: [n_target] bool; source_pairs: [n_source] bool; part, label: [n_target]."""

    part: Index
    pairs: NDArray[np.bool_]
    source_pairs: NDArray[np.bool_]
    scored: NDArray[np.bool_]
    label: Index
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """by_class: pairs share their class only. Groups count connected items: those of one pair, or of one group."""

    name: str
    source: Side
    target: Side
    classes: tuple[str, ...]
    concept_names: tuple[str, ...]
    by_class: bool

    def arrays(self) -> list[Index]:
        """All that a split depends on but the names."""
        return [
            getattr(side, key) for side in (self.source, self.target) for key in ("concept", "group", "label", "part")
        ]

    def parts(self, seed: int) -> Parts:
        """The part of each target item, by the manifest or drawn by group for this seed, and what is paired."""
        return self._by_class(seed) if self.by_class else self._by_instance(seed)

    def _by_instance(self, seed: int) -> Parts:
        part = self._drawn(self.target, SHARES, seed)
        everything = np.ones(len(part), bool)
        sources = np.ones(len(self.source.files), bool)
        return Parts(part, part == TRAIN, sources, everything, self.target.label, self.classes)

    def _by_class(self, seed: int) -> Parts:
        n = len(self.classes)
        distilled = np.sort(generator(seed, "classes").permutation(n)[: min(round(_DISTILLED * n), n - 2)])
        scored = np.setdiff1d(np.arange(n), distilled)
        label = np.full(n, -1)
        label[scored] = np.arange(len(scored))
        side = self.target
        part = self._drawn(side, _SCORED_SHARES, seed)
        given = (side.part >= 0).any()
        pairs = np.isin(side.label, distilled) & ((side.part == TRAIN) | (not given))
        sources = (self.source.part == TRAIN) | (not given)
        names = tuple(self.classes[i] for i in scored)
        # A group may span classes: what is in a pair is not scored.
        scorable = np.isin(side.label, scored) & ~np.isin(side.group, side.group[pairs])
        return Parts(part, pairs, sources, scorable, label[side.label], names)

    def _drawn(self, side: Side, shares: tuple[float, ...], seed: int) -> Index:
        if (side.part < 0).all():
            return parts_by_group(side.group, side.label, generator(seed, "split"), shares)
        if VAL in side.part:
            return side.part
        part = side.part.copy()
        train = np.flatnonzero(part == TRAIN)
        shares = (1 - _VAL_OF_TRAIN, _VAL_OF_TRAIN)
        part[train] = parts_by_group(side.group[train], side.label[train], generator(seed, "val"), shares)
        return part


def make_table(manifest: Manifest) -> Table:
    """Items of both sides. Raises UsageError where pairs, groups or splits contradict each other."""
    rows = manifest.rows
    by_class = all(row.pair == row.label for row in rows)
    label_of = {row.pair: row.label for row in rows if row.label}
    classes = tuple(sorted(set(label_of.values())))
    number = {name: i for i, name in enumerate(classes)}
    pairs = {pair: i for i, pair in enumerate(dict.fromkeys(row.pair for row in rows))}
    number_of = together(manifest, by_class)

    def side(key: Literal["source", "target"]) -> Side:
        items = _items(manifest, key)
        return Side(
            files=tuple(items),
            concept=np.array([pairs[row.pair] for row in items.values()], np.int64),
            group=np.array([number_of[key, file] for file in items], np.int64),
            label=np.array([number.get(label_of.get(row.pair, ""), -1) for row in items.values()], np.int64),
            part=np.array([SPLITS.index(row.split) if row.split else -1 for row in items.values()], np.int64),
        )

    table = Table(manifest.name, side("source"), side("target"), classes, tuple(pairs), by_class)
    _check_classes(table)
    return table


def _items(manifest: Manifest, key: Literal["source", "target"]) -> dict[str, Row]:
    """The row that each file of a side stands in; a file may be listed again, but in the same pair."""
    items: dict[str, Row] = {}
    for row in manifest.rows:
        file = getattr(row, key)
        if not file:
            continue
        other = items.setdefault(file, row)
        if other.pair != row.pair:
            raise UsageError(
                f"'{manifest.name}', {row.where}: {key} '{file}' is in pair '{row.pair}', "
                f"but in pair '{other.pair}' at {other.where}: items of the same thing share a pair_id"
            )
    if not items:
        raise UsageError(f"'{manifest.name}' names no {key} item: the column {key} is blank in all rows")
    return items


Node = tuple[str, str]


class _Ties:
    """Which nodes are tied together, directly or through others (union-find)."""

    def __init__(self) -> None:
        self._parent: dict[Node, Node] = {}

    def root(self, node: Node) -> Node:
        """The node that stands for all that `node` is tied to."""
        self._parent.setdefault(node, node)
        while self._parent[node] != node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node

    def tie(self, a: Node, b: Node) -> None:
        self._parent[self.root(a)] = self.root(b)


def _nodes(row: Row) -> list[Node]:
    return [(key, file) for key, file in (("source", row.source), ("target", row.target)) if file]


def together(manifest: Manifest, by_class: bool, dense: bool = False) -> dict[Node, int]:
    """A number for each (side, file), the same for those that may not be parted: of one pair, or of one group.

    Raises UsageError where what belongs together is in two splits. dense: train and val may share a group.
    """
    ties = _Ties()
    for row in manifest.rows:
        for node in _nodes(row):
            if not by_class:
                ties.tie(node, ("pair", row.pair))
            if row.group:
                ties.tie(node, ("group", row.group))
    roots = {node: ties.root(node) for row in manifest.rows for node in _nodes(row)}
    first: dict[Node, Row] = {}
    for row in manifest.rows:
        for node in _nodes(row):
            other = first.setdefault(roots[node], row)
            splits = {other.split, row.split}
            if len(splits) > 1 and not (dense and splits == {"train", "val"}):
                raise UsageError(f"'{manifest.name}': {_parted(row, other)}: what belongs together has one split")
    return dict(zip(roots, numbered(list(roots.values())).tolist(), strict=True))


def _parted(row: Row, other: Row) -> str:
    what = "items that pairs and groups tie together are"
    if row.group and row.group == other.group:
        what = f"group '{row.group}' is"
    elif row.pair == other.pair:
        what = f"pair_id '{row.pair}' is"
    return f"{what} in {other.split} ({other.where}) and in {row.split} ({row.where})"


def _check_classes(table: Table) -> None:
    """Every class can be learned and tested: raise UsageError for the first that cannot."""
    if table.by_class and len(table.classes) < _LEAST_CLASSES:
        raise UsageError(
            f"'{table.name}' pairs by class (each pair_id is the label), so some classes are distilled and others "
            f"scored: that takes {_LEAST_CLASSES} classes or more, not {len(table.classes)}"
        )
    if not table.by_class and not np.intersect1d(table.source.concept, table.target.concept).size:
        raise UsageError(f"'{table.name}' has no pair: no pair_id (or file name) has both a source and a target")
    side = table.target
    for i, name in enumerate(table.classes):
        mine = side.label == i
        if (side.part >= 0).any():
            for part in ("train", "test"):
                if not (side.part[mine] == SPLITS.index(part)).any():
                    raise UsageError(f"'{table.name}': class '{name}' has no target item in {part}: drop or merge it")
        elif (groups := len(np.unique(side.group[mine]))) < _LEAST_GROUPS:
            raise UsageError(
                f"'{table.name}': class '{name}' has {groups} independent target items (groups): "
                f"{_LEAST_GROUPS} or more are needed for train, val and test; drop or merge it"
            )
