"""Losses over many candidates in little memory: rows in chunks, whose similarities backward computes again."""

from collections.abc import Callable
from typing import TypeVar

from torch import Tensor
from torch.utils.checkpoint import checkpoint

T = TypeVar("T")

# Similarities of a chunk, where none is asked for: what a CPU's cache nearly holds (there chunks are faster than the
# whole: benchmarks/contrastive_memory.py), and 64 MB on a GPU, whose kernels want work.
AT_ONCE_CPU, AT_ONCE_GPU = 2**20, 2**24
FEWEST_ROWS = 128


def chunk_rows(anchors: Tensor, candidates: int, chunk: int | None) -> int:
    """Rows of a chunk for anchors: [n, d], each against so many candidates: `chunk` of them, or where it is None so
    many that few similarities, n x candidates, are one chunk."""
    if chunk is None:
        at_once = AT_ONCE_GPU if anchors.is_cuda else AT_ONCE_CPU
        chunk = max(FEWEST_ROWS, at_once // max(1, candidates))
    if chunk < 1:
        raise ValueError(f"a chunk has at least 1 row, got {chunk}")
    return chunk


def over_rows(function: Callable[[slice], T], n: int, chunk: int) -> list[T]:
    """function(rows) for successive chunks of n rows; what it returns are tensors.

    Of several chunks nothing else is kept: backward calls the function again. So the peak is a few times chunk x
    candidates rather than n x candidates, and values and gradients are the same up to round-off. What the function
    reads must not change before backward.
    """
    if chunk >= n:
        return [function(slice(0, n))]
    return [
        checkpoint(function, slice(start, min(start + chunk, n)), use_reentrant=False, preserve_rng_state=False)
        for start in range(0, n, chunk)
    ]
