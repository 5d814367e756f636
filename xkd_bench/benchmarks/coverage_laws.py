"""Pairs of laws whose distances are known, and draws of them: the ground under the coverage study."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from estimators import gaussian_shift, tv_gaussian_shift

CORRELATION = 0.9  # of Gaussian pairs
SHARED = 0.8  # chance that a pair of other laws has the same rank
GROUP_SIZE, GROUP_CORRELATION = 5, 0.8
_STUDENT = stats.t(df=2)  # infinite variance
_ALPHABET = 8
_BASE = np.array([0.1, 0.1, *[0.8 / 6] * 6])

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Drawn:
    """One replicate, and what is true of its laws."""

    source: Floats  # [n, d]
    target: Floats  # [n, d]
    groups: NDArray[np.int64] | None
    paired: bool
    law: str
    tv: float

    @property
    def d(self) -> int:
        """Columns."""
        return int(self.source.shape[1])

    @property
    def sigma(self) -> float:
        """Noise scale of the smoothed distance, fixed before any data: half the expected norm."""
        return 0.5 * float(np.sqrt(self.d))

    @property
    def shift(self) -> float:
        """How far the target's first coordinate is moved."""
        if self.law == "gaussian":
            return gaussian_shift(self.tv)
        return float(2.0 * _STUDENT.ppf((1.0 + self.tv) / 2.0)) if self.law == "student" else 0.0

    def smoothed_tv(self) -> float:
        """TV after noise of scale `sigma` on every coordinate."""
        if self.law == "gaussian":
            return tv_gaussian_shift(self.shift / np.sqrt(1.0 + self.sigma**2))
        return _smoothed(self.law, self.tv, self.sigma)


def target_letters(tv: float) -> Floats:
    """A law on 8 letters at that distance from the base law: mass moves from the last six to the first two."""
    return _BASE + tv * np.array([0.5, 0.5, *[-1 / 6] * 6])


def draw(law: str, d: int, tv: float, dependence: str, n: int, rng: np.random.Generator) -> Drawn:
    """n rows a side (n groups of 5 for `grouped`) of laws at distance `tv`."""
    if law == "gaussian":
        source, target, groups = _gaussian(d, tv, dependence, n, rng)
    else:
        source, target = _other(law, d, tv, dependence, n, rng)
        groups = None
    return Drawn(source, target, groups, dependence != "unpaired", law, tv)


def _gaussian(
    d: int, tv: float, dependence: str, n: int, rng: np.random.Generator
) -> tuple[Floats, Floats, NDArray[np.int64] | None]:
    groups = None
    if dependence == "grouped":  # rows of a group share most of themselves, and so do the members of a pair
        groups = np.repeat(np.arange(n), GROUP_SIZE)
        shared = np.sqrt(GROUP_CORRELATION) * rng.standard_normal((n, d))[groups]
        source, target = (
            shared + np.sqrt(1 - GROUP_CORRELATION) * rng.standard_normal((n * GROUP_SIZE, d)) for _ in range(2)
        )
    else:
        source, target = rng.standard_normal((n, d)), rng.standard_normal((n, d))
        if dependence == "paired":
            target = CORRELATION * source + np.sqrt(1 - CORRELATION**2) * target
    target[:, 0] += gaussian_shift(tv)
    return source, target, groups


def _other(law: str, d: int, tv: float, dependence: str, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    ranks, others = rng.random((n, d)), rng.random((n, d))
    if dependence == "paired":
        others = np.where(rng.random((n, 1)) < SHARED, ranks, others)
    if law == "student":
        source, target = _STUDENT.ppf(ranks), _STUDENT.ppf(others)
        target[:, 0] += float(2.0 * _STUDENT.ppf((1.0 + tv) / 2.0))
        return source, target
    if law == "discrete":
        return _letters(_BASE, ranks), _letters(target_letters(tv), others)
    raise ValueError(f"no law named {law!r}")


def _letters(law: Floats, ranks: Floats) -> Floats:
    letters: Floats = np.searchsorted(np.cumsum(law)[:-1], ranks, side="right").astype(np.float64)
    return letters


@lru_cache(maxsize=64)
def _smoothed(law: str, tv: float, sigma: float) -> float:
    """Half the integral of |p - q| after convolution, by quadrature on a fine grid (the other coordinates cancel)."""
    if law == "discrete":
        grid = np.linspace(-10 * sigma, _ALPHABET + 10 * sigma, 200_001)
        densities = stats.norm.pdf(grid[:, None], np.arange(_ALPHABET), sigma)
        return 0.5 * float(np.trapezoid(np.abs(densities @ (target_letters(tv) - _BASE)), grid))
    shift = float(2.0 * _STUDENT.ppf((1.0 + tv) / 2.0))
    # By symmetry and unimodality TV is the mass of the middle: 2 F(shift / 2) - 1, F smoothed.
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    mean: Callable[[float], float] = lambda x: float(weights @ _STUDENT.cdf(x - sigma * nodes) / weights.sum())  # noqa: E731
    return 2.0 * mean(shift / 2.0) - 1.0
