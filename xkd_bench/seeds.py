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


def seed_list(given: int | Sequence[int]) -> list[int]:
    """The seeds that are meant: 0 to given - 1 for a number, else those given. UsageError if they are none."""
    seeds = list(range(given)) if isinstance(given, int) else list(given)
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError("seeds are 0 or more, at least one, without repeats")
    return seeds
