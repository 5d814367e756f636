"""The table that relates gains to gaps: one row for each gain and gap of a condition, checked once.

What makes it (the gaps of oracle encoders, the gains of records) lives elsewhere; regressions, specification curves and
claims start from here.
"""

from __future__ import annotations

import pandas as pd

from xkd_bench.errors import UsageError

KEYS = ("family", "condition", "method", "protocol", "definition", "estimator")
NUMBERS = ("gain", "gain_se", "gap", "gap_se", "n_seeds")
COLUMNS = (*KEYS, *NUMBERS)
"""family: the task that a condition is a variant of (the cluster). condition: one degree or pair of it. definition:
what `gain` is (raw, relative, error_reduction, net, excess_risk ...). estimator: what `gap` is. Standard errors may be
NaN; further columns are covariates."""
MAY_BE_NULL = ("gain_se", "gap_se")


def check(df: pd.DataFrame) -> pd.DataFrame:
    """The frame with the columns that regressions need, its rows without gain or gap left out.

    Raises:
        UsageError: a column lacks, or the same condition is there twice under one specification.
    """
    if lacking := [name for name in COLUMNS if name not in df.columns]:
        raise UsageError(f"conditions lack the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}")
    if df.duplicated(list(KEYS)).any():
        row = df[df.duplicated(list(KEYS))].iloc[0]
        raise UsageError(f"condition '{row['condition']}' is there twice for {row['method']}, {row['protocol']}, "
                         f"{row['definition']}, {row['estimator']}")  # fmt: skip
    return df[df["gain"].notna() & df["gap"].notna()].reset_index(drop=True)


def choose(df: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Rows with these values of `KEYS`."""
    for name, value in wanted.items():
        df = df[df[name] == value]
    return df.reset_index(drop=True)
