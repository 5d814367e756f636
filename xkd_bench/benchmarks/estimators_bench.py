"""Are the estimators as fast as those of other libraries? The same rows, the same value.

Debiased linear CKA against ckatorch and torch_cka (`estimator_speed` has its longer table), HSIC against ckatorch's
and against scikit-learn's kernels, the unbiased squared MMD against torchmetrics', SVCCA against numpy's and
statsmodels', mutual nearest neighbours and retrieval against scikit-learn's search, the bootstrap of a mean against
SciPy's.

    python -m xkd_bench.benchmarks.estimators_bench [--quick]
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import KernelCenterer
from torch import Tensor

from estimators import Kernel, hsic, mmd2, mutual_knn, retrieval_recall, svcca
from estimators.resampling import bootstrap_mean
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


def ckatorch_hsic(x: Tensor, y: Tensor) -> float:
    """ckatorch's unbiased HSIC of two Gram matrices, in float64 as ours."""
    from ckatorch.hsic import hsic1

    a, b = x.double(), y.double()
    return float(hsic1((a @ a.T)[None], (b @ b.T)[None])[0])


def linear_hsic_case(n: int, d: int) -> Case:
    """Unbiased HSIC of linear kernels."""
    x, y = rows(n, d)
    works: dict[str, Work] = {OURS: lambda: hsic(x, y, interval=None).value}
    if installed("ckatorch"):
        works["ckatorch"] = lambda: ckatorch_hsic(x, y)
    return Case(f"hsic linear, {n:,} × {d}", works, 5)


def scikit_hsic(x: Tensor, y: Tensor, bandwidth: float) -> float:
    """tr(K H L H) / (n - 1)² of scikit-learn's RBF kernels, one of them centred by it, in float64 as ours."""
    k, l = (rbf_kernel(z.double().numpy(), gamma=0.5 / bandwidth**2) for z in (x, y))  # noqa: E741
    return float(np.vdot(KernelCenterer().fit_transform(k), l)) / (len(k) - 1) ** 2


def rbf_hsic_case(n: int, d: int) -> Case:
    """Biased HSIC of RBF kernels with a fixed bandwidth."""
    x, y = rows(n, d)
    kernel = Kernel("rbf", bandwidth=d**0.5)
    works: dict[str, Work] = {
        OURS: lambda: hsic(x, y, kernel=kernel, unbiased=False, interval=None).value,
        "scikit-learn": lambda: scikit_hsic(x, y, d**0.5),
    }
    return Case(f"hsic rbf, {n:,} × {d}", works, 5)


def statsmodels_svcca(x: Tensor, y: Tensor, variance: float) -> float:
    """The leading directions by numpy's singular vectors, their canonical correlations by statsmodels, in float64."""
    from statsmodels.multivariate.cancorr import CanCorr

    sides = []
    for z in (x, y):
        centred = z.double().numpy() - z.double().numpy().mean(0)
        u, s, _ = np.linalg.svd(centred, full_matrices=False)
        kept = int(np.searchsorted(np.cumsum(s**2) / np.sum(s**2), variance)) + 1
        sides.append(u[:, :kept] * s[:kept])
    return float(np.mean(CanCorr(*sides).cancorr))


def svcca_case(n: int, d: int) -> Case:
    """SVCCA, the value alone."""
    x, y = rows(n, d)
    works: dict[str, Work] = {
        OURS: lambda: svcca(x, y, permutations=0, interval=None).value,
        "statsmodels": lambda: statsmodels_svcca(x, y, 0.99),
    }
    return Case(f"svcca, {n:,} × {d}", works, 5)


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


def scikit_recall(x: Tensor, y: Tensor, k: int) -> float:
    """scikit-learn's exact search by cosine: how often a row's own partner is among its k nearest."""
    search = NearestNeighbors(n_neighbors=k, metric="cosine", algorithm="brute").fit(y.numpy())
    found = search.kneighbors(x.numpy(), return_distance=False)
    return float((found == np.arange(len(x))[:, None]).any(1).mean())


def recall_case(n: int, d: int, k: int = 10) -> Case:
    """Retrieval at k; ours with its exact interval, which takes next to nothing."""
    x, y = rows(n, d)
    works: dict[str, Work] = {
        OURS: lambda: retrieval_recall(x, y, k=k).value,
        "scikit-learn": lambda: scikit_recall(x, y, k),
    }
    return Case(f"retrieval_recall, {n:,} × {d}", works, 5)


def bootstrap_case(n: int, resamples: int = 1000) -> Case:
    """Half the percentile interval of a mean; the resamples are each contender's own."""
    values = rows(n, 1)[0].double().numpy().ravel()

    def ours() -> float:
        low, high = bootstrap_mean(values, 0.95, resamples, np.random.default_rng(0))
        return (high - low) / 2

    def scipys() -> float:
        rng = np.random.default_rng(1)
        found = stats.bootstrap((values,), np.mean, n_resamples=resamples, method="percentile", rng=rng)
        return float(found.confidence_interval.high - found.confidence_interval.low) / 2

    return Case(f"bootstrap of a mean, {n:,} rows, {resamples:,} resamples", {OURS: ours, "scipy": scipys}, 7)


CASES = (cka_case, linear_hsic_case, rbf_hsic_case, mmd_case, svcca_case, knn_case, recall_case)
SIZES = ((2000, 512), (5000, 128))


def cases(quick: bool) -> list[Case]:
    """Every estimator at every size."""
    sizes = ((200, 16),) if quick else SIZES
    return [case(*size) for size in sizes for case in CASES] + [bootstrap_case(size[0]) for size in sizes]


def run(options: Options) -> Result:
    """Measure."""
    frame = compare(cases(options.quick), options)
    words = (
        "Each value once, float32 rows. CPU time, one thread, in turns; `times ours` is a contender's time over "
        f"ours in the same round, the median. {SPREAD} Peak: growth of the process's peak memory in the first call. "
        "Ours is the value alone (no jackknife; 1 resample of mutual_knn), as the peers have no range; values of the "
        "bootstrap are half an interval, of each contender's own resamples."
    )
    notes = missing(("ckatorch", "torch_cka"))
    title = "Estimators against other libraries"
    return Result(title, words, frame, shown(frame), targets(frame, SEVERAL), None, notes)


if __name__ == "__main__":
    from xkd_bench.benchmarks.result import program

    program("estimators")
