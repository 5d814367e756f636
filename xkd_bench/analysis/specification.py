"""The specification curve: the relation of gain and gap under every defensible choice at once, tested jointly.

A sign can be picked by choosing the gap's estimator, the gain's definition, the method and the protocol. Here all
combinations are fitted, shown in order, and compared with what shuffled gaps give: Simonsohn, Simmons and Nelson,
Nature Human Behaviour 4 (2020) 1208-1214.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from xkd_bench.analysis.conditions import check
from xkd_bench.analysis.intervals import Floats
from xkd_bench.analysis.permutation import CLOSE, centred, pair_orders, styles
from xkd_bench.errors import UsageError

CHOICES = ("estimator", "definition", "method", "protocol")
STATISTICS = ("median", "share", "significant")


@dataclass(frozen=True)
class Curve:
    """A specification curve and its joint test.

    specifications: a row each, by r: `CHOICES`, r (rank correlation within task), p (its own, by the same shuffles),
        n. joint: a row for each statistic: value, p (two-sided), and the 2.5 and 97.5 % points under shuffled gaps.
    null: r of each specification (in the order of `specifications`) under each shuffle, [shuffles, specifications].
    conditions, families: how many were shuffled, in how many tasks.
    """

    specifications: pd.DataFrame
    joint: pd.DataFrame
    null: Floats
    conditions: int
    families: int


def curve(
    df: pd.DataFrame, expected: int = -1, choices: Sequence[str] = CHOICES, shuffles: int = 999, seed: int = 0,
    min_conditions: int = 5,
) -> Curve:  # fmt: skip
    """Fit every specification of the conditions `df` (`analysis.conditions.COLUMNS`) and test them together.

    expected: the sign that the theory claims (-1: gains fall as gaps grow).

    The joint test shuffles conditions within their task, the same way for all specifications: a condition takes the
    gaps of another, all its estimators' at once. Dependence between specifications, which share conditions, scores and
    features, is so kept, and the test exact. Its statistics: the median r; the share of specifications with the
    expected sign; the share that is significant at 5 % with it. Two-sided p of median and share, each with the
    observed arrangement counted, never 0; of 'significant', one-sided: it is high or it is not.

    Raises:
        UsageError: no specification has `min_conditions` conditions with a gain and a gap.
    """
    gains, gaps, keys = _tables(check(df), choices, min_conditions)
    if not len(keys):
        raise UsageError(f"no specification has {min_conditions} conditions with a gain and a gap in a task of two")
    families = gains.index.get_level_values("family").to_numpy()
    x, y, members = _centred(gains, gaps, families)
    orders = _orders(families, gains.index.get_level_values("condition").to_numpy(), shuffles, seed)
    observed = _correlations(x, y, members, np.arange(len(families))[None])[0]
    null = _correlations(x, y, members, orders)
    tops = (np.abs(null) >= np.abs(observed) - CLOSE).sum(axis=0)
    table = keys.assign(r=observed, p=(1 + tops) / (1 + shuffles), n=members.sum(axis=0))
    joint = _joint(observed, null, expected)
    order = np.argsort(observed, kind="stable")
    counted = pd.Series(families).value_counts()
    return Curve(table.iloc[order].reset_index(drop=True), joint, null[:, order], len(families), len(counted))


def _tables(df: pd.DataFrame, choices: Sequence[str], least: int) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Gains and gaps, [condition, specification], NaN where a specification lacks a condition; and the choices."""
    index = ["family", "condition"]
    wide = {name: df.pivot_table(index=index, columns=list(choices), values=name) for name in ("gain", "gap")}
    gains, gaps = wide["gain"], wide["gap"].reindex_like(wide["gain"])
    both = gains.notna() & gaps.notna()
    sizes = both.groupby(level="family").transform("sum")
    usable = both & (sizes > 1)
    kept = usable.sum() >= least
    varied = gaps.where(usable).groupby(level="family").nunique().gt(1).any()
    kept &= varied & gains.where(usable).groupby(level="family").nunique().gt(1).any()
    gains, gaps = gains.loc[:, kept], gaps.loc[:, kept]
    return gains.where(usable), gaps.where(usable), gains.columns.to_frame(index=False)


