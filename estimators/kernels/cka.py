"""HSIC and centred kernel alignment with uncertainty by groups, in memory O(d^2) or O(n) plus one block."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch

from ..estimate import Estimate, TestResult, plain, undefined
from ..inputs import Array, Groups, IntArray, Seed, as_generator, as_groups, as_pairs, check_confidence
from ..resampling import jackknife_blocks, jackknife_interval, permutation_p_value, permute_groups
from .gram_sums import gram_sums
from .kernel import Kernel, KernelLike, as_kernel, bandwidth, gram
from .moments import LinearMoments, linear_moments

Interval = Literal["jackknife"]
_BLOCKS = 20
Triple = tuple[float, float, float]


def cka(
    source: Array,
    target: Array,
    *,
    kernel: KernelLike = "linear",
    target_kernel: KernelLike | None = None,
    debiased: bool = True,
    groups: Groups | None = None,
    interval: Interval | None = "jackknife",
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Centred kernel alignment ``HSIC(K, L) / sqrt(HSIC(K, K) HSIC(L, L))`` of paired representations [1].

    K and L are the Gram matrices of the rows of source and target. ``debiased`` uses the unbiased HSIC [2]; otherwise
    ``tr(K H L H) / (n - 1)^2``, whose CKA tends to 1 as n / d falls, whatever the data. Linear kernels with
    d < n take three products of d x d moments, O(n d^2); the others blocks of Gram rows, O(n^2 d) time and O(n) memory.

    Args:
        source, target: pairs, [n, d_s] and [n, d_t]; widths may differ. numpy or torch, CPU or GPU; sums are float64.
        kernel: a name or a `Kernel`; `target_kernel` for the other side, the same when not given.
        debiased: see above.
        groups: one label per pair. The interval leaves out whole groups; the value itself is over pairs.
        interval: ``"jackknife"``: Student interval from 20 blocks of groups, each left out once, bandwidths held fixed
            (asymptotic; near a true value of 0 use `hsic_test`). ``None``: value only.
        seed: integer or numpy Generator; deals groups to blocks.

    Returns:
        A ``plug-in``, no unit. Debiased values may be negative. NaN with a note where an HSIC of a side with itself
        is not positive: constant features, or, debiased, too few rows.

    Degenerate input: constant features: NaN with a note. d > n is fine. Duplicated rows count as rows: give groups.
    One group only: value without interval. NaN, mismatched pairs, n < 4 (n < 2 when biased): ValueError.

    [1] Kornblith, Norouzi, Lee, Hinton (2019). Similarity of neural network representations revisited.
    [2] Song, Smola, Gretton, Bedo, Borgwardt (2012). Feature selection via dependence maximization.

    >>> import numpy as np
    >>> from estimators import cka
    >>> x = np.random.default_rng(0).normal(size=(100, 5))
    >>> rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(5, 5)))[0]
    >>> round(cka(x, 3.0 * x @ rotation + 1.0).value, 12)
    1.0
    """
    k = as_kernel(kernel)
    name = f"{'cka_debiased' if debiased else 'cka_biased'}[{_title(k, target_kernel)}]"
    triples, n, units = _triples(source, target, k, target_kernel, debiased, groups, interval, seed)
    reason = _undefined(triples[0], debiased)
    if reason:
        return undefined(name, n, reason)
    return _estimate(_ratio, triples, confidence, units if triples[1:] else n, name)


