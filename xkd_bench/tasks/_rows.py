"""Tasks whose two modalities have one item of each thing, in the same order: row i of both is a pair with a label."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._cache import sha256
from xkd_bench.tasks._splits import TEST, TRAIN, VAL, generator, parts_by_group
from xkd_bench.tasks.base import Index, Items, Split, TaskData, check_split


class RowData(TaskData):
    """n pairs. source, target: [n, d] float32 or [n, channels, h, w] uint8; label: [n], all in range(len(classes)).

    group: [n] pairs that may not be parted; each is one of its own if it is not given. standardise: vectors get mean 0
    and deviation 1 over the pairs of a split's train part, in each modality (`at`).
    """

    def __init__(
        self,
        source: NDArray[Any],
        target: NDArray[Any],
        label: Index,
        classes: Sequence[str],
        *,
        group: Index | None = None,
        standardise: bool = False,
    ) -> None:
        each = np.arange(len(label))
        group = each if group is None else group
        self.source, self.target = Items(source, each, group), Items(target, each, group)
        self.label, self.classes, self.standardise = label, tuple(classes), standardise
        self.digest = sha256(source, target, group, label, self.classes, standardise)

    def at(self, seed: int) -> "RowData":
        if not self.standardise:
            return self
        rows = self.split(seed).pairs_target
        own = copy(self)
        own.source, own.target = (
            replace(items, data=standardised(items.data, rows)) for items in (self.source, self.target)
        )
        own.standardise, own.digest = False, sha256(self.digest, seed)
        return own

    def split(self, seed: int) -> Split:
        """60 % of the pairs are distilled from, and their targets the pool of labels; 15 % validate, 25 % test."""
        part = parts_by_group(self.target.group, self.label, generator(seed, "split"))
        train, val, test = (np.flatnonzero(part == name) for name in (TRAIN, VAL, TEST))
        return check_split(self, Split(train, train, train, val, test, self.label, self.classes))


def standardised(x: NDArray[Any], rows: Index) -> NDArray[np.float32]:
    """[n, d] with mean 0 and deviation 1 over these rows; an entry that is constant over them becomes 0 throughout."""
    mean, deviation = x[rows].mean(0, dtype=np.float64), x[rows].std(0, dtype=np.float64)
    varies = deviation > 1e-8 * (1 + np.abs(mean))
    return np.where(varies, (x - mean) / np.where(varies, deviation, 1.0), 0.0).astype(np.float32)
