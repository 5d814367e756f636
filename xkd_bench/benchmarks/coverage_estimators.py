"""Which estimators the coverage study asks, and what each of them claims to cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from estimators import (
    Estimate,
    Kernel,
    cka,
    henze_penrose,
    mmd2,
    mmd_test,
    modality_gap,
    tv_classifier,
    tv_jensen_shannon,
    tv_modality_gap,
    tv_smoothed,
    tv_threshold,
    tv_witness,
)
from xkd_bench.benchmarks.coverage_laws import CORRELATION, GROUP_CORRELATION, Drawn

_FAST = ("ridge",)
_MMD_ROWS, _MMD_DRAWS = 120, 59


@dataclass(frozen=True)
class Subject:
    """An estimator under study.

    Attributes:
        kind: of its range.
        estimate: (data, seed) -> Estimate.
        truth: what the range must cover.
        laws, dependences, tvs: conditions it is asked in; empty for all. (CKA does not see the shift, and the level of
            a test is that at 0: one distance says it all.)
        in_power: whether the power study asks it.
        asymptotic: it claims its level for large n only; reported, and not called a failure at a true value of 0, where
            the statistic is degenerate.
    """

    kind: str
    estimate: Callable[[Drawn, int], Estimate]
    truth: Callable[[Drawn], float] = lambda data: data.tv
    laws: tuple[str, ...] = ()
    dependences: tuple[str, ...] = ()
    tvs: tuple[float, ...] = ()
    in_power: bool = False
    asymptotic: bool = False
    in_coverage: bool = True

    def applies(self, study: str, law: str, dependence: str, tv: float) -> bool:
        """Whether a case asks this estimator."""
        asked = ((self.laws, law), (self.dependences, dependence), (self.tvs, tv))
        fits = all(not allowed or value in allowed for allowed, value in asked)
        return fits and (self.in_coverage if study == "coverage" else self.in_power)

    def guaranteed(self, tv: float) -> bool:
        """Whether the range claims its level here."""
        return not (self.asymptotic and tv == 0.0)


def _first_coordinate(
    rows: np.ndarray[tuple[int, int], np.dtype[np.float64]],
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return rows[:, 0]


def _bound(function: Callable[..., Estimate], **options: object) -> Callable[[Drawn, int], Estimate]:
    def estimate(data: Drawn, seed: int) -> Estimate:
        return function(data.source, data.target, paired=data.paired, groups=data.groups, seed=seed, **options)

    return estimate


def _smoothed(data: Drawn, seed: int) -> Estimate:
    return tv_smoothed(data.source, data.target, groups=data.groups, sigma=data.sigma, families=_FAST, seed=seed)


def _mmd_level(data: Drawn, seed: int) -> Estimate:
    """The test as a range: it "covers" 0 when it does not reject at 5%."""
    part = slice(0, _MMD_ROWS)
    groups = None if data.groups is None else data.groups[part]
    test = mmd_test(
        data.source[part], data.target[part], paired=data.paired, groups=groups, permutations=_MMD_DRAWS, seed=seed
    )
    low = 1.0 if test.p_value <= 0.05 else 0.0
    return Estimate(1.0, low, 1.0, 0.95, test.statistic.n, "lower bound", "mmd_test")


def _population_mmd2(data: Drawn) -> float:
    """Of Gaussians at a distance, rbf kernel of width sqrt(d)."""
    h2 = float(data.d)
    return 2.0 * (h2 / (h2 + 2.0)) ** (data.d / 2) * -float(np.expm1(-(data.shift**2) / (2.0 * (h2 + 2.0))))


def _correlation(data: Drawn) -> float:
    return 0.0 if not data.paired else GROUP_CORRELATION if data.groups is not None else CORRELATION


def _pairs(function: Callable[..., Estimate]) -> Callable[[Drawn, int], Estimate]:
    return lambda data, seed: function(data.source, data.target, groups=data.groups, seed=seed)


def _mmd2(data: Drawn, seed: int) -> Estimate:
    kernel = Kernel("rbf", bandwidth=float(np.sqrt(data.d)))
    part = slice(0, _MMD_ROWS)
    return mmd2(data.source[part], data.target[part], paired=data.paired, kernel=kernel, seed=seed)


ESTIMATORS: dict[str, Subject] = {
    "tv_classifier": Subject("lower bound", _bound(tv_classifier, families=_FAST), in_power=True),
    "tv_classifier, pooled": Subject(
        "lower bound", _bound(tv_classifier, families=_FAST, pooled=True), dependences=("unpaired",), in_power=True
    ),
    "tv_threshold": Subject("lower bound", _bound(tv_threshold, families=_FAST), in_power=True),
    "tv_witness": Subject("lower bound", _bound(tv_witness, families=_FAST), in_power=True),
    "tv_jensen_shannon": Subject("lower bound", _bound(tv_jensen_shannon, families=_FAST), in_power=True),
    "henze_penrose": Subject("lower bound", _bound(henze_penrose, families=_FAST), in_power=True),
    "tv_modality_gap": Subject("lower bound", _bound(tv_modality_gap), in_power=True),
    "tv_smoothed": Subject(
        "interval", _smoothed, truth=lambda data: data.smoothed_tv(), dependences=("paired", "grouped")
    ),
    "tv_threshold, two-sided": Subject(
        "interval",
        _bound(tv_threshold, score=_first_coordinate, estimand="thresholds"),
        laws=("gaussian", "student"),
    ),
    "modality_gap": Subject(
        "interval",
        _bound(modality_gap, normalise=False, resamples=200),
        truth=lambda data: data.shift,
        laws=("gaussian",),
    ),
    "mmd_test": Subject("lower bound", _mmd_level, truth=lambda data: float(data.tv > 0), tvs=(0.0,)),
    "mmd2": Subject(
        "plug-in",
        _mmd2,
        truth=_population_mmd2,
        laws=("gaussian",),
        dependences=("paired", "unpaired"),
        tvs=(0.04, 0.68),
        asymptotic=True,
    ),
    "cka": Subject("plug-in", _pairs(cka), truth=lambda data: _correlation(data) ** 2, laws=("gaussian",), tvs=(0.0,)),
    "tv_classifier, all families": Subject("lower bound", _bound(tv_classifier), in_coverage=False),
}
