"""Pairs that no training saw, to measure gaps and bounds on, and what oracle encoders may learn from instead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xkd_bench import tasks
from xkd_bench.errors import UsageError
from xkd_bench.seeds import stream
from xkd_bench.stages.context import Context
from xkd_bench.tasks.base import Index

HIDDEN = (0.1, 0.3)
"""Where pairs are by class: shares of the scored classes' source items that are paired in the bank, and scored."""
MOST = 4096
"""More pairs than this are cut to a random subset."""
FEWEST = 8


@dataclass(frozen=True)
class Pairs:
    """source, target: [n] items, row by row of one concept. group: [n] rows of one group are not independent."""

    source: Index
    target: Index
    group: Index

    def __len__(self) -> int:
        return len(self.group)


@dataclass(frozen=True)
class HeldOut:
    """scored: pairs of the test part. bank: of the validation part, what scored pairs are compared with.

    source, target: items that neither holds, nor a near-duplicate of them: oracles learn from these alone. label: of
    each source item, its concept's class as the train part says, -1 where that says none.
    """

    scored: Pairs
    bank: Pairs
    source: Index
    target: Index
    label: Index


def held_out(run: Context) -> HeldOut:
    """The pairs of this run's split that are scored, and what is left.

    Every target item of test and val is paired with a random source item of its concept. Where pairs are of one
    instance, all source items of these concepts are hidden from oracles. Where they are of one class, source items of
    the scored classes are divided, by group: some are paired, the others an oracle may learn from.

    Raises:
        UsageError: there are too few such pairs: test items without any source item.
    """
    data, split = run.data, run.split
    concept, rng = data.target.concept, np.random.default_rng(stream(run.spec.seed, "held-out pairs"))
    by_class = tasks.get(run.spec.task).card.pairing == "class"
    if by_class:
        rooms = _divided(run, rng)
    else:
        rooms = {name: np.isin(data.source.concept, concept[items]) for name, items in _parts(run).items()}
    found = {name: _paired(run, items, rooms[name], by_class, rng) for name, items in _parts(run).items()}
    if min(len(pairs) for pairs in found.values()) < FEWEST:
        raise UsageError(
            f"task '{run.spec.task}' has {len(found['scored'])} test and {len(found['bank'])} validation items whose "
            f"concept has a source item: a gap needs {FEWEST} held-out pairs of each"
        )
    hidden = np.concatenate([split.val, split.test])
    near = np.isin(data.target.group, data.target.group[hidden])
    if not by_class:
        near |= np.isin(concept, concept[hidden])
    alike = np.isin(data.source.group, data.source.group[rooms["scored"] | rooms["bank"]])
    label = np.full(int(max(concept.max(), data.source.concept.max())) + 1, -1)
    label[concept[split.train]] = split.label[split.train]
    return HeldOut(
        found["scored"], found["bank"], np.flatnonzero(~alike), np.flatnonzero(~near), label[data.source.concept]
    )  # fmt: skip


def _parts(run: Context) -> dict[str, Index]:
    return {"bank": run.split.val, "scored": run.split.test}


def _divided(run: Context, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Which source items of the scored classes are paired in the bank, and which are scored; by group."""
    source, scored = run.data.source, np.unique(run.data.target.concept[run.split.test])
    groups = rng.permutation(np.unique(source.group[np.isin(source.concept, scored)]))
    ends = np.ceil(np.cumsum(HIDDEN) * len(groups)).astype(int)
    of_scored = np.isin(source.concept, scored)
    return {
        "bank": of_scored & np.isin(source.group, groups[: ends[0]]),
        "scored": of_scored & np.isin(source.group, groups[ends[0] : ends[1]]),
    }


def _paired(run: Context, items: Index, room: np.ndarray, by_class: bool, rng: np.random.Generator) -> Pairs:
    """These target items, each with a random source item of its concept from the room; those without any left out."""
    source, target = run.data.source, run.data.target
    mates = {int(c): np.flatnonzero(room & (source.concept == c)) for c in np.unique(target.concept[items])}
    items = items[[len(mates[int(c)]) > 0 for c in target.concept[items]]] if len(items) else items
    if len(items) > MOST:
        items = np.sort(rng.permutation(items)[:MOST])
    chosen = np.array([rng.choice(mates[int(c)]) for c in target.concept[items]], dtype=np.int64)
    return Pairs(chosen, items, (target.concept if by_class else target.group)[items])
