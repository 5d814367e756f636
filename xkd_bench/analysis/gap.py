"""The modality gap of paired or unpaired features, by every estimator that applies: one tidy table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xkd_bench.analysis.gap_features import Features, features, read_features
from xkd_bench.analysis.gap_words import EXPLANATIONS

__all__ = ["COLUMNS", "ENTRIES", "Features", "explain", "features", "gap_table", "read_features"]

COLUMNS = ("panel", "name", "value", "low", "high", "confidence", "n", "kind", "note", "explain", "estimator")
Panel = Literal["distance", "alignment", "capacity"]
Needs = Literal["any", "space", "pairs", "pairs and space"]


@dataclass(frozen=True)
class _Entry:
    """One row of the table: where it is shown, what it needs, how it is called with (features, confidence, seed)."""

    panel: Panel
    needs: Needs
    run: Callable[[Features, float, int], Any]


def _two_sample(name: str, **options: Any) -> Callable[[Features, float, int], Any]:
    def run(f: Features, confidence: float, seed: int) -> Any:
        import estimators

        call = getattr(estimators, name)
        return call(f.source, f.target, paired=f.paired, groups=f.groups, confidence=confidence, seed=seed, **options)

    return run


def _pairs(name: str, seeded: bool = True, swap: bool = False, **options: Any) -> Callable[[Features, float, int], Any]:
    def run(f: Features, confidence: float, seed: int) -> Any:
        import estimators

        sides = (f.target, f.source) if swap else (f.source, f.target)
        more = options | ({"seed": seed} if seeded else {})
        return getattr(estimators, name)(*sides, groups=f.groups, confidence=confidence, **more)

    return run


def _one(name: str, side: Literal["source", "target"], seeded: bool) -> Callable[[Features, float, int], Any]:
    def run(f: Features, confidence: float, seed: int) -> Any:
        import estimators

        groups = f.groups[0 if side == "source" else 1] if isinstance(f.groups, tuple) else f.groups
        more = {"seed": seed} if seeded else {}
        return getattr(estimators, name)(getattr(f, side), groups=groups, confidence=confidence, **more)

    return run


ENTRIES: dict[str, _Entry] = {
    "tv_classifier": _Entry("distance", "space", _two_sample("tv_classifier")),
    "tv_threshold": _Entry("distance", "space", _two_sample("tv_threshold")),
    "tv_witness": _Entry("distance", "space", _two_sample("tv_witness")),
    "tv_modality_gap": _Entry("distance", "space", _two_sample("tv_modality_gap")),
    "tv_jensen_shannon": _Entry("distance", "space", _two_sample("tv_jensen_shannon")),
    "henze_penrose": _Entry("distance", "space", _two_sample("henze_penrose")),
    "tv_smoothed": _Entry("distance", "pairs and space", _pairs("tv_smoothed")),
    "tv_gibbs": _Entry("distance", "pairs", _pairs("tv_gibbs", temperature=0.1)),
    "modality_gap": _Entry("distance", "space", _two_sample("modality_gap")),
    "mmd2": _Entry("distance", "space", _two_sample("mmd2")),
    "tv_gibbs_normalised": _Entry("alignment", "pairs", _pairs("tv_gibbs_normalised", temperature=0.1)),
    "cka": _Entry("alignment", "pairs", _pairs("cka")),
    "cka_rbf": _Entry("alignment", "pairs", _pairs("cka", kernel="rbf")),
    "svcca": _Entry("alignment", "pairs", _pairs("svcca")),
    "mutual_knn": _Entry("alignment", "pairs", _pairs("mutual_knn")),
    "retrieval_to_target": _Entry("alignment", "pairs and space", _pairs("retrieval_recall", seeded=False)),
    "retrieval_to_source": _Entry("alignment", "pairs and space", _pairs("retrieval_recall", seeded=False, swap=True)),
    "effective_rank_source": _Entry("capacity", "any", _one("effective_rank", "source", seeded=True)),
    "effective_rank_target": _Entry("capacity", "any", _one("effective_rank", "target", seeded=True)),
    "twonn_source": _Entry("capacity", "any", _one("twonn_dimension", "source", seeded=False)),
    "twonn_target": _Entry("capacity", "any", _one("twonn_dimension", "target", seeded=False)),
}


def gap_table(
    f: Features,
    *,
    only: Sequence[str] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
    max_rows: int = 4000,
    tick: Callable[[str], None] = lambda name: None,
) -> pd.DataFrame:
    """Every estimator that applies to these features, one row each.

    Args:
        f: from `read_features` or `features`.
        only: keys of `ENTRIES`; all when not given.
        confidence: of each range (not jointly).
        seed: of splits, resamples and permutations.
        max_rows: more rows a side are cut to a random subset of whole groups, the same for all estimators.
        tick: called with a key before its estimator runs.

    Returns:
        Columns `COLUMNS`: value, low and high are NaN where the estimator is undefined for these features or claims no
        range, and `note` says why. `attrs["left_out"]` maps estimators that cannot apply to the reason.

    Raises:
        ValueError: a key that does not exist.
    """
    unknown = [key for key in only or () if key not in ENTRIES]
    if unknown:
        raise ValueError(f"no estimator {', '.join(unknown)}; there are {', '.join(ENTRIES)}")
    f = _at_most(f, max_rows, seed)
    rows, left_out = [], {}
    for key, entry in ENTRIES.items():
        if only is not None and key not in only:
            continue
        reason = _unfit(entry.needs, f)
        if reason:
            left_out[key] = reason
            continue
        tick(key)
        rows.append(_row(key, entry, f, confidence, seed))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table.attrs["left_out"] = left_out
    return table


def explain(key: str) -> str:
    """What an estimator's number means, in two lines."""
    return EXPLANATIONS[key]


