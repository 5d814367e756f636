"""Seeds by purpose: each use of randomness has a stream of its own, so that a new one never shifts the others."""

import hashlib


def stream(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose of one run, e.g. `stream(0, "labels", 3)`.

    The same everywhere and for ever: it is the head of a sha256 of the seed and the purpose, not Python's hash.
    """
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