def _centred(
    gains: pd.DataFrame, gaps: pd.DataFrame, families: NDArray[np.object_]
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Centred midranks within task, as in `permutation.association`; 0 where a specification lacks the condition."""
    members = gains.notna().to_numpy()
    out = []
    for table in (gaps, gains):
        values, ranks = table.to_numpy(dtype=float), np.zeros(table.shape)
        for family in np.unique(families):
            for j in range(values.shape[1]):
                rows = np.flatnonzero((families == family) & members[:, j])
                if len(rows) > 1:
                    ranks[rows, j] = centred(values[rows, j], rank=True)
        out.append(ranks)
    return out[0], out[1], members


def _orders(families: NDArray[np.object_], names: NDArray[np.object_], shuffles: int, seed: int) -> NDArray[np.int64]:
    """Shuffles of the conditions within their task, of pairs of styles by their styles: [shuffles, conditions]."""
    rng = np.random.default_rng(seed)
    out = np.tile(np.arange(len(families)), (shuffles, 1))
    for family in np.unique(families):
        rows = np.flatnonzero(families == family)
        if pairs := styles(names[rows].tolist()):
            out[:, rows] = rows[pair_orders(pairs, shuffles, rng)]
        else:
            out[:, rows] = rows[rng.random((shuffles, len(rows))).argsort(axis=1)]
    return out


def _correlations(x: Floats, y: Floats, members: NDArray[np.bool_], orders: NDArray[np.int64]) -> Floats:
    """r of each specification when conditions take the gaps of others: [orders, specifications].

    Where a specification lacks the gap that a condition would take, the condition drops out of that shuffle, so the
    scale is taken anew in each.
    """
    out = np.empty((len(orders), x.shape[1]))
    for i, order in enumerate(orders):
        moved = x[order]
        there = members & members[order]
        top = (moved * y).sum(axis=0)
        scale = np.sqrt(((moved**2) * there).sum(axis=0) * ((y**2) * there).sum(axis=0))
        out[i] = np.divide(top, scale, out=np.zeros_like(top), where=scale > CLOSE)
    return out


def _joint(observed: Floats, null: Floats, expected: int) -> pd.DataFrame:
    """The joint statistics against their law under shuffled gaps."""
    limit = np.quantile(np.abs(null), 0.95, axis=0)

    def statistics(r: Floats) -> Floats:
        with_sign = r * expected > CLOSE
        return np.stack(
            [np.median(r, axis=-1), with_sign.mean(axis=-1), (with_sign & (np.abs(r) > limit)).mean(axis=-1)]
        )

    value, law = statistics(observed), statistics(null)
    rows = []
    for name, seen, drawn in zip(STATISTICS, value, law, strict=True):
        high, low = (
            (1 + int((side >= 0).sum())) / (1 + len(drawn)) for side in (drawn - seen + CLOSE, seen - drawn + CLOSE)
        )
        p = high if name == "significant" else min(1.0, 2 * min(high, low))
        points = np.quantile(drawn, [0.025, 0.975])
        rows.append({"statistic": name, "value": float(seen), "p": p, "null_low": points[0], "null_high": points[1]})
    return pd.DataFrame(rows)


def in_words(found: Curve, expected: int = -1) -> str:
    """What the curve says, in one sentence."""
    joint = found.joint.set_index("statistic")
    share, median = (float(joint["value"][name]) for name in ("share", "median"))
    p, n = float(joint["p"]["median"]), len(found.specifications)
    direction = "fall" if expected < 0 else "rise"
    said = (
        f"{share:.0%} of {n} specifications say that gains {direction} with the gap; median correlation {median:+.2f}, "
        f"joint p {p:.3f} ({found.conditions} conditions in {found.families} tasks, shuffled within task)"
    )
    return said.replace("-", "−")
