"""Dimensions and ranks of features, and the bracketing proxy that is built on them: covariates, not bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from scipy import stats

from ..estimate import Estimate, clipped, plain, undefined
from ..inputs import Array, FloatArray, Groups, Seed, as_generator, as_groups, as_matrix, check_confidence
from ..resampling import jackknife_blocks, jackknife_interval

_BLOCKS = 20
_BLOCK_BYTES = 2**24
_CANDIDATES = 8


def effective_rank(
    features: Array, *, centre: bool = True, groups: Groups | None = None, confidence: float = 0.95, seed: Seed = 0
) -> Estimate:
    """Effective rank ``exp(H(lambda / sum lambda))``, lambda the eigenvalues of the covariance, H in nats [1].

    Between 1 and min(n - 1, d). The sample's value is too small by about d / n of itself where all directions matter;
    compare at equal n.

    Args:
        features: [n, d]; numpy or torch, CPU or GPU. Moments are float64.
        centre: subtract the mean first.
        groups: one label per row; the interval leaves out whole groups.
        seed: integer or numpy Generator; deals groups to the jackknife's 20 blocks.

    Returns:
        A ``plug-in``, a number of directions, with a jackknife interval (sampling spread, not bias).

    Degenerate input: constant features: NaN with a note. d > n is fine. One group only: no interval. NaN, n < 4:
    ValueError.

    [1] Roy, Vetterli (2007). The effective rank.

    >>> import numpy as np
    >>> from estimators import effective_rank
    >>> round(effective_rank(np.concatenate([np.eye(3), -np.eye(3)])).value, 12)
    3.0
    """

    def value(eigenvalues: FloatArray) -> float:
        p = eigenvalues / eigenvalues.sum()
        p = p[p > 0]
        return math.exp(-float((p * np.log(p)).sum()))

    return _spectral(value, features, centre, groups, confidence, seed, "effective_rank")


def stable_rank(
    features: Array, *, centre: bool = True, groups: Groups | None = None, confidence: float = 0.95, seed: Seed = 0
) -> Estimate:
    """Stable rank ``trace / largest eigenvalue`` of the covariance, = ``|Z|_F^2 / |Z|_2^2`` [STD].

    Args, returns, degenerate input: as for `effective_rank`. Between 1 and min(n - 1, d); never above the rank.

    [1] Rudelson, Vershynin (2007). Sampling from large matrices.

    >>> import numpy as np
    >>> from estimators import stable_rank
    >>> round(stable_rank(np.concatenate([np.diag([2.0, 1.0]), -np.diag([2.0, 1.0])])).value, 12)
    1.25
    """

    def value(eigenvalues: FloatArray) -> float:
        return float(eigenvalues.sum() / eigenvalues.max())

    return _spectral(value, features, centre, groups, confidence, seed, "stable_rank")


def _spectral(
    value_of: Callable[[FloatArray], float],
    features: Array,
    centre: bool,
    groups: Groups | None,
    confidence: float,
    seed: Seed,
    name: str,
) -> Estimate:
    check_confidence(confidence)
    z = as_matrix(features, "features", 4)
    codes = as_groups(groups, z.shape[0])
    units = int(np.unique(codes).size)
    raw = float(torch.linalg.vector_norm(z, dtype=torch.float64))
    x = z.double() - z.mean(0, dtype=torch.float64) if centre else z.double()
    if float(torch.linalg.vector_norm(x)) <= 1e-14 * raw or raw == 0.0:
        return undefined(name, units, "constant features have no spread")
    value = value_of(_eigenvalues(x))
    blocks = torch.from_numpy(jackknife_blocks(codes, _BLOCKS, as_generator(seed))).to(x.device)
    left_out = []
    for b in range(int(blocks.max()) + 1 if units > 1 else 0):
        rest = x[blocks != b]
        rest = rest - rest.mean(0) if centre else rest
        left_out.append(value_of(_eigenvalues(rest)) if bool(rest.any()) else math.nan)
    low, high = jackknife_interval(value, left_out, confidence)
    if not (math.isfinite(low) and math.isfinite(high)):
        return plain(value, units, name)
    low, high = max(low, 1.0), high
    return Estimate(clipped(value, low, high), low, high, confidence, units, "plug-in", name)


def _eigenvalues(x: torch.Tensor) -> FloatArray:
    small = x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T
    return torch.linalg.eigvalsh(small).clamp_min(0.0).cpu().numpy()


def twonn_dimension(
    features: Array, *, discard: float = 0.1, groups: Groups | None = None, confidence: float = 0.95
) -> Estimate:
    """TwoNN intrinsic dimension from the ratio of distances to the second and first neighbour [1].

    Where density is constant up to the second neighbour, ``mu = r_2 / r_1`` is Pareto with exponent the dimension. The
    largest `discard` share of ratios, most hurt by curvature and uneven density, is censored: with m ratios kept of n,
    ``d = m / (sum_kept log mu + (n - m) log mu_max_kept)``, the maximum likelihood of the censored law [DERIVED], and
    ``2 m d_true / d`` is chi-squared with 2m degrees, which gives the interval.

    Args:
        features: [n, d].
        discard: share to censor, in [0, 1).
        groups: one label per row; neighbours are sought in other groups only.

    Returns:
        A ``plug-in``, a number of dimensions. Its interval assumes the Pareto law and independent ratios; rows share
        neighbours, so it is somewhat too narrow, and in high dimension (above about 20) the value is too low.

    Degenerate input: rows that have a duplicate in another group carry no ratio and are left out, with a note; constant
    features: NaN with a note. NaN, n < 4, fewer than 3 groups: ValueError.

    [1] Facco, d'Errico, Rodriguez, Laio (2017). Estimating the intrinsic dimension of datasets by a minimal
    neighborhood information.

    >>> import numpy as np
    >>> from estimators import twonn_dimension
    >>> x = np.random.default_rng(0).uniform(size=(1000, 2)) @ np.random.default_rng(1).normal(size=(2, 10))
    >>> round(twonn_dimension(x).value)
    2
    """
    alpha = check_confidence(confidence)
    if not 0.0 <= discard < 1.0:
        raise ValueError(f"discard must lie in [0, 1), got {discard}")
    z = as_matrix(features, "features", 4).double()
    codes = as_groups(groups, z.shape[0])
    if np.unique(codes).size < 3:
        raise ValueError("needs at least 3 groups: a row has two neighbours in others")
    first, second = _two_nearest(z - z.mean(0), codes)
    spread = float(torch.linalg.vector_norm(z - z.mean(0))) / math.sqrt(z.shape[0])
    usable = first > 1e-9 * spread if spread > 1e-14 * float(torch.linalg.vector_norm(z)) else first < 0
    logs = np.sort(np.log(second[usable] / first[usable]))
    n, title = z.shape[0], "twonn_dimension"
    kept = logs.size - int(discard * logs.size)
    if logs.size < 2 or logs[kept - 1] <= 0.0:
        return undefined(title, n, "duplicates or equal distances leave no ratio")
    value = kept / float(logs[:kept].sum() + (logs.size - kept) * logs[kept - 1])
    low, high = (value * stats.chi2.ppf(q, 2 * kept) / (2 * kept) for q in (alpha / 2, 1 - alpha / 2))
    note = f"{n - logs.size} rows with duplicates left out" if logs.size < n else ""
    return Estimate(value, float(low), float(high), confidence, logs.size, "plug-in", title, note)


def _two_nearest(z: torch.Tensor, codes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[FloatArray, FloatArray]:
    labels = torch.from_numpy(codes).to(z.device)
    squares = (z * z).sum(1)
    few = min(_CANDIDATES, z.shape[0])
    parts = []
    step = max(1, _BLOCK_BYTES // (8 * 3 * z.shape[0]))
    for start in range(0, z.shape[0], step):
        rows = slice(start, start + step)
        rough = squares[rows, None] + squares[None, :] - 2.0 * z[rows] @ z.T
        rough.masked_fill_(labels[rows, None] == labels[None, :], torch.inf)
        found = rough.topk(few, dim=1, largest=False)
        # Near neighbours drown in the cancellation of expanded squares: the candidates' distances are taken anew.
        exact = torch.linalg.vector_norm(z[rows, None, :] - z[found.indices], dim=2)
        exact.masked_fill_(torch.isinf(found.values), torch.inf)
        parts.append(exact.topk(2, dim=1, largest=False, sorted=True).values)
    nearest = torch.cat(parts).cpu().numpy()
    return nearest[:, 0], nearest[:, 1]


def bracketing_proxy(
    features: Array,
    *,
    samples: int | None = None,
    dimension: Literal["effective_rank", "stable_rank", "twonn"] = "effective_rank",
) -> Estimate:
    """``d_eff log N``: read in place of a log bracketing number, as a covariate [DERIVED].

    The parametric bound ``p log(1 + 8 M R N) + log(1 / delta)`` with p the parameters of a network is vacuous (for a
    ResNet-50 its square-root term is 59, for a bound on a probability); this counts the directions that the features
    use instead. It bounds nothing.

    Args:
        features: [n, d]. samples: N; the rows of features when not given.
        dimension: which d_eff.

    Returns:
        A ``proxy`` without range.

    Degenerate input: as for the dimension: NaN with a note where that is undefined. samples < 1: ValueError.

    >>> import numpy as np
    >>> import math
    >>> from estimators import bracketing_proxy
    >>> round(bracketing_proxy(np.concatenate([np.eye(3), -np.eye(3)])).value, 6) == round(3 * math.log(6), 6)
    True
    """
    size = samples if samples is not None else features.shape[0]
    if size < 1:
        raise ValueError(f"samples must be positive, got {size}")
    if dimension not in ("effective_rank", "stable_rank", "twonn"):
        raise ValueError(f"dimension must be effective_rank, stable_rank or twonn, got {dimension!r}")
    one = {"effective_rank": effective_rank, "stable_rank": stable_rank, "twonn": twonn_dimension}[dimension]
    inner: Estimate = one(features)  # type: ignore[operator]
    title = f"bracketing_proxy[{dimension}]"
    if math.isnan(inner.value):
        return undefined(title, inner.n, inner.note, "proxy")
    return plain(inner.value * math.log(size), inner.n, title, "proxy")