def hsic(
    source: Array,
    target: Array,
    *,
    kernel: KernelLike = "linear",
    target_kernel: KernelLike | None = None,
    unbiased: bool = True,
    groups: Groups | None = None,
    interval: Interval | None = "jackknife",
    confidence: float = 0.95,
    seed: Seed = 0,
) -> Estimate:
    """Hilbert-Schmidt independence criterion of paired representations [1].

    Biased: ``tr(K H L H) / (n - 1)^2``. Unbiased, with zero-diagonal K~ and L~ [2]:
    ``(tr(K~ L~) + 1'K~1 1'L~1 / ((n-1)(n-2)) - 2 1'K~L~1 / (n-2)) / (n (n-3))``.

    Args: as for `cka`.

    Returns:
        A ``plug-in`` in the product of both kernels' units (for linear kernels: squared features of both). 0 in the
        population iff independent, for rbf and Laplace kernels. Unbiased values may be negative.

    Degenerate input: as for `cka`, except that constant features give 0.

    [1] Gretton, Bousquet, Smola, Schoelkopf (2005). Measuring statistical dependence with Hilbert-Schmidt norms.
    [2] Song et al. (2012). Feature selection via dependence maximization.

    >>> import numpy as np
    >>> from estimators import hsic
    >>> x = np.random.default_rng(0).normal(size=(200, 3))
    >>> hsic(x, x).value > 2.0  # population: |I_3|_F^2 = 3
    True
    """
    k = as_kernel(kernel)
    name = f"{'hsic_unbiased' if unbiased else 'hsic_biased'}[{_title(k, target_kernel)}]"
    triples, n, units = _triples(source, target, k, target_kernel, unbiased, groups, interval, seed, own=False)
    return _estimate(lambda t: t[0], triples, confidence, units if triples[1:] else n, name)


def hsic_test(
    source: Array,
    target: Array,
    *,
    kernel: KernelLike = "rbf",
    target_kernel: KernelLike | None = None,
    permutations: int = 200,
    groups: Groups | None = None,
    seed: Seed = 0,
) -> TestResult:
    """Permutation test of independence between paired representations, statistic the unbiased HSIC.

    Pairs are broken by moving whole groups of target rows to groups of the same size; under independence between
    groups all such orders are equally likely, so the p-value is exact for every n.

    Args: as for `hsic`; `permutations` >= 1. Holds both n x n Gram matrices: O(n^2) memory.

    Returns:
        A `TestResult`; `statistic` carries no interval.

    Degenerate input: constant features give p = 1. One group only (nothing to permute), NaN, mismatched pairs, n < 4:
    ValueError.

    >>> import numpy as np
    >>> from estimators import hsic_test
    >>> x = np.random.default_rng(0).normal(size=(60, 2))
    >>> hsic_test(x, x**2, permutations=99).p_value
    0.01
    """
    rng = as_generator(seed)
    if permutations < 1:
        raise ValueError(f"permutations must be positive, got {permutations}")
    x, y = (t.double() for t in as_pairs(source, target, 4))
    codes = as_groups(groups, x.shape[0])
    kernels = as_kernel(kernel), as_kernel(target_kernel if target_kernel is not None else kernel)
    grams = []
    for side, chosen in zip((x, y), kernels, strict=True):
        centred = side - side.mean(0)
        grams.append(gram(chosen, centred, centred, bandwidth(chosen, centred)).fill_diagonal_(0.0))
    k, l = grams  # noqa: E741
    n, row_sums = x.shape[0], (k.sum(1), l.sum(1))

    def statistic(order: IntArray) -> float:
        index = torch.from_numpy(order).to(x.device)
        trace = (k * l[index][:, index]).sum()
        cross = row_sums[0] @ row_sums[1][index]
        total = trace + row_sums[0].sum() * row_sums[1].sum() / ((n - 1) * (n - 2)) - 2.0 * cross / (n - 2)
        return float(total / (n * (n - 3)))

    observed = statistic(np.arange(n))
    null = np.array([statistic(permute_groups(codes, rng)) for _ in range(permutations)])
    scale = float(k.abs().mean() * l.abs().mean())
    estimate = plain(observed, int(np.unique(codes).size), f"hsic_unbiased[{_title(kernels[0], kernels[1])}]")
    return TestResult(estimate, permutation_p_value(observed, null, scale), "permutation", "independence", permutations)


def _title(kernel: Kernel, other: KernelLike | None) -> str:
    second = kernel if other is None else as_kernel(other)
    return kernel.name if second.name == kernel.name else f"{kernel.name} x {second.name}"


def _ratio(t: Triple) -> float:
    return t[0] / math.sqrt(t[1] * t[2]) if t[1] > 0 and t[2] > 0 else math.nan


