"""Which conditions carry a slope: leave one task out, leave one condition out, Cook's distance."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from xkd_bench.analysis.intervals import Floats
from xkd_bench.analysis.regression import Fit, design, ols, prepared


def leave_one_task_out(
    df: pd.DataFrame, fit: Callable[[pd.DataFrame], Fit] = ols, full: Fit | None = None
) -> pd.DataFrame:
    """The slope without each task: columns family (left out), n, slope, low, high, p, flips.

    flips: whether the sign differs from that of all tasks together.
    """
    rows = prepared(df)
    whole = full or fit(rows)
    out = []
    for family in sorted(rows["family"].unique()):
        found = fit(rows[rows["family"] != family].reset_index(drop=True))
        flips = bool(np.isfinite(found.slope) and np.sign(found.slope) != np.sign(whole.slope))
        out.append({"family": family, "n": found.n, "slope": found.slope, "low": found.low, "high": found.high,
                    "p": found.p, "flips": flips})  # fmt: skip
    return pd.DataFrame(out)


def cooks(df: pd.DataFrame, covariates: Sequence[str] = ()) -> pd.DataFrame:
    """Of each condition in least squares with an intercept for each task: leverage, cook, slope_without, outlying.

    cook: Cook's distance over all coefficients (Cook, Technometrics 19 (1977) 15-18). slope_without: the slope of the
    gap when the condition is left out, in closed form. outlying: cook above 4 / n, the customary mark to look at.
    """
    rows = prepared(df, covariates)
    x, y = design(rows, covariates), rows["gain"].to_numpy(dtype=float)
    inverse = np.linalg.pinv(x.T @ x)
    beta = inverse @ x.T @ y
    residual = y - x @ beta
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    free = np.maximum(1 - leverage, 1e-12)
    k = x.shape[1]
    variance = float(residual @ residual) / max(len(y) - k, 1)
    cook: Floats = residual**2 * leverage / (k * max(variance, 1e-300) * free**2)
    without = beta[0] - (x @ inverse[:, 0]) * residual / free
    keys = [name for name in ("family", "condition") if name in rows]
    return rows[keys].assign(leverage=leverage, cook=cook, slope_without=without, outlying=cook > 4 / len(y))
