"""Are the estimators as fast as those of other libraries? The same rows, the same value.

Debiased linear CKA against ckatorch and torch_cka (`estimator_speed` has its longer table), the unbiased squared MMD
against torchmetrics', mutual nearest neighbours against scikit-learn's search.

    python -m xkd_bench.benchmarks.estimators_bench [--quick]
"""

from __future__ import annotations

import numpy as np
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from estimators import Kernel, mmd2, mutual_knn
from xkd_bench.benchmarks import Options, Result
from xkd_bench.benchmarks.estimator_speed import bare_product, ckatorch_value, torch_cka_value
from xkd_bench.benchmarks.estimator_speed import ours as our_cka
from xkd_bench.benchmarks.peers import OURS, Case, Work, compare, installed, missing, shown, targets
from xkd_bench.benchmarks.timing import SPREAD

BARE = "the three products it needs, no CKA"
SEVERAL = {"ckatorch": 3.0, "torch_cka": 3.0}
"""Several times faster, as is held of CKA alone."""


def rows(n: int, d: int) -> tuple[Tensor, Tensor]:
    """Two related sets of features."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, d, generator=generator)
    return x, 0.5 * x + torch.randn(n, d, generator=generator)


def cka_case(n: int, d: int) -> Case:
    """CKA."""
    x, y = rows(n, d)
    works: dict[str, Work] = {OURS: lambda: our_cka(x, y), BARE: lambda: bare_product(x, y) * float("nan")}
    if installed("ckatorch"):
        works["ckatorch"] = lambda: ckatorch_value(x, y)
    if installed("torch_cka"):
        works["torch_cka"] = lambda: torch_cka_value(x, y)
    return Case(f"cka, {n:,} × {d}", works, 3, (BARE,))


def torchmetrics_mmd2(x: Tensor, y: Tensor, bandwidth: float) -> float:
    """torchmetrics' sum (of its kernel inception distance) over an RBF kernel, in float64 as ours."""
    from torchmetrics.image.kid import maximum_mean_discrepancy

    a, b = x.double(), y.double()
    xx, xy, yy = (torch.cdist(p, q).square().div(-2 * bandwidth**2).exp() for p, q in ((a, a), (a, b), (b, b)))
    return float(maximum_mean_discrepancy(xx, xy, yy))


def mmd_case(n: int, d: int) -> Case:
    """MMD with a fixed bandwidth."""
    x, y = rows(n, d)
    kernel = Kernel("rbf", bandwidth=d**0.5)
    works: dict[str, Work] = {
        OURS: lambda: mmd2(x, y, paired=False, kernel=kernel, interval=None).value,
        "torchmetrics": lambda: torchmetrics_mmd2(x, y, d**0.5),
    }
    return Case(f"mmd2, {n:,} × {d}", works, 5)


def scikit_knn(x: Tensor, y: Tensor, k: int) -> float:
    """scikit-learn's exact search by cosine, on both sides, and the share of neighbours in common."""
    found = []
    for z in (x, y):
        search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(z.numpy())
        found.append(search.kneighbors(return_distance=False))
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(*found, strict=True)]))


def knn_case(n: int, d: int, k: int = 10) -> Case:
    """Mutual nearest neighbours, the value alone: the peer has no range, so ours draws one resample for its own."""
    x, y = rows(n, d)
    works: dict[str, Work] = {
        OURS: lambda: mutual_knn(x, y, k=k, resamples=1).value,
        "scikit-learn": lambda: scikit_knn(x, y, k),
    }
    return Case(f"mutual_knn, {n:,} × {d}", works, 5)


def run(options: Options) -> Result:
    """Measure."""
    n, d = (200, 16) if options.quick else (2000, 512)
    frame = compare([cka_case(n, d), mmd_case(n, d), knn_case(n, d)], options)
    words = (
        "Each value once, float32 rows. CPU time, one thread, in turns; `times ours` is a contender's time over "
        f"ours in the same round, the median. {SPREAD} Peak: growth of the process's peak memory in the first call. "
        "Ours of mmd2 and mutual_knn is the value alone (no jackknife; 1 resample): the peers have no range."
    )
    notes = missing(("ckatorch", "torch_cka"))
    title = "Estimators against other libraries"
    return Result(title, words, frame, shown(frame), targets(frame, SEVERAL), None, notes)


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("estimators")
