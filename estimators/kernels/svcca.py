"""Singular vector canonical correlation analysis."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch

from ..estimate import Estimate, undefined
from ..inputs import Array, Groups, Seed, as_generator, as_groups, as_pairs, check_confidence
from ..resampling import jackknife_blocks, jackknife_interval, permute_groups

_BLOCKS = 20


def svcca(
    source: Array,
    target: Array,
    *,
    variance: float = 0.99,
    permutations: int = 20,
    groups: Groups | None = None,
    interval: Literal["jackknife"] | None = "jackknife",
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Mean canonical correlation of the leading singular subspaces that hold `variance` of each side [1].

    With U, V orthonormal bases ([n, p], [n, q]) of the centred sides' leading left singular vectors, the canonical
    correlations are the singular values of U'V, and the value is their mean over min(p, q).

    In-sample correlations are too large: for *independent* sides they are of order ``sqrt((p + q) / n)``, and 1 once
    p + q >= n. The note gives the mean over permuted pairs, against which to read the value.

    Args:
        source, target: pairs, [n, d_s] and [n, d_t]; widths may differ.
        variance: share of each side's variance to keep, in (0, 1].
        permutations: for the null in the note; 0 for none.
        interval: ``"jackknife"``: Student interval from 20 blocks of groups, at many times the cost of the value.
            ``None``: value only.
        groups: one label per pair: left out whole by the jackknife, moved whole by permutations.
        seed: integer or numpy Generator.

    Returns:
        A ``plug-in`` in [0, 1] with a jackknife interval over groups (sampling spread only: it does not remove the
        bias).

    Degenerate input: constant features, and p + q >= n (as with d > n), where the value would be 1 for any data: NaN
    with a note. NaN, mismatched pairs, n < 4: ValueError. One group only: ValueError.

    [1] Raghu, Gilmer, Yosinski, Sohl-Dickstein (2017). SVCCA.

    >>> import numpy as np
    >>> from estimators import svcca
    >>> x = np.random.default_rng(0).normal(size=(300, 4))
    >>> round(svcca(x, x @ np.diag([1.0, 2.0, 3.0, 4.0])).value, 6)
    1.0
    """
    check_confidence(confidence)
    if interval not in ("jackknife", None):
        raise ValueError(f"interval must be 'jackknife' or None, got {interval!r}")
    if not 0.0 < variance <= 1.0:
        raise ValueError(f"variance must lie in (0, 1], got {variance}")
    x, y = (t.double() for t in as_pairs(source, target, 4))
    codes, rng = as_groups(groups, x.shape[0]), as_generator(seed)
    units = int(np.unique(codes).size)
    if units < 2:
        raise ValueError("needs at least 2 groups, got 1")
    u, v = _basis(x, variance), _basis(y, variance)
    title = f"svcca[{u.shape[1]} x {v.shape[1]}]"
    if not (u.shape[1] and v.shape[1]):
        return undefined(title, units, "constant features have no directions")
    if u.shape[1] + v.shape[1] >= x.shape[0]:
        return undefined(title, units, f"{u.shape[1]} + {v.shape[1]} directions for {x.shape[0]} rows always correlate")
    value = _mean_correlation(u, v)
    low, high = -math.inf, math.inf
    if interval:
        blocks = jackknife_blocks(codes, _BLOCKS, rng)
        cross = u.T @ v
        parts = [torch.from_numpy(np.flatnonzero(blocks == b)).to(x.device) for b in range(int(blocks.max()) + 1)]
        low, high = jackknife_interval(value, [_without(u, v, cross, part) for part in parts], confidence)
    orders = [torch.from_numpy(permute_groups(codes, rng)).to(x.device) for _ in range(permutations)]
    note = ""
    if orders:
        note = f"permuted pairs: {np.mean([_mean_correlation(u, v[order]) for order in orders]):.3g}"
    if not (math.isfinite(low) and math.isfinite(high)):
        return Estimate(value, math.nan, math.nan, math.nan, units, "plug-in", title, note)
    return Estimate(value, min(low, value), max(high, value), confidence, units, "plug-in", title, note)


def _basis(x: torch.Tensor, variance: float) -> torch.Tensor:
    centred = x - x.mean(0)
    u, s, _ = torch.linalg.svd(centred, full_matrices=False)
    floor = 1e-12 * torch.linalg.vector_norm(x)
    energy = torch.where(s > floor, s, torch.zeros_like(s)) ** 2
    total = energy.sum()
    if not bool(total > 0):
        return u[:, :0]
    enough = int((energy.cumsum(0) < variance * total * (1 - 1e-12)).sum()) + 1
    return u[:, : min(enough, int((energy > 0).sum()))]


def _without(u: torch.Tensor, v: torch.Tensor, cross: torch.Tensor, rows: torch.Tensor) -> float:
    """The value with some rows left out, in the same subspaces: moments of the bases less those of the rows."""
    a, b = u[rows], v[rows]
    n = u.shape[0] - rows.numel()
    mean_a, mean_b = -a.sum(0) / n, -b.sum(0) / n  # columns of u and v sum to 0

    uu = torch.eye(u.shape[1], dtype=u.dtype, device=u.device) - a.T @ a - n * torch.outer(mean_a, mean_a)
    vv = torch.eye(v.shape[1], dtype=v.dtype, device=v.device) - b.T @ b - n * torch.outer(mean_b, mean_b)
    uv = cross - a.T @ b - n * torch.outer(mean_a, mean_b)
    return float(torch.linalg.svdvals(_whiten(uu) @ uv @ _whiten(vv).T).clamp(max=1.0).mean())


def _whiten(moment: torch.Tensor) -> torch.Tensor:
    """A matrix W with W M W' = I on the range of M; directions that vanished with the rows are dropped."""
    values, vectors = torch.linalg.eigh(moment)
    kept = values > 1e-10
    return (vectors[:, kept] / values[kept].sqrt()).T


def _mean_correlation(u: torch.Tensor, v: torch.Tensor) -> float:
    return float(torch.linalg.svdvals(u.T @ v).clamp(max=1.0).mean())
