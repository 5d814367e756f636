"""CKA of data that come in batches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..estimate import Estimate, plain, undefined
from ..inputs import Array, Groups, Seed, as_generator, as_groups, as_pairs
from .cka import _ratio, _undefined
from .gram_sums import gram_sums
from .kernel import Kernel, KernelLike, as_kernel, bandwidth
from .moments import LinearMoments, linear_moments


class StreamingCKA:
    """Linear CKA of a stream of paired batches: the *exact* full-batch value in O(d^2) memory, whatever the batches.

    The moments of `estimators.kernels.moments` add up, so the order and size of batches do not matter (to rounding), a
    batch may have one row, and streams of several processes can be merged. There is nothing to average and no bias.

    Args:
        debiased: as for `estimators.cka`.

    Degenerate input: as for `cka`; `estimate` before 4 rows (2 when biased): ValueError.

    [1] Song et al. (2012). Feature selection via dependence maximization. The moment form is [DERIVED].

    >>> import numpy as np
    >>> from estimators import StreamingCKA, cka
    >>> x = np.random.default_rng(0).normal(size=(90, 4))
    >>> stream = StreamingCKA()
    >>> for part in np.split(x, 9):
    ...     stream.update(part, part**3)
    >>> abs(stream.estimate().value - cka(x, x**3).value) < 1e-12
    True
    """

    def __init__(self, debiased: bool = True) -> None:
        self.debiased = debiased
        self._moments: LinearMoments | None = None
        self._offsets: tuple[torch.Tensor, torch.Tensor] | None = None
        self._power = np.zeros(2)

    def update(self, source: Array, target: Array) -> None:
        """Add the pairs of one batch, [b, d_s] and [b, d_t].

        Raises:
            ValueError: mismatched pairs, values that are not finite, or widths that change.
        """
        x, y = as_pairs(source, target)
        if self._offsets is None:
            # Any fixed offset gives the same value; a mean of the data keeps cancellation small.
            self._offsets = x.mean(0, dtype=torch.float64), y.mean(0, dtype=torch.float64)
        for side, known in zip((x, y), self._offsets, strict=True):
            if side.shape[1] != known.numel():
                raise ValueError(f"this stream has {known.numel()} columns, the batch {side.shape[1]}")
        batch = linear_moments(x, y, *self._offsets)
        self._power += [float(t.square().sum(dtype=torch.float64)) for t in (x, y)]
        self._moments = batch if self._moments is None else self._moments + batch

    def estimate(self) -> Estimate:
        """The value over all rows seen: a ``plug-in`` without interval."""
        need = 4 if self.debiased else 2
        if self._moments is None or self._moments.n < need:
            raise ValueError(f"needs at least {need} rows, got {self._moments.n if self._moments else 0}")
        n = self._moments.n
        triple = self._moments.triple(self.debiased)
        floor = (1e-14 * self._power / n) ** 2
        triple = (triple[0], *(v if abs(v) > f else 0.0 for v, f in zip(triple[1:], floor, strict=True)))  # type: ignore[assignment]
        name = f"cka_{'debiased' if self.debiased else 'biased'}[linear, stream]"
        reason = _undefined(triple, self.debiased)
        return undefined(name, n, reason) if reason else plain(_ratio(triple), n, name)


def _with_bandwidth(kernel: Kernel, x: torch.Tensor) -> Kernel:
    """The same kernel with the bandwidth of these rows written in."""
    if kernel.name == "linear" or kernel.bandwidth is not None:
        return kernel
    h = float(bandwidth(kernel, x))
    return replace(kernel, bandwidth=h) if h > 0 else kernel


def cka_minibatch(
    source: Array,
    target: Array,
    *,
    kernel: KernelLike = "linear",
    target_kernel: KernelLike | None = None,
    batch_size: int = 256,
    passes: int = 1,
    groups: Groups | None = None,
    seed: Seed = 0,
) -> Estimate:
    """Debiased CKA from random mini-batches: the ratio of *averaged* unbiased HSICs [1].

    Each of the three averages equals the full-batch unbiased HSIC in expectation over batches, for any batch size >= 4,
    because an unbiased estimate on a random subset of rows has the full value as its mean. The ratio then differs from
    the full-batch debiased CKA by noise only, which falls with the number of batches. Averaging the CKA of batches,
    by contrast, is biased at every number of batches. For kernels whose n x n work is too much; for the linear kernel
    `StreamingCKA` is exact at no greater cost.

    Args:
        source, target, kernel, target_kernel: as for `cka`. Data-driven bandwidths are those of all rows.
        batch_size: rows in a batch, at least 4 and at most n; rows left over are not used in that pass.
        passes: times the rows are shuffled and cut into batches.
        groups: not used for the value (which is over pairs); checked, and counted in `n`.
        seed: integer or numpy Generator; shuffles.

    Returns:
        A ``plug-in`` without interval. NaN with a note where an averaged HSIC of a side with itself is not positive.

    Degenerate input: as for `cka`.

    [1] Nguyen, Raghu, Kornblith (2021). Do wide and deep networks learn the same things?

    >>> import numpy as np
    >>> from estimators import cka_minibatch
    >>> x = np.random.default_rng(0).normal(size=(512, 4))
    >>> round(cka_minibatch(x, 2 * x, batch_size=64).value, 6)
    1.0
    """
    x, y = (t.double() for t in as_pairs(source, target, 4))
    n, rng = x.shape[0], as_generator(seed)
    if not 4 <= batch_size <= n or passes < 1:
        raise ValueError(f"batch_size must lie in [4, n = {n}] and passes be positive, got {batch_size} and {passes}")
    units = int(np.unique(as_groups(groups, n)).size)
    kernels = [as_kernel(kernel), as_kernel(kernel if target_kernel is None else target_kernel)]
    fixed = [_with_bandwidth(k, side) for k, side in zip(kernels, (x, y), strict=True)]
    triples = []
    for _ in range(passes):
        order = rng.permutation(n)
        for start in range(0, n - batch_size + 1, batch_size):
            rows = torch.from_numpy(order[start : start + batch_size]).to(x.device)
            sums = gram_sums(x[rows], y[rows], fixed[0], fixed[1], np.zeros(batch_size, np.int64))
            triples.append(sums.triple(debiased=True))
    mean = tuple(float(v) for v in np.mean(triples, axis=0))
    triple = (mean[0], mean[1], mean[2])
    name = f"cka_minibatch[{kernels[0].name}, {len(triples)} x {batch_size}]"
    reason = _undefined(triple, debiased=True)
    return undefined(name, units, reason) if reason else plain(_ratio(triple), units, name)
