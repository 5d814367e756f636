"""Standard errors of least squares when rows of a cluster depend on each other, and clusters are few."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xkd_bench.analysis.intervals import Floats


def robust(x: Floats, residual: Floats, clusters: ArrayLike, column: int = 0) -> tuple[float, float]:
    """Standard error of one coefficient, and the degrees of freedom of its t.

    CR2: residuals of a cluster are multiplied by (I - H_gg)^(-1/2), so that the error is unbiased when rows are
    independent and of one variance, however few clusters there are. Degrees of freedom: Satterthwaite's under that
    same working model; they fall where few clusters carry the slope. Bell and McCaffrey, Survey Methodology 28 (2002)
    169-181; Pustejovsky and Tipton, J. Bus. Econ. Stat. 36 (2018) 672-683. The usual sandwich (CR1, t on clusters - 1)
    rejects a true null far more often than it says where few clusters carry the slope: tests measure both.

    x: [n, k] of full rank; residual: [n]; clusters: [n] labels, any of which may cross intercepts. With each row a
    cluster it is HC2. Columns that are constant within clusters and 0 elsewhere make I - H_gg singular: its
    Moore-Penrose root is taken, which is the same as absorbing them first.
    """
    inverse: Floats = np.asarray(np.linalg.pinv(x.T @ x), dtype=np.float64)
    weight: Floats = x @ inverse[:, column]  # the coefficient is weight · y
    loads = []
    for members in _members(clusters):
        hat = x[members] @ inverse @ x[members].T
        load: Floats = _inverse_root(np.eye(len(members)) - hat) @ weight[members]
        loads.append((members, load))
    variance = sum(float(load @ residual[members]) ** 2 for members, load in loads)
    # The estimate is a quadratic form of errors ε: Σ_g (p_g · ε)², p_g = (I - H)[:, g] load_g.
    p = np.stack([_moved(x, inverse, members, load) for members, load in loads])
    gram = p @ p.T
    total, square = float(np.trace(gram)), float((gram**2).sum())
    return float(np.sqrt(variance)), total**2 / square if square > 0 else 0.0


def _members(clusters: ArrayLike) -> list[np.ndarray]:
    codes = np.unique(np.asarray(clusters), return_inverse=True)[1]
    return [np.flatnonzero(codes == code) for code in range(int(codes.max()) + 1)]


def _moved(x: Floats, inverse: Floats, members: np.ndarray, load: Floats) -> Floats:
    out: Floats = -x @ (inverse @ (x[members].T @ load))
    out[members] += load
    return out


def _inverse_root(matrix: Floats) -> Floats:
    """The Moore-Penrose inverse of the symmetric root."""
    values, vectors = np.linalg.eigh(matrix)
    roots = np.where(values > 1e-9, 1 / np.sqrt(np.maximum(values, 1e-9)), 0.0)
    return (vectors * roots) @ vectors.T
