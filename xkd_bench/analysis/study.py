"""The bound study: which gains meet which gaps, fixed before any of them was measured, and what counts as a unit.

Theory speaks of excess risk, which grows with the gap (H1); the paper speaks of gains, which fall with it (H1'). Both
are asked of two gaps of oracle encoders, after linear evaluation, for the mean of the paper's two methods. Everything
else is in the specification curve.
"""

from __future__ import annotations

import pandas as pd

from xkd_bench.analysis import conditions

ESTIMATORS = ("oracle:tv_classifier", "oracle:tv_gibbs_normalised")
SCALES = ("raw", "relative", "error_reduction")
DEFINITIONS = (*SCALES, "excess_risk")
PROTOCOL = "linear-eval"
OURS = ("cmc", "cmd")
MIN_SEEDS, MIN_CONDITIONS = 3, 30
"""Fewer seeds decide nothing; 30 conditions for 80 % power at a correlation of 0.5 (`power.conditions_needed`)."""
COVARIATES = ("baseline", "n_pairs", "capacity")
COMMAND = "xkd-bench sweep bound-study"
NAMES = {"raw": "gain in points", "relative": "gain relative to the reference", "error_reduction": "error reduction",
         "net": "gain over the random teacher", "excess_risk": "excess risk"}  # fmt: skip


def expected(definition: str) -> int:
    """The sign of the relation that is claimed."""
    return 1 if definition == "excess_risk" else -1


def relation(
    df: pd.DataFrame, definition: str, estimator: str, protocol: str = PROTOCOL, min_seeds: int = MIN_SEEDS
) -> pd.DataFrame:
    """One row a condition: the mean of `OURS` of one gain, with one gap, its errors, its covariates and its cluster.

    Methods of a condition share splits and draws, so the error of their mean is taken as the mean of their errors.
    """
    if df.empty:
        return df
    rows = conditions.choose(conditions.check(df), definition=definition, estimator=estimator, protocol=protocol)
    rows = rows[rows["method"].isin(OURS) & (rows["n_seeds"] >= min_seeds)]
    return _means(rows, ["family", "condition"])


def units(df: pd.DataFrame) -> pd.DataFrame:
    """Rows that may count as independent within their family, for tests that shuffle or take rows as such.

    In a family with several clusters (pairs of styles whose drawings descend from each other), the conditions of a
    cluster are averaged into one row, named by it. A family that is one cluster (degrees of one data set) keeps its
    rows: degrees are set by the design. Other columns of `conditions.KEYS` are kept apart.
    """
    if df.empty or "cluster" not in df or df["cluster"].isna().any():
        return df
    several = df.groupby("family")["cluster"].transform("nunique") > 1
    named = df.assign(condition=df["condition"].where(~several, df["cluster"]))
    keys = [name for name in conditions.KEYS if name in df]
    return _means(named, keys) if several.any() else df


def _means(rows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Means of all numbers, and the cluster, by `keys`; a number that a row lacks is lacking in its mean."""
    numbers = [name for name in (*conditions.NUMBERS, *COVARIATES) if name in rows]
    grouped = rows.groupby(keys, sort=True)
    out = grouped[numbers].mean()
    complete = grouped[numbers].count().eq(grouped.size(), axis=0)
    out = out.where(complete)
    if "cluster" in rows:
        out["cluster"] = grouped["cluster"].first()
    return out.reset_index()


def signed(df: pd.DataFrame) -> pd.DataFrame:
    """Conditions in which every gain is claimed to fall as the gap grows: excess risk with its sign turned."""
    turned = df["definition"].map(lambda name: -expected(str(name)))
    return df.assign(gain=df["gain"] * turned)
