"""Correlation within groups, with the permutation test that goes with it: exact where all arrangements can be seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import factorial, nan, prod

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from xkd_bench.analysis.intervals import Floats

EXACT_UP_TO, ENUMERATED = 50_000, 5_040
"""Arrangements of rows, and of styles, that are enumerated; beyond, random ones are drawn."""
PAIR = re.compile(r"\s*([^>=:,@]+?)\s*>\s*([^>=:,@]+?)\s*(?::[^@]*)?")
Pairs = list[tuple[str, str]]
CLOSE = 1e-9
"""Statistics of different arrangements that differ by less are equal but for rounding."""


@dataclass(frozen=True)
class Association:
    """A correlation and its permutation p.

    r: the correlation. p: two-sided, share of arrangements with |r| at least as large. p_less, p_greater: one-sided.
    n, groups: rows and groups that took part (groups of one row say nothing and are left out). arrangements: how many
    were seen. exact: whether they were all. p_least: the smallest two-sided p that this design could have given.
    """

    r: float
    p: float
    p_less: float
    p_greater: float
    n: int
    groups: int
    arrangements: int
    exact: bool
    p_least: float


def association(
    x: ArrayLike, y: ArrayLike, groups: ArrayLike | None = None, *, names: Sequence[str] | None = None,
    rank: bool = True, draws: int = 9999, seed: int = 0,
) -> Association:  # fmt: skip
    """Correlation of x [n] and y [n] within groups [n], and its permutation test: y is shuffled within each group.

    With ranks it is Spearman's of one group; of several, the correlation of midranks / (n_g + 1), centred in their
    group: what differs between groups cannot make it, nor a group's size or scale. Without ranks, Pearson's of values
    centred in their group. The p of drawn arrangements counts the observed one: (1 + b) / (1 + B), never 0 (Phipson
    and Smyth, Stat. Appl. Genet. Mol. Biol. 9 (2010) 39).

    names: of the rows [n]. Where all rows of a group are pairs of styles, their styles are shuffled, not the rows
    (`pair_orders`).

    r and p are NaN where x or y does not vary within any group.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    codes = np.zeros(len(x), dtype=int) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    whole = np.isfinite(x) & np.isfinite(y)
    members = [np.flatnonzero(whole & (codes == code)) for code in np.unique(codes)]
    members = [rows for rows in members if len(rows) > 1]
    if not members:
        return Association(nan, nan, nan, nan, 0, 0, 0, False, nan)
    sizes = [len(rows) for rows in members]
    u, v = (np.concatenate([centred(side[rows], rank) for rows in members]) for side in (x, y))
    scale = float(np.sqrt((u @ u) * (v @ v)))
    n = int(sum(sizes))
    if scale <= CLOSE:
        return Association(nan, nan, nan, nan, n, len(members), 0, False, nan)
    pairs = [styles([names[int(i)] for i in rows]) if names is not None else None for rows in members]
    exact = not any(pairs) and prod(factorial(size) for size in sizes) <= EXACT_UP_TO
    null = v[orders(sizes, exact, draws, seed, pairs)] @ u / scale
    observed = float(u @ v) / scale
    more = 0 if exact else 1
    total = len(null) + more

    def share(count: int) -> float:
        return (count + more) / total

    sides = share(int((null <= observed + CLOSE).sum())), share(int((null >= observed - CLOSE).sum()))
    p = share(int((np.abs(null) >= abs(observed) - CLOSE).sum()))
    largest = np.abs(null) >= np.abs(null).max() - CLOSE
    least = float(largest.mean()) if exact or any(pairs) else 1 / total
    return Association(observed, p, *sides, n, len(members), total, exact, least)


def centred(values: NDArray[np.float64], rank: bool) -> Floats:
    """Values of one group, or their midranks / (n + 1), less their mean."""
    out = rankdata(values) / (len(values) + 1) if rank else values
    return np.asarray(out - out.mean())


def orders(
    sizes: list[int], exact: bool, draws: int, seed: int, pairs: Sequence[Pairs | None] | None = None
) -> NDArray[np.int64]:
    """Orders of the rows of consecutive groups of these sizes that keep every row in its group: [arrangements, n].

    pairs: the two styles of each row of a group, where styles are what is shuffled.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    if exact:
        each = [start + np.array(list(permutations(range(size)))) for start, size in zip(starts, sizes, strict=True)]
        which = np.indices([len(part) for part in each]).reshape(len(each), -1)
        return np.concatenate([part[at] for part, at in zip(each, which, strict=True)], axis=1)
    rng = np.random.default_rng(seed)
    styled = pairs or [None] * len(sizes)
    parts = [
        start + (pair_orders(of, draws, rng) if of else rng.random((draws, size)).argsort(axis=1))
        for start, size, of in zip(starts, sizes, styled, strict=True)
    ]
    return np.concatenate(parts, axis=1)


def styles(names: Sequence[str]) -> Pairs | None:
    """Source and target of conditions that are all pairs of styles ('emoji:a>b', 'emoji: a > b'), each there once."""
    found = [PAIR.fullmatch(str(name).partition(":")[2]) for name in names]
    pairs = [(sides[1], sides[2]) for sides in found if sides]
    return pairs if len(pairs) == len(names) == len(set(pairs)) and len(pairs) > 1 else None


def pair_orders(pairs: Pairs, draws: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Orders of pairs of styles when styles take each other's place: the pair (a, b) takes the row of (π a, π b).

    Pairs that share a style are not independent, and shuffling them as such finds relations that are of one style; the
    styles are what may be exchanged (Mantel, Cancer Res. 27 (1967) 209-220; Krackhardt, Social Networks 10 (1988)
    359-381). π keeps who is source, target or both; of its arrangements only those count that map pairs to pairs.
    """
    row = {pair: i for i, pair in enumerate(pairs)}
    sources, targets = {a for a, _ in pairs}, {b for _, b in pairs}
    kinds = [sorted(kind) for kind in (sources & targets, sources - targets, targets - sources) if kind]
    if prod(factorial(len(kind)) for kind in kinds) <= ENUMERATED:
        moves = [sum(parts, ()) for parts in product(*(permutations(kind) for kind in kinds))]
    else:
        moves = [tuple(str(name) for kind in kinds for name in rng.permutation(kind)) for _ in range(draws)]
    nodes = [name for kind in kinds for name in kind]
    found = []
    for moved in moves:
        to = dict(zip(nodes, moved, strict=True))
        order = [row.get((to[a], to[b]), -1) for a, b in pairs]
        if min(order) >= 0:
            found.append(order)
    kept = np.array(found or [list(range(len(pairs)))])
    return kept[rng.integers(len(kept), size=draws)]


def pearson_t(r: float, n: int) -> float:
    """Two-sided p of Pearson's r over n rows by Student's t with n - 2 degrees of freedom; NaN below three rows."""
    from scipy.special import stdtr

    if n < 3:
        return nan
    if abs(r) >= 1:
        return 0.0
    return float(2 * stdtr(n - 2, -abs(r) * np.sqrt((n - 2) / (1 - r * r))))


def fisher_interval(r: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a correlation by Fisher's z, standard error 1 / √(n - 3); (-1, 1) with three rows or fewer."""
    from scipy.special import ndtri

    if n <= 3 or abs(r) >= 1 or np.isnan(r):
        return (-1.0, 1.0)
    half = ndtri(0.5 + confidence / 2) / np.sqrt(n - 3)
    return float(np.tanh(np.arctanh(r) - half)), float(np.tanh(np.arctanh(r) + half))