def _undefined(t: Triple, debiased: bool) -> str:
    for side, value in (("source", t[1]), ("target", t[2])):
        if not value > 0:
            return f"HSIC of {side} with itself is {value:.3g}: " + (
                "constant or too few rows" if debiased else "constant"
            )
    return ""


def _estimate(
    value_of: Callable[[Triple], float], triples: list[Triple], confidence: float, n: int, name: str
) -> Estimate:
    check_confidence(confidence)
    value = value_of(triples[0])
    low, high = jackknife_interval(value, [value_of(t) for t in triples[1:]], confidence)
    if not (math.isfinite(low) and math.isfinite(high)):
        return plain(value, n, name)
    return Estimate(value, low, high, confidence, n, "plug-in", name)


def _triples(
    source: Array,
    target: Array,
    kernel: Kernel,
    target_kernel: KernelLike | None,
    debiased: bool,
    groups: Groups | None,
    interval: Interval | None,
    seed: Seed,
    own: bool = True,
) -> tuple[list[Triple], int, int]:
    """HSIC triples: of all rows, then with each jackknife block left out; the number of rows and of groups.

    own: whether the HSIC of each side with itself is needed, the second and third of a triple."""
    if interval not in ("jackknife", None):
        raise ValueError(f"interval must be 'jackknife' or None, got {interval!r}")
    x, y = as_pairs(source, target, 4 if debiased else 2)
    other = kernel if target_kernel is None else as_kernel(target_kernel)
    codes = as_groups(groups, x.shape[0])
    units = int(np.unique(codes).size)
    blocks = np.zeros(x.shape[0], np.int64)
    if interval:
        blocks = jackknife_blocks(codes, _BLOCKS, as_generator(seed))
    count = int(blocks.max()) + 1
    if kernel.name == other.name == "linear" and max(x.shape[1], y.shape[1]) < x.shape[0]:
        triples = _linear_triples(x, y, debiased, blocks, count)
    else:
        sums = gram_sums(x, y, kernel, other, blocks, own)
        left_out = range(count) if count > 1 else range(0)
        triples = [sums.triple(debiased), *(sums.triple(debiased, b) for b in left_out)]
    scale = [_noise_floor(x, kernel), _noise_floor(y, other)]
    return [_floored(t, scale) for t in triples], x.shape[0], units


def _linear_triples(x: torch.Tensor, y: torch.Tensor, debiased: bool, blocks: IntArray, count: int) -> list[Triple]:
    # Any fixed offset gives the same value; one near the mean keeps cancellation small. Its own rounding is harmless.
    offsets = _near_mean(x), _near_mean(y)
    if count == 1:
        return [linear_moments(x, y, *offsets).triple(debiased)]
    parts: list[LinearMoments] = []
    for b in range(count):
        rows = torch.from_numpy(np.flatnonzero(blocks == b)).to(x.device)
        parts.append(linear_moments(x[rows], y[rows], *offsets))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return [total.triple(debiased), *((total - part).triple(debiased) for part in parts)]


def _near_mean(x: torch.Tensor) -> torch.Tensor:
    """Column means in the precision of x (mixed-precision sums are many times slower), in float64 if that overflows."""
    mean = x.mean(0)
    return (mean if bool(torch.isfinite(mean).all()) else x.mean(0, dtype=torch.float64)).double()


def _noise_floor(x: torch.Tensor, kernel: Kernel) -> float:
    """Self-HSIC below which there is only the rounding of constant features: (1e-14 of the raw power)^2, or 1e-13."""
    if kernel.name != "linear":
        return 1e-13  # rounding of sums of kernel values near 1
    norm = float(torch.linalg.vector_norm(x))
    power = (norm if math.isfinite(norm) else float(torch.linalg.vector_norm(x, dtype=torch.float64))) ** 2
    return (1e-14 * power / x.shape[0]) ** 2


def _floored(t: Triple, floor: list[float]) -> Triple:
    return (t[0], t[1] if abs(t[1]) > floor[0] else 0.0, t[2] if abs(t[2]) > floor[1] else 0.0)
