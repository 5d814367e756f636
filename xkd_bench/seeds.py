"""Seeds by purpose: each use of randomness has a stream of its own, so that a new one never shifts the others."""

import hashlib
from collections.abc import Sequence

from xkd_bench.errors import UsageError


def stream(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose of one run, e.g. `stream(0, "labels", 3)`.

    The same everywhere and for ever: it is the head of a sha256 of the seed and the purpose, not Python's hash.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


PURPOSES: dict[str, tuple[object, ...]] = {
    "batches": (0,),  # which items meet in a batch of distillation, and with which source items: one an epoch
    "pair-fraction": (),  # which pairs a fraction of them holds
    "shuffled-pairs": (),  # whose partners an item gets where pairs are shuffled
    "labels": (0,),  # which items are labelled: one a draw
    "student": (),  # initial weights of the student
    "teacher": (),  # initial weights of a teacher that is made in the run
    "method": (),  # initial weights and memories of what a method adds to the student
    "head": (None, 0),  # of a linear head initial weights, batches and steps: one a number of labels and draw
    "fine-tune": (None, 0),  # the same of fine-tuning
    "pretrain": (),  # augmentation and steps of the teacher's training
    "teacher-batches": (),  # batches of a dense teacher's training
    "train": (),  # augmentation and steps of distillation; what a loss draws comes from here too
}
"""The streams of a run, with the numbers of the first of its kind. A split is drawn by its task, from the seed itself
or as it was published. From a stream that is handed on come streams for each epoch (`epoch`, `order`)."""


def streams(seed: int) -> dict[str, int]:
    """The (first) seed of each purpose of a run: of `labels/0` it is stream(seed, "labels", 0)."""
    return {"/".join(map(str, (name, *first))): stream(seed, name, *first) for name, first in PURPOSES.items()}


def seed_list(given: int | Sequence[int]) -> list[int]:
    """The seeds that are meant: 0 to given - 1 for a number, else those given. UsageError if they are none."""
    seeds = list(range(given)) if isinstance(given, int) else list(given)
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError("seeds are 0 or more, at least one, without repeats")
    return seeds
