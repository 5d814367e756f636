"""Does the gap order conditions that differ in one factor? The share of such pairs that it orders the wrong way.

A regression over all conditions can be right on average and wrong about every factor but one. Here two conditions of a
family are compared only where a single factor separates them, so that nothing else can make their difference; each
family and factor is an environment, and what counts is the worst of them. After Dziugaite et al., In search of robust
measures of generalization, NeurIPS 2020 (section 3 and 4: coupled configurations, sign error, worst environment).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from math import nan

import numpy as np
import pandas as pd
from scipy.special import erf

from xkd_bench.analysis.intervals import Floats

LEAST = 3.0
"""Pairs, each counted by its weight, below which an environment says nothing."""
COLUMNS = ("family", "factor", "pairs", "weight", "error", "p")


def factors(condition: str, family: str = "") -> dict[str, str]:
    """What a condition's name says of it, by factor.

    'emoji:a>b@blur=0.4,noise=0.2' is source a, target b, blur 0.4, noise 0.2; 'twin-gaussian:gap=0.5' is gap 0.5. A
    factor that is not named is at its usual level. Of any other name the whole is one factor, 'condition'.
    """
    plain, _, degraded = condition.partition("@")
    argument = plain.partition(":")[2]
    found = dict(re.findall(r"([\w-]+)=([^,]+)", f"{argument},{degraded}"))
    if sides := re.fullmatch(r"([^>=:,]+)>([^>=:,]+)(?::.*)?", argument):
        found |= {"source": sides[1], "target": sides[2]}
    if not found and condition != family and plain != family:
        return {"condition": condition}
    return found


def differ(a: Mapping[str, str], b: Mapping[str, str]) -> str:
    """The one factor in which two conditions differ; '' if there is none, or several."""
    names = [name for name in {*a, *b} if a.get(name) != b.get(name)]
    return names[0] if len(names) == 1 else ""


def sign_errors(df: pd.DataFrame, expected: int = -1, shuffles: int = 999, seed: int = 0) -> pd.DataFrame:
    """A row for each environment (family, factor), the worst first: `COLUMNS`.

    df: conditions of one specification, one row each: family, condition, gain, gap and, where they are known, gain_se
    and gap_se. expected: -1 where gains should fall as gaps grow.

    error: the share of pairs whose gain moves against the expected sign, 0 the gap orders all of them, 0.5 chance; a
    tie counts half. A pair's weight is how surely noise leaves its signs as they are: (2Φ(|Δ gain| / se) - 1), and the
    same of the gap, so that a pair whose difference is noise counts nothing (the paper bounds the same chance by
    Hoeffding's inequality). weight: their sum; error is NaN below `LEAST`. p: share of shuffles of the gaps within the
    family that give an error as small, the observed counted; one-sided: the theory says that it is small.
    """
    rows = []
    for family, part in df.groupby("family"):
        part = part.reset_index(drop=True)
        named = [factors(str(name), str(family)) for name in part["condition"]]
        pairs: dict[str, list[tuple[int, int]]] = {}
        for i, j in combinations(range(len(part)), 2):
            if factor := differ(named[i], named[j]):
                pairs.setdefault(factor, []).append((i, j))
        for factor, found in sorted(pairs.items()):
            rows.append({"family": family, "factor": factor, **_environment(part, found, expected, shuffles, seed)})
    out = pd.DataFrame(rows, columns=list(COLUMNS))
    return out.sort_values(["error", "family", "factor"], ascending=[False, True, True]).reset_index(drop=True)


def worst(errors: pd.DataFrame) -> tuple[float, float, str]:
    """The largest error, the mean of all environments that say something, and which is worst; NaN where none does."""
    told = errors[errors["error"].notna()]
    if told.empty:
        return nan, nan, ""
    top = told.nlargest(1, "error").iloc[0]
    return float(top["error"]), float(told["error"].mean()), f"{top['family']}, {top['factor']}"


def _environment(
    part: pd.DataFrame, pairs: list[tuple[int, int]], expected: int, shuffles: int, seed: int
) -> dict[str, float]:
    i, j = np.array(pairs).T
    gain, gap = part["gain"].to_numpy(dtype=float), part["gap"].to_numpy(dtype=float)
    rise = gain[i] - gain[j]
    gain_se, gap_se = _errors(part, "gain_se"), _errors(part, "gap_se")
    sure_gain = _sure(rise, np.hypot(gain_se[i], gain_se[j]))
    rng = np.random.default_rng(seed)
    orders = np.concatenate([np.arange(len(part))[None], rng.random((shuffles, len(part))).argsort(axis=1)])
    step = gap[orders[:, i]] - gap[orders[:, j]]
    weight = sure_gain * _sure(step, np.hypot(gap_se[orders[:, i]], gap_se[orders[:, j]]))
    weights = weight.sum(axis=1)
    wrong = (1 - expected * np.sign(rise) * np.sign(step)) / 2
    errors = np.divide((weight * wrong).sum(axis=1), weights, out=np.full(len(orders), 0.5), where=weights > 0)
    if weights[0] < LEAST:
        return {"pairs": len(pairs), "weight": float(weights[0]), "error": nan, "p": nan}
    p = float((errors <= errors[0] + 1e-9).mean())
    return {"pairs": len(pairs), "weight": float(weights[0]), "error": float(errors[0]), "p": p}


def _errors(part: pd.DataFrame, name: str) -> Floats:
    """Standard errors; where none is known, 0: the pair then counts fully, and what it rests on is not weighed."""
    found = part[name] if name in part else pd.Series(0.0, part.index)
    return np.asarray(found.astype(float).fillna(0.0), dtype=np.float64)


def _sure(difference: Floats, error: Floats) -> Floats:
    """Chance that noise of this standard error leaves a difference its sign, less the chance that it turns it."""
    z = np.divide(np.abs(difference), error, out=np.full(difference.shape, np.inf), where=error > 0)
    out = np.asarray(erf(z / np.sqrt(2)), dtype=np.float64)
    out[(error == 0) & (difference == 0)] = 1.0
    return out
