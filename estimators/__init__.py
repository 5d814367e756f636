"""Distances between representations, and their capacity, with honest uncertainty.

A stand-alone package (numpy, scipy, scikit-learn, torch). Every estimator takes arrays [n, d] (numpy or torch, any
device), says explicitly what is paired and what is grouped, and returns an `Estimate`: value, range, confidence, number
of independent units, and the *kind* of statement that the range makes.

>>> import numpy as np
>>> from estimators import tv_classifier
>>> rng = np.random.default_rng(0)
>>> tv_classifier(rng.normal(size=(500, 2)), rng.normal(1.5, 1, size=(500, 2)), paired=False).kind
'lower bound'

Where to look, by question:

* Are the two laws different, and by how much at least? `tv_classifier`, the primary bound; `tv_witness` for pairs that
  vary a lot; `tv_threshold` for a score of your own; `mmd_test` for a p-value.
* By how much at most? Only after smoothing: `tv_smoothed`.
* Do pairs agree? `cka` (debiased), `mutual_knn` and `tv_gibbs_normalised`, none of which needs a common space;
  `retrieval_recall` in a common one. Whether at all: `hsic_test`.
* Where do the modalities sit? `modality_gap`. How many directions do they use? `effective_rank`, `twonn_dimension`.
* What could a head fit? `rademacher_linear`, `rademacher_multiclass`, `local_rademacher`. A network?
  `random_label_fit`.
* As a loss: `cka_loss`, `cka_value`, `hsic_value`, `mmd2_value`. For a stream: `StreamingCKA`.

The rooms are `total_variation`, `kernels` and `capacity`; each says on its first page what can be known at all. Names
are loaded on first use, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .capacity.dimension import bracketing_proxy, effective_rank, stable_rank, twonn_dimension
    from .capacity.linear import rademacher_linear, rademacher_linear_range
    from .capacity.local import local_fixed_point, local_rademacher
    from .capacity.multiclass import rademacher_multiclass
    from .capacity.norms import frobenius_product, spectral_product
    from .capacity.random_labels import random_label_fit
    from .estimate import Estimate, TestResult
    from .kernels.cka import cka, hsic, hsic_test
    from .kernels.differentiable import cka_loss, cka_value, hsic_value, mmd2_value
    from .kernels.kernel import Kernel
    from .kernels.mmd import mmd2, mmd_test
    from .kernels.neighbours import mutual_knn, retrieval_recall
    from .kernels.streaming import StreamingCKA, cka_minibatch
    from .kernels.svcca import svcca
    from .total_variation.classifier import tv_classifier
    from .total_variation.closed_forms import (
        gaussian_shift,
        hellinger_squared_discrete,
        henze_penrose_discrete,
        jensen_shannon_discrete,
        kl_discrete,
        tv_discrete,
        tv_from_hellinger,
        tv_from_henze_penrose,
        tv_from_jensen_shannon,
        tv_from_kl,
        tv_gaussian_shift,
        tv_gaussians,
    )
    from .total_variation.gibbs import GibbsDistance, tv_gibbs, tv_gibbs_grid, tv_gibbs_normalised
    from .total_variation.modality_gap import modality_gap, proxy_a_distance, tv_modality_gap
    from .total_variation.smoothed import tv_smoothed
    from .total_variation.threshold import tv_threshold
    from .total_variation.witness import henze_penrose, tv_jensen_shannon, tv_witness

_ROOMS = {
    "estimate": ("Estimate", "TestResult"),
    "total_variation.classifier": ("tv_classifier",),
    "total_variation.threshold": ("tv_threshold",),
    "total_variation.witness": ("henze_penrose", "tv_jensen_shannon", "tv_witness"),
    "total_variation.smoothed": ("tv_smoothed",),
    "total_variation.gibbs": ("GibbsDistance", "tv_gibbs", "tv_gibbs_grid", "tv_gibbs_normalised"),
    "total_variation.modality_gap": ("modality_gap", "proxy_a_distance", "tv_modality_gap"),
    "total_variation.closed_forms": (
        "gaussian_shift",
        "hellinger_squared_discrete",
        "henze_penrose_discrete",
        "jensen_shannon_discrete",
        "kl_discrete",
        "tv_discrete",
        "tv_from_hellinger",
        "tv_from_henze_penrose",
        "tv_from_jensen_shannon",
        "tv_from_kl",
        "tv_gaussian_shift",
        "tv_gaussians",
    ),
    "kernels.kernel": ("Kernel",),
    "kernels.cka": ("cka", "hsic", "hsic_test"),
    "kernels.streaming": ("StreamingCKA", "cka_minibatch"),
    "kernels.mmd": ("mmd2", "mmd_test"),
    "kernels.svcca": ("svcca",),
    "kernels.neighbours": ("mutual_knn", "retrieval_recall"),
    "kernels.differentiable": ("cka_loss", "cka_value", "hsic_value", "mmd2_value"),
    "capacity.linear": ("rademacher_linear", "rademacher_linear_range"),
    "capacity.multiclass": ("rademacher_multiclass",),
    "capacity.local": ("local_fixed_point", "local_rademacher"),
    "capacity.random_labels": ("random_label_fit",),
    "capacity.norms": ("frobenius_product", "spectral_product"),
    "capacity.dimension": ("bracketing_proxy", "effective_rank", "stable_rank", "twonn_dimension"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Estimate",
    "GibbsDistance",
    "Kernel",
    "StreamingCKA",
    "TestResult",
    "bracketing_proxy",
    "cka",
    "cka_loss",
    "cka_minibatch",
    "cka_value",
    "effective_rank",
    "frobenius_product",
    "gaussian_shift",
    "hellinger_squared_discrete",
    "henze_penrose",
    "henze_penrose_discrete",
    "hsic",
    "hsic_test",
    "hsic_value",
    "jensen_shannon_discrete",
    "kl_discrete",
    "local_fixed_point",
    "local_rademacher",
    "mmd2",
    "mmd2_value",
    "mmd_test",
    "modality_gap",
    "mutual_knn",
    "proxy_a_distance",
    "rademacher_linear",
    "rademacher_linear_range",
    "rademacher_multiclass",
    "random_label_fit",
    "retrieval_recall",
    "spectral_product",
    "stable_rank",
    "svcca",
    "tv_classifier",
    "tv_discrete",
    "tv_from_hellinger",
    "tv_from_henze_penrose",
    "tv_from_jensen_shannon",
    "tv_from_kl",
    "tv_gaussian_shift",
    "tv_gaussians",
    "tv_gibbs",
    "tv_gibbs_grid",
    "tv_gibbs_normalised",
    "tv_jensen_shannon",
    "tv_modality_gap",
    "tv_smoothed",
    "tv_threshold",
    "tv_witness",
    "twonn_dimension",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'estimators' has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
