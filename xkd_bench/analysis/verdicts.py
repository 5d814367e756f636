"""When a claim is supported, refuted or undecided: one rule, the same in both directions.

A claim says that a quantity θ lies in a region: above a threshold, below one, or between two. The data give an interval
for θ. The whole interval inside the region: supported. The whole interval outside: refuted. Otherwise undecided. Said
with p-values: p is two-sided, of 'θ is on the edge of the region', so that an estimate inside can support, one outside
can refute, and at the edge itself either happens with probability at most α / 2. For a region with two edges, support
is the two one-sided tests of equivalence (Schuirmann, J. Pharmacokin. Biopharm. 15 (1987) 657-680), each at α / 2.

Directional decisions after Holm's step-down procedure keep the chance of any wrong one, false direction included, at α
for independent tests (Shaffer, Ann. Statist. 8 (1980) 1342-1347).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite, isnan, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from xkd_bench.analysis.intervals import TINY, Floats

Verdict = Literal["supported", "refuted", "undecided"]


@dataclass(frozen=True)
class Region:
    """The values of θ that a claim allows: low <= θ <= high, in `unit`."""

    low: float = -inf
    high: float = inf
    unit: str = "points"

    def __contains__(self, value: float) -> bool:
        return self.low - TINY <= value <= self.high + TINY

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.low == -inf:
            return f"≤ {self.high:g}{unit}"
        if self.high == inf:
            return f"≥ {self.low:g}{unit}"
        if self.low == self.high:
            return f"= {self.low:g}{unit}"
        if self.low == -self.high:
            return f"0 ± {self.high:g}{unit}"
        return f"{self.low:g} to {self.high:g}{unit}"

    def judge(self, low: float, high: float) -> Verdict:
        """What the interval [low, high] of θ says."""
        if low in self and high in self:
            return "supported"
        return "refuted" if high < self.low or low > self.high else "undecided"


@dataclass(frozen=True)
class Evidence:
    """What the data say of one claim.

    effect, low, high: θ and its interval; NaN where there is none.
    p: two-sided, of 'θ is on the region's edge', before correction; NaN where nothing was sampled (`settled` decides).
    n: units that the statement rests on. basis: what varies in the interval ('rounding', 'test items', 'seeds', ...).
    conditions: how many conditions these units are of; 0 where there is no such thing.
    settled: the verdict of statements about printed numbers, which no sampling error touches.
    data, note, missing: what was used; what a reader should know; what is not there yet.
    fillable: whether the claim's command makes what is missing.
    """

    effect: float = nan
    low: float = nan
    high: float = nan
    p: float = nan
    n: int = 0
    basis: str = ""
    settled: Verdict | None = None
    data: str = ""
    note: str = ""
    missing: str = ""
    conditions: int = 0
    fillable: bool = True

    def verdict(self, region: Region, p: float, alpha: float = 0.05) -> Verdict:
        """The verdict when p, corrected or not, is what counts."""
        if self.missing or isnan(self.effect):
            return "undecided"
        if self.settled is not None:
            return self.settled
        if isnan(p) or p > alpha:
            return "undecided"
        return "supported" if self.effect in region else "refuted"


def missing(what: str, data: str = "", n: int = 0, conditions: int = 0, fillable: bool = True) -> Evidence:
    """No evidence yet: what is needed; n, conditions: of what there is, and does not suffice."""
    return Evidence(missing=what, data=data, n=n, conditions=conditions, fillable=fillable)


def as_printed(effect: float, slack: float, region: Region, n: int, data: str, note: str = "") -> Evidence:
    """A statement about printed numbers: the interval is what rounding leaves open."""
    low, high = effect - slack, effect + slack
    return Evidence(effect, low, high, nan, n, "rounding", region.judge(low, high), data, note)


def edge_p(effect: float, se: float, df: float, region: Region) -> float:
    """Two-sided p of 'θ is on the edge of the region' by Student's t with df degrees of freedom (inf: normal).

    Inside the region both edges must be ruled out (the larger p), outside only the nearer one. Without any spread
    (se = 0) there is nothing to test by: NaN.
    """
    if not (isfinite(effect) and se > TINY):
        return nan
    beyond = [stdtr(df, (edge - effect) / se) for edge in (region.low,) if isfinite(edge)]
    beyond += [stdtr(df, (effect - edge) / se) for edge in (region.high,) if isfinite(edge)]
    one_sided = max(beyond) if effect in region else min(1 - b for b in beyond)
    return float(min(1.0, 2 * one_sided))


def t_evidence(
    effect: float, se: float, df: float, region: Region, n: int, basis: str, data: str, note: str = "",
    confidence: float = 0.95,
) -> Evidence:  # fmt: skip
    """Evidence from an estimate with its standard error: Student's t interval and `edge_p`."""
    half = float(stdtrit(df, 0.5 + confidence / 2)) * se
    return Evidence(effect, effect - half, effect + half, edge_p(effect, se, df, region), n, basis, None, data, note)


