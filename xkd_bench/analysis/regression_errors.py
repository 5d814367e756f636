"""A straight line when both coordinates are estimates with known standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xkd_bench.analysis.intervals import Floats

ROUNDS, CLOSE = 200, 1e-10


@dataclass(frozen=True)
class Line:
    """slope and its standard error; chi2 on df degrees of freedom; scatter: deviation of y beyond its errors."""

    slope: float
    se: float
    chi2: float
    df: int
    scatter: float
    converged: bool


def york(
    x: ArrayLike, y: ArrayLike, x_se: ArrayLike, y_se: ArrayLike, groups: ArrayLike | None = None, *,
    scatter: bool = True,
) -> Line:  # fmt: skip
    """Least squares in both coordinates, with an intercept for each group.

    York et al., Am. J. Phys. 72 (2004) 367-375, eqs. 13a-13d, errors of x and y uncorrelated: weights
    W = 1 / (y_se² + slope² x_se²), iterated with the slope; means are taken in each group, which is York's line for
    one group. With `scatter`, points need not lie on a line but for their errors: a variance s² is added to y_se²
    so that χ² equals its degrees of freedom (Tremaine et al., Astrophys. J. 574 (2002) 740-753, section 3); without
    it, errors are taken at their word. x, y, x_se, y_se: [n]; groups: [n] labels.
    """
    x, y, sx, sy = (np.asarray(v, dtype=float) for v in (x, y, x_se, y_se))
    codes = np.zeros(len(x), dtype=int) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    df = len(x) - int(codes.max()) - 2
    line = _fixed(x, y, sx, sy, codes, df)
    if not scatter or line.chi2 <= df or df < 1:
        return line
    low, high = 0.0, float(np.std(y)) * 2 + float(sy.max())
    for _ in range(60):  # bisection: χ² falls as the scatter grows
        middle = (low + high) / 2
        line = _fixed(x, y, sx, np.hypot(sy, middle), codes, df)
        low, high = (middle, high) if line.chi2 > df else (low, middle)
    return Line(line.slope, line.se, line.chi2, df, high, line.converged)


def _fixed(x: Floats, y: Floats, sx: Floats, sy: Floats, codes: NDArray[np.intp], df: int) -> Line:
    """York's iteration with these errors."""
    smallest = 1e-12 * max(float(np.std(y)), 1e-300)
    sy = np.maximum(sy, smallest)  # a point without any error would have infinite weight
    u, v = x - _means(x, np.ones_like(x), codes), y - _means(y, np.ones_like(y), codes)
    slope = float(u @ v / (u @ u))
    converged = False
    for _ in range(ROUNDS):
        w, u, v, adjusted = _parts(x, y, sx, sy, codes, slope)
        new = float((w * adjusted) @ v / ((w * adjusted) @ u))
        converged = abs(new - slope) <= CLOSE * max(1.0, abs(new))
        slope = new
        if converged:
            break
    w, u, v, adjusted = _parts(x, y, sx, sy, codes, slope)
    centre = adjusted - _means(adjusted, w, codes)
    chi2 = float((w * (v - slope * u) ** 2).sum())
    return Line(slope, sqrt(1 / float((w * centre**2).sum())), chi2, df, 0.0, converged)


def _parts(
    x: Floats, y: Floats, sx: Floats, sy: Floats, codes: NDArray[np.intp], slope: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """Weights, deviations from the groups' weighted means, and the adjusted deviation of x (York's β)."""
    w = 1 / (sy**2 + (slope * sx) ** 2)
    u, v = x - _means(x, w, codes), y - _means(y, w, codes)
    return w, u, v, w * (u * sy**2 + slope * v * sx**2)


def _means(values: Floats, w: Floats, codes: NDArray[np.intp]) -> Floats:
    """Weighted mean of each value's group."""
    return np.asarray((np.bincount(codes, w * values) / np.bincount(codes, w))[codes])
