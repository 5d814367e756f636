"""Hierarchical paired bootstrap of a gain: seeds, label draws within them, test items within them."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from xkd_bench.analysis.intervals import Floats
from xkd_bench.analysis.scores import SETTING, TARGET, variants
from xkd_bench.errors import UsageError

Correct = Callable[[str], NDArray[Any]]
"""A record's key to what each test item was worth to its scores: [scores, items]."""
Worth = dict[int, dict[int, Floats]]
"""Seed to label draw to worth of each test item: [items]."""


def worths(df: pd.DataFrame, correct: Correct) -> dict[tuple[Any, ...], Worth]:
    """Per-item worth of every variant in every setting, by (variant, trained, labels or None, fraction).

    df: scores as the store gives them: all rows of a record, in the record's order.

    Raises:
        UsageError: a record has other scores than rows here.
    """
    places = df.assign(place=df.groupby("key").cumcount(), inputs=df.get("inputs", TARGET))
    on = ["key", *SETTING, "draw", "metric", "inputs"]
    named = variants(df)[["variant", "seed", *on]]
    places["labels_per_class"] = places["labels_per_class"].astype("Int64")
    found: dict[tuple[Any, ...], Worth] = {}
    for key, part in named.merge(places[[*on, "place"]], on=on).groupby("key"):
        table = np.asarray(correct(str(key)), dtype=float)
        if part["place"].max() >= len(table):
            raise UsageError(f"record {str(key)[:8]} has {len(table)} scores, its table more: read the store again")
        for row in part.to_dict("records"):
            labels = None if pd.isna(row["labels_per_class"]) else int(row["labels_per_class"])
            setting = (row["variant"], row["trained"], labels, float(row["pair_fraction"]))
            found.setdefault(setting, {}).setdefault(row["seed"], {})[row["draw"]] = table[row["place"]]
    return found


def replicates_of(
    a: Worth, b: Worth, replicates: int, seed: int = 0, levels: tuple[str, ...] = ("seeds", "draws", "items")
) -> tuple[Floats, Floats, int]:
    """Means of both sides in each replicate, [replicates] each, and the fewest items of a seed.

    Seeds are drawn with replacement, then label draws within each drawn seed, then test items within it: the same
    ones for both sides and for all draws of the seed, for both were scored on them. A level that is not named keeps
    what there is.
    """
    rng = np.random.default_rng(seed)
    seeds = sorted(set(a) & set(b))
    chosen = rng.integers(len(seeds), size=(replicates, len(seeds)))
    if "seeds" not in levels:
        chosen = np.broadcast_to(np.arange(len(seeds)), chosen.shape)
    sums, fewest = [np.zeros(replicates), np.zeros(replicates)], np.inf
    for number, name in enumerate(seeds):
        draws = sorted(set(a[name]) & set(b[name]))
        sides = [np.stack([side[name][draw] for draw in draws]) for side in (a, b)]
        items = sides[0].shape[1]
        fewest = min(fewest, items)
        where = np.nonzero(chosen == number)[0]
        item_weights = _weights(rng, len(where), items, "items" in levels)
        draw_weights = _weights(rng, len(where), len(draws), "draws" in levels and len(draws) > 1)
        for total, side in zip(sums, sides, strict=True):
            np.add.at(total, where, ((item_weights @ side.T) * draw_weights).sum(axis=1))
    return sums[0] / len(seeds), sums[1] / len(seeds), int(fewest)


def _weights(rng: np.random.Generator, n: int, size: int, resampled: bool) -> Floats:
    """Shares [n, size] of units drawn with replacement, or equal ones."""
    if not resampled:
        return np.full((n, size), 1 / size)
    return rng.multinomial(size, np.full(size, 1 / size), size=n) / size


def bootstrap(
    a: Worth, b: Worth, definition: str, confidence: float = 0.95, replicates: int = 2000, seed: int = 0
) -> tuple[float, float, int]:
    """Interval of a gain, and the fewest items of a seed.

    Gain ± t · sd of the replicates · √(S / (S - 1)): with S seeds, resampling them shows only (S - 1) / S of their
    variance, and three seeds are no normal sample, so the quantile is Student's with S - 1 degrees of freedom. (The
    percentiles of three seeds' resamples cover far less than they say; tests measure it.) With one seed, the interval
    is over draws and items of that one split: their percentiles.
    """
    means = replicates_of(a, b, replicates, seed)
    values = ratio(means[0], means[1], definition)
    seeds = len(set(a) & set(b))
    if seeds == 1:
        low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
        return float(low), float(high), means[2]
    centre = ratio(*replicates_of(a, b, 1, seed, levels=())[:2], definition)[0]
    half = float(stdtrit(seeds - 1, 0.5 + confidence / 2)) * float(values.std()) * sqrt(seeds / (seeds - 1))
    return float(centre - half), float(centre + half), means[2]


def ratio(a: Floats, b: Floats, definition: str) -> Floats:
    """The gain of mean scores a over b by its definition (`gains.DEFINITIONS`)."""
    scale = {"relative": b, "error_reduction": 1 - b}.get(definition, np.ones_like(b))
    return np.divide(a - b, scale, out=np.full_like(b, np.nan), where=scale > 0)
