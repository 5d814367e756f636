"""Styles × concepts as images: rasterised once, then read from the cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xkd_bench.tasks._cache import Allocate, Array, cached, sha256
from xkd_bench.tasks._embedded import Style, archive
from xkd_bench.tasks._rasterise import rasterise, renderer
from xkd_bench.tasks.base import Index


@dataclass(frozen=True)
class Drawings:
    """Every drawing of `codes` in `styles`, style by style; a concept that a style lacks is simply absent.

    concept, style: [n] positions in the two lists that `draw` was given.
    """

    data: NDArray[np.uint8]
    concept: Index
    style: Index
    digest: str


def rows(styles: Sequence[Style], codes: Sequence[str]) -> list[tuple[int, int]]:
    """(style, concept) of every drawing there is."""
    return [(s, c) for s, style in enumerate(styles) for c, code in enumerate(codes) if code in style.drawings]


def draw(
    name: str,
    styles: Sequence[Style],
    codes: Sequence[str],
    size: int,
    channels: int,
    add: Callable[[int], None],
) -> Drawings:
    """All drawings at `size` pixels. add: told how many were drawn, as it goes (all at once if from the cache)."""
    where = rows(styles, codes)
    key = sha256(archive().digest, renderer(), [style.name for style in styles], list(codes), size, channels)
    shape = (len(where), channels, size, size)
    data, digest = drawn(name, key, lambda: [styles[s].svg(codes[c]) for s, c in where], shape, add)
    style, concept = np.array(where, np.int64).T
    return Drawings(data, concept, style, digest)


def drawn(
    name: str,
    key: str,
    documents: Callable[[], Sequence[str]],
    shape: tuple[int, ...],
    add: Callable[[int], None],
) -> tuple[Array, str]:
    """SVG documents as an array of this shape [n, channels, size, size], and its sha256.

    key: all that the pixels depend on. documents: called if they are not in the cache. add: as in `draw`.
    """
    told = 0

    def tell(n: int) -> None:
        nonlocal told
        told += n
        add(n)

    def build(allocate: Allocate) -> Array:
        return rasterise(documents(), allocate(shape), tell)

    data, digest = cached(f"{name}-{shape[-1]}", key, build)
    add(shape[0] - told)
    return data, digest
