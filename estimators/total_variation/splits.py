"""Three-way splits by group: fit, select, certify. What the first two choose is fixed before the third is seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..concentration import bernstein_interval, group_means
from ..inputs import FloatArray, IntArray, TwoSample


@dataclass(frozen=True)
class Part:
    """Some groups of a two-sample: their rows, still with group codes."""

    data: TwoSample

    @property
    def features(self) -> FloatArray:
        """Both sides stacked, [n + m, d]."""
        return np.concatenate([self.data.source, self.data.target])

    @property
    def labels(self) -> IntArray:
        """0 for source rows, 1 for target rows, [n + m]."""
        return np.repeat(np.array([0, 1]), [len(self.data.source), len(self.data.target)])


class Split(NamedTuple):
    """The three parts, with no group in two of them."""

    fit: Part
    select: Part
    certify: Part


def split_by_group(data: TwoSample, fractions: Sequence[float], rng: np.random.Generator) -> Split:
    """Deal whole groups to three parts, separately for groups on one side only and on both, so that each part has all.

    Raises:
        ValueError: fractions are not three positive numbers with sum 1, or some part would miss a side.
    """
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"split must be three positive fractions with sum 1, got {tuple(fractions)}")
    only_source = np.setdiff1d(data.source_groups, data.target_groups)
    only_target = np.setdiff1d(data.target_groups, data.source_groups)
    both = np.intersect1d(data.source_groups, data.target_groups)
    dealt: list[list[IntArray]] = [[], [], []]
    for stratum in (only_source, only_target, both):
        for chosen, codes in zip(dealt, _deal(rng.permutation(stratum), fractions), strict=True):
            chosen.append(codes)
    parts = [_part(data, np.concatenate(codes)) for codes in dealt]
    for name, dealt_part in zip(Split._fields, parts, strict=True):
        if not (len(dealt_part.data.source) and len(dealt_part.data.target)):
            raise ValueError(f"too few groups: the {name} part has no row of one side")
    return Split(*parts)


def _deal(codes: IntArray, fractions: Sequence[float]) -> list[IntArray]:
    size = codes.size
    if size < 3:  # certify comes first, then fit
        return np.split(codes, [max(size - 1, 0)] * 2)
    certify = min(max(1, round(fractions[2] * size)), size - 2)
    select = min(max(1, round(fractions[1] * size)), size - certify - 1)
    return np.split(codes, [size - certify - select, size - certify])


def _part(data: TwoSample, codes: IntArray) -> Part:
    rows, columns = np.isin(data.source_groups, codes), np.isin(data.target_groups, codes)
    return Part(
        TwoSample(
            data.source[rows],
            data.target[columns],
            data.source_groups[rows],
            data.target_groups[columns],
            data.paired,
        )
    )


def one_row_per_group(codes: IntArray, rng: np.random.Generator) -> IntArray:
    """Indices of one random row of each group: independent draws of the group-weighted law, as exact bounds need."""
    order = rng.permutation(codes.size)
    return order[np.unique(codes[order], return_index=True)[1]]


def independent_units(data: TwoSample) -> int:
    """Groups of the side that has fewer."""
    return int(min(np.unique(data.source_groups).size, np.unique(data.target_groups).size))


def sum_of_means(
    data: TwoSample, source_values: FloatArray, target_values: FloatArray, width: float, alpha: float
) -> tuple[float, float, float]:
    """E_P[source value] + E_Q[target value] for values in [0, width]: the estimate, and bounds below and above.

    Each bound holds alone with probability 1 - alpha (empirical Bernstein). Pairs give one value per group, so their
    dependence helps instead of harming; otherwise each side gets half of alpha, valid under any dependence.
    """
    left = group_means(source_values, data.source_groups)
    right = group_means(target_values, data.target_groups)
    if data.paired:  # same groups on both sides, in the same order
        return bernstein_interval(left + right, alpha, 2.0 * width)
    a, b = bernstein_interval(left, alpha / 2, width), bernstein_interval(right, alpha / 2, width)
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