def _row(key: str, entry: _Entry, f: Features, confidence: float, seed: int) -> dict[str, Any]:
    fixed = {"panel": entry.panel, "explain": EXPLANATIONS[key], "estimator": key}
    try:
        estimate = entry.run(f, confidence, seed)
    except ValueError as error:
        empty = dict.fromkeys(("value", "low", "high", "confidence"), math.nan)
        n = min(len(f.source), len(f.target))
        return fixed | empty | {"name": key, "n": n, "kind": "plug-in", "note": f"undefined: {error}"}
    # The key says more than the function's name (which side, which kernel); what it chose stays in brackets.
    _, bracket, choice = estimate.name.partition("[")
    return fixed | estimate.as_dict() | {"name": key + bracket + choice}


def _unfit(needs: Needs, f: Features) -> str:
    if "pairs" in needs and not f.paired:
        return "needs pairs"
    if "space" in needs and f.source.shape[1] != f.target.shape[1]:
        return f"needs one space: source has {f.source.shape[1]} columns, target {f.target.shape[1]}"
    return ""


def _at_most(f: Features, max_rows: int, seed: int) -> Features:
    """A random subset of whole groups with at most `max_rows` rows a side."""
    rng = np.random.default_rng(seed)
    if max(len(f.source), len(f.target)) <= max_rows:
        return f
    if f.paired:
        assert not isinstance(f.groups, tuple)
        rows = _subset(f.groups, len(f.source), max_rows, rng)
        return replace(
            f, source=f.source[rows], target=f.target[rows], groups=None if f.groups is None else f.groups[rows]
        )
    labels = f.groups if isinstance(f.groups, tuple) else (None, None)
    rows = _subset(labels[0], len(f.source), max_rows, rng)
    columns = _subset(labels[1], len(f.target), max_rows, rng)
    kept = None if labels[0] is None or labels[1] is None else (labels[0][rows], labels[1][columns])
    return replace(f, source=f.source[rows], target=f.target[columns], groups=kept)


def _subset(labels: NDArray[Any] | None, n: int, most: int, rng: np.random.Generator) -> NDArray[np.int64]:
    codes = np.arange(n) if labels is None else np.unique(labels, return_inverse=True)[1]
    order = rng.permutation(codes.max() + 1)
    sizes = np.bincount(codes)[order]
    kept = order[: max(1, int((sizes.cumsum() <= most).sum()))]
    return np.flatnonzero(np.isin(codes, kept)).astype(np.int64)
