"""The raw features of a task: both modalities as pixels of one size, or vectors as they are; one row a concept."""

import numpy as np
from numpy.typing import NDArray

from xkd_bench.seeds import stream
from xkd_bench.tasks.base import Card, Index, Items, TaskData

SIZE = 32
"""Pixels a side at which the two modalities are compared."""


def raw_features(
    data: TaskData, card: Card, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """source [n, d], target [n, d'] and groups [n]: a random item of each modality for each concept.

    Images are grey, in [0, 1], and as large in both; vectors are as a run with this seed sees them. Row i of both is of
    one concept. Groups are the task's near-duplicates, or the concepts where pairs are by class.
    """
    data = data.at(seed)
    rng = np.random.default_rng(stream(seed, "raw-features"))
    concepts = np.intersect1d(data.source.concept, data.target.concept)
    source, target = _one_each(data.source, concepts, rng), _one_each(data.target, concepts, rng)
    groups = concepts if card.pairing == "class" else data.target.group[target]
    return _rows(data.source, source), _rows(data.target, target), groups


def _one_each(items: Items, concepts: Index, rng: np.random.Generator) -> Index:
    """A random item of each concept."""
    order = rng.permutation(len(items))
    _, first = np.unique(items.concept[order], return_index=True)
    chosen = order[first]
    return chosen[np.isin(items.concept[chosen], concepts)]


def _rows(items: Items, chosen: Index) -> NDArray[np.float64]:
    if items.data.ndim == 2:
        return np.asarray(items.data[chosen], dtype=np.float64)
    images = np.asarray(items.data[chosen], dtype=np.float64) / 255
    return images.mean(axis=1).reshape(len(chosen), -1)
