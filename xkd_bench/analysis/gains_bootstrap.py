"""Hierarchical paired bootstrap of a gain: seeds, label draws within them, test items within them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
Frame = tuple[tuple[int, tuple[int, ...]], ...]
"""Seeds, each with its label draws: what is resampled."""
LEVELS = ("seeds", "draws", "items")


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
    a: Worth, b: Worth, replicates: int, seed: int = 0, levels: tuple[str, ...] = LEVELS
) -> tuple[Floats, Floats, int]:
    """Means of both sides in each replicate, [replicates] each, and the fewest items of a seed (`means_of`)."""
    means, fewest = means_of([a, b], shared([a, b]), replicates, seed, levels)
    return means[0], means[1], fewest


def shared(sides: Sequence[Worth]) -> Frame:
    """The seeds that all sides have, and of each the label draws."""
    seeds = sorted(set.intersection(*(set(side) for side in sides)))
    return tuple((seed, tuple(sorted(set.intersection(*(set(side[seed]) for side in sides))))) for seed in seeds)


def means_of(
    sides: Sequence[Worth], frame: Frame, replicates: int, seed: int = 0, levels: tuple[str, ...] = LEVELS
) -> tuple[Floats, int]:
    """Means of every side in each replicate, [sides, replicates], and the fewest items of a seed.

    Seeds are drawn with replacement, then label draws within each drawn seed, then test items within it: the same
    ones for all sides and for all draws of the seed, for all were scored on them. A level that is not named keeps what
    there is. What is drawn depends on the frame alone, so that differences of sides are paired whoever else is there.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(frame), size=(replicates, len(frame)))
    if "seeds" not in levels:
        chosen = np.broadcast_to(np.arange(len(frame)), chosen.shape)
    sums, fewest = np.zeros((len(sides), replicates)), np.inf
    for number, (name, draws) in enumerate(frame):
        worth = np.stack([side[name][draw] for side in sides for draw in draws])  # [sides * draws, items]
        items = worth.shape[1]
        fewest = min(fewest, items)
        where = np.nonzero(chosen == number)[0]
        item_weights = _weights(rng, len(where), items, "items" in levels)
        draw_weights = _weights(rng, len(where), len(draws), "draws" in levels and len(draws) > 1)
        of_draws = (item_weights @ worth.T).reshape(len(where), len(sides), len(draws))
        np.add.at(sums.T, where, np.einsum("rsd,rd->rs", of_draws, draw_weights))
    return sums / len(frame), int(fewest)


def _weights(rng: np.random.Generator, n: int, size: int, resampled: bool) -> Floats:
    """Shares [n, size] of units drawn with replacement, or equal ones."""
    if not resampled:
        return np.full((n, size), 1 / size)
    return rng.multinomial(size, np.full(size, 1 / size), size=n) / size


@dataclass(frozen=True)
class Resampled:
    """Two sides' means, as they are and in each replicate; from so many seeds with so many test items, at the least."""

    a: Floats
    b: Floats
    means: tuple[float, float]
    seeds: int
    items: int

    def interval(self, definition: str, confidence: float = 0.95) -> tuple[float, float]:
        """Interval of a gain.

        Gain ± t · sd of the replicates · √(S / (S - 1)): with S seeds, resampling them shows only (S - 1) / S of their
        variance, and three seeds are no normal sample, so the quantile is Student's with S - 1 degrees of freedom. (The
        percentiles of three seeds' resamples cover far less than they say; tests measure it.) With one seed, the
        interval is over draws and items of that one split: their percentiles.
        """
        values = ratio(self.a, self.b, definition)
        if self.seeds == 1:
            low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
            return float(low), float(high)
        a, b = (np.array([mean]) for mean in self.means)
        centre = float(ratio(a, b, definition)[0])
        half = float(stdtrit(self.seeds - 1, 0.5 + confidence / 2)) * float(values.std())
        half *= sqrt(self.seeds / (self.seeds - 1))
        return centre - half, centre + half


def resample(pairs: Sequence[tuple[Worth, Worth]], replicates: int, seed: int = 0) -> list[Resampled | None]:
    """Every pair of sides resampled; None where they share no draw. Pairs with the same frame are drawn for at once."""
    found: list[Resampled | None] = [None] * len(pairs)
    frames: dict[Frame, list[int]] = {}
    for i, pair in enumerate(pairs):
        if frame := tuple(part for part in shared(pair) if part[1]):
            frames.setdefault(frame, []).append(i)
    for frame, numbers in frames.items():
        sides = {id(side): side for i in numbers for side in pairs[i]}
        at = {name: place for place, name in enumerate(sides)}
        drawn, items = means_of(list(sides.values()), frame, replicates, seed)
        plain, _ = means_of(list(sides.values()), frame, 1, levels=())
        for i in numbers:
            a, b = (at[id(side)] for side in pairs[i])
            means = (float(plain[a, 0]), float(plain[b, 0]))
            found[i] = Resampled(drawn[a], drawn[b], means, len(frame), items)
    return found


def bootstrap(
    a: Worth, b: Worth, definition: str, confidence: float = 0.95, replicates: int = 2000, seed: int = 0
) -> tuple[float, float, int]:
    """Interval of a gain (`Resampled.interval`), and the fewest items of a seed.

    Raises:
        UsageError: the two share no seed and draw.
    """
    (found,) = resample([(a, b)], replicates, seed)
    if found is None:
        raise UsageError("the two sides of this gain share no seed and label draw")
    return *found.interval(definition, confidence), found.items


def ratio(a: Floats, b: Floats, definition: str) -> Floats:
    """The gain of mean scores a over b by its definition (`gains.DEFINITIONS`)."""
    scale = {"relative": b, "error_reduction": 1 - b}.get(definition, np.ones_like(b))
    return np.divide(a - b, scale, out=np.full_like(b, np.nan), where=scale > 0)
