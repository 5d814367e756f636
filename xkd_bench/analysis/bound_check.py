"""Does the bound hold in every run, link by link; how loose is it; and which κ do the runs refute?"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd
from scipy.special import ndtri

SCALED = ("tv_oracle", "tv_teacher", "tv_distil")
REST = ("margin", "capacity", "sampling")
"""The terms that the right-hand side sums (`analysis.bound`), at their upper limits: κ multiplies the former, twice,
and not the latter."""
LINK = "link_"
"""Terms named so are steps of the argument: right side less left, negative where the step fails."""
CLOSE = 1e-6
FAILS = -1e-9


@dataclass(frozen=True)
class Check:
    """What all runs together say of the bound.

    runs: a row each of the bounds, with `scaled` and `rest` (the parts that κ multiplies and does not), `kappa` (what
    the run alone asks for: (excess - rest) / scaled), `kappa_low` (the same of the excess's lower limit, corrected for
    the number of runs), `above` (excess over the bound) and `told` (its lower limit too). Parts are NaN where the terms
    of a run do not add up to its bound.
    violations, told: runs above the bound; those of them that test items do not explain.
    kappa: the largest of `kappa`. kappa_low: any κ below it is refuted at `level` by some run. Neither is below 0.
    """

    runs: pd.DataFrame
    violations: int
    told: int
    kappa: float
    kappa_low: float
    level: float


def check(bounds: pd.DataFrame, terms: pd.DataFrame, level: float = 0.05) -> Check:
    """Check every run that has an excess risk, its error and a bound.

    The lower limit of a run's excess is excess - z · excess_se with z at level / runs (Bonferroni): with a κ that
    holds, the chance that any run refutes it is at most `level`. Only from below: no run can show that a κ suffices.
    """
    there = bounds[["excess", "excess_se", "bound"]].notna().all(axis=1)
    runs = bounds[there].reset_index(drop=True)
    if runs.empty:
        return Check(runs, 0, 0, nan, nan, level)
    runs = runs.merge(_parts(terms), on="run", how="left")
    whole = (runs["scaled"] + runs["rest"] - runs["bound"]).abs() <= CLOSE * np.maximum(1, runs["bound"])
    runs[["scaled", "rest"]] = runs[["scaled", "rest"]].where(whole, axis=0)
    low = runs["excess"] - float(ndtri(1 - level / len(runs))) * runs["excess_se"]
    scale = runs["scaled"].where(runs["scaled"] > 0)
    runs = runs.assign(kappa=(runs["excess"] - runs["rest"]) / scale, kappa_low=(low - runs["rest"]) / scale,
                       above=runs["excess"] > runs["bound"], told=low > runs["bound"])  # fmt: skip
    most, least = (float(np.maximum(0.0, runs[name].max())) for name in ("kappa", "kappa_low"))
    return Check(runs, int(runs["above"].sum()), int(runs["told"].sum()), most, least, level)


def informative(bounds: pd.DataFrame) -> pd.Series[bool]:
    """Which bounds an observable excess risk could have broken: those below 1 - R*, the largest excess there can be (1
    where R*, `risk_star`, is not known). All others hold whatever happens."""
    star = bounds["risk_star"].astype(float).fillna(0.0) if "risk_star" in bounds else 0.0
    return bounds["bound"] < 1 - star


def summands(terms: pd.DataFrame) -> pd.DataFrame:
    """The terms that the right-hand side sums, in its order, with `part`: what each contributes with κ = 1."""
    order = {name: i for i, name in enumerate((*SCALED, *REST))}
    rows = terms[terms["term"].isin(order)]
    rows = rows.assign(part=rows["high"].astype(float) * np.where(rows["term"].isin(SCALED), 2.0, 1.0))
    return rows.sort_values("term", key=lambda names: names.map(order), kind="stable").reset_index(drop=True)


def links(terms: pd.DataFrame) -> pd.DataFrame:
    """A row for each step of the argument: term, runs, fails, least, median, most, tag (the loosest), note."""
    rows = terms[terms["term"].astype(str).str.startswith(LINK) & terms["value"].notna()]
    out = []
    for name, part in rows.groupby("term", sort=False):
        value = part["value"].astype(float)
        out.append({
            "term": name, "runs": len(part), "fails": int((value < FAILS).sum()), "least": value.min(),
            "median": value.median(), "most": value.max(), "tag": loosest(part["tag"]),
            "note": str(part["note"].iloc[0]).rpartition(": ")[0] or str(part["note"].iloc[0]),
        })  # fmt: skip
    return pd.DataFrame(out, columns=["term", "runs", "fails", "least", "median", "most", "tag", "note"])


TAGS = ("exact", "measured", "proxy", "vacuous")
"""What a term rests on, from the firmest to the loosest."""


def loosest(tags: pd.Series[str]) -> str:
    """The tag of a mean: the loosest of what it is a mean of."""
    return max((str(tag) for tag in tags), key=lambda tag: TAGS.index(tag) if tag in TAGS else len(TAGS))


def _parts(terms: pd.DataFrame) -> pd.DataFrame:
    """Of each run that has all summands, the sums of those that κ multiplies and of those that it does not."""
    if terms.empty:
        return pd.DataFrame({"run": [], "scaled": [], "rest": []}).astype({"run": str})
    wide = summands(terms).pivot_table(index="run", columns="term", values="part", aggfunc="sum")
    wide = wide.reindex(columns=[*SCALED, *REST]).dropna()
    scaled, rest = wide[list(SCALED)].sum(axis=1), wide[list(REST)].sum(axis=1)
    return pd.DataFrame({"scaled": scaled, "rest": rest}).rename_axis("run").reset_index()
