"""Splits by group, stratified by class, the same on every machine."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks.base import Index

TRAIN, VAL, TEST = 0, 1, 2
SHARES = (0.60, 0.15, 0.25)
"""Train (the concepts of the pairs), validation, test."""


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers of their own for each purpose: a new purpose does not shift the others."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def numbered(names: Sequence[object]) -> Index:
    """Equal names as equal numbers, counted in the order of first appearance."""
    numbers: dict[object, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in names], np.int64)


def parts_by_group(group: Index, stratum: Index, rng: np.random.Generator, shares: Sequence[float] = SHARES) -> Index:
    """[n] part of each item (0, 1, ...: by `shares`): groups stay whole, strata come near to the shares.

    Every stratum but -1 is in the first part and in the last if it has two groups or more, and no part is empty if
    that leaves a group to spare.

    Large groups are placed first, each in a part drawn in proportion to what that part still lacks of the group's
    main stratum, among the parts that lack at least half the group; so a part's surplus is at most half a group.
    """
    names, inverse, size = np.unique(group, return_inverse=True, return_counts=True)
    strata, column = np.unique(stratum, return_inverse=True)
    table = np.zeros((len(names), len(strata)))  # items of each group in each stratum
    np.add.at(table, (inverse, column), 1)
    lacks = np.outer(shares, table.sum(0))  # [parts, strata]
    part_of: NDArray[np.int64] = np.empty(len(names), np.int64)
    order = rng.permutation(len(names))
    for i in order[np.argsort(-size[order], kind="stable")]:
        lack = lacks[:, table[i].argmax()]
        weight = np.where(lack >= table[i].max() / 2, lack, 0.0)
        if weight.sum() == 0:
            weight = np.where(lack == lack.max(), 1.0, 0.0)
        edges = np.cumsum(weight)
        part = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
        part_of[i] = min(part, len(shares) - 1)
        lacks[part_of[i]] -= table[i]
    known, needed = table[:, strata >= 0], (0, len(shares) - 1)
    _fill_empty(part_of, known, needed)
    _leave_none_empty(part_of, known, needed, size)
    return part_of[inverse]


def _fill_empty(part_of: Index, table: NDArray[np.float64], needed: tuple[int, ...]) -> None:
    """Where a stratum has nothing in a part that needs some, give it the smallest group that others can spare, and that
    no other stratum needs where it is."""
    for column in table.T:
        mine = np.flatnonzero(column)
        for part in needed:
            if (part_of[mine] == part).any():
                continue
            held = {other: int((part_of[mine] == other).sum()) for other in set(part_of[mine].tolist())}
            spare = [i for i in mine if held[int(part_of[i])] > (int(part_of[i]) in needed)]
            if spare:
                part_of[min(spare, key=lambda i: (_missed(i, part_of, table, needed), column[i], i))] = part


def _leave_none_empty(part_of: Index, table: NDArray[np.float64], needed: tuple[int, ...], size: Index) -> None:
    """Give a part without any group the smallest one that is not missed where it is."""
    for part in range(max(needed) + 1):
        if (part_of == part).any():
            continue
        for i in np.argsort(size, kind="stable"):
            if (part_of == part_of[i]).sum() > 1 and not _missed(i, part_of, table, needed):
                part_of[i] = part
                break


def _missed(i: np.int64, part_of: Index, table: NDArray[np.float64], needed: tuple[int, ...]) -> int:
    """How many strata would have nothing left in the part of group i without it, of those that need some there."""
    if part_of[i] not in needed:
        return 0
    others = (part_of == part_of[i]) & (np.arange(len(part_of)) != i)
    return int(((table[i] > 0) & (table[others].sum(0) == 0)).sum())