def every(parts: Sequence[Evidence], region: Region, data: str, note: str = "") -> Evidence:
    """Evidence that θ is in the region in every part (intersection-union test; Berger 1982).

    All estimates inside: the weakest part decides (the largest p, uncorrected: all must hold). Any outside: the
    strongest counter-example, its p corrected for the number of parts. The effect shown is that part's own.
    """
    if lacking := [part for part in parts if part.missing or isnan(part.effect)]:
        return replace(lacking[0], missing=lacking[0].missing or "a part without an estimate")
    if not parts:
        return missing("no part could be formed", data)
    if len(parts) == 1:
        return replace(parts[0], data=data, note="; ".join(filter(None, (parts[0].note, note))))
    n = sum(part.n for part in parts)
    parts = [replace(part, conditions=max(one.conditions for one in parts)) for part in parts]
    if all(part.settled for part in parts):
        order: list[Verdict] = ["supported", "undecided", "refuted"]
        verdicts = [part.settled or "undecided" for part in parts]
        worst = max(parts, key=lambda part: (order.index(part.settled or "undecided"), _outside(part.effect, region)))
        settled = max(verdicts, key=order.index)
        held = f"{verdicts.count('supported')} of {len(parts)} hold"
        return replace(worst, settled=settled, n=n, data=data, note="; ".join(filter(None, (held, note))))
    outside = [part for part in parts if part.effect not in region]
    held = f"{len(parts) - len(outside)} of {len(parts)} estimates inside"
    note = "; ".join(filter(None, (held, note)))
    if outside:
        strongest = min(outside, key=lambda part: 1.0 if isnan(part.p) else part.p)
        return replace(strongest, p=min(1.0, len(parts) * strongest.p), n=n, data=data, note=note)
    weakest = max(parts, key=lambda part: 1.0 if isnan(part.p) else part.p)
    return replace(weakest, n=n, data=data, note=note)


def _outside(effect: float, region: Region) -> float:
    """How far outside the region, negative inside."""
    return max(region.low - effect, effect - region.high)


def pooled(effects: ArrayLike, ses: ArrayLike, dfs: ArrayLike) -> tuple[float, float, float]:
    """Mean of independent estimates, its standard error, and Satterthwaite's degrees of freedom.

    The mean is over these parts and no others: between-part variance is not in the error, for the parts are not a
    sample. df = (Σ s²)² / Σ (s⁴ / df). Satterthwaite, Biometrics Bull. 2 (1946) 110-114.
    """
    effects, ses, dfs = (np.asarray(v, dtype=float) for v in (effects, ses, dfs))
    v = ses**2
    total = float(v.sum())
    df = total**2 / float((v**2 / dfs).sum()) if total > 0 else float(dfs.sum())
    return float(effects.mean()), sqrt(total) / len(v), df


def benjamini_hochberg(p: ArrayLike) -> Floats:
    """Benjamini-Hochberg adjusted p: [k]; NaN (no test was made) stays NaN and does not count in k."""
    from scipy.stats import false_discovery_control

    p = np.asarray(p, dtype=float)
    out = np.full(p.shape, np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        out[tested] = false_discovery_control(p[tested])
    return out
