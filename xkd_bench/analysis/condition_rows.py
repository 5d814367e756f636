"""Makes the table of conditions: what methods gain on a task beside how far apart its modalities are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from xkd_bench.analysis import conditions
from xkd_bench.analysis.gains import gain_table
from xkd_bench.analysis.scores import variants
from xkd_bench.errors import UsageError

COVARIATES = ("against", "baseline", "n_pairs", "capacity", "cluster", "budget")
"""against: what the gain is over. baseline: its mean accuracy (of `net` and `excess_risk`, the usual reference's).
n_pairs: target items that distillation saw. capacity: effective rank of the target features that the gap is of.
cluster: conditions of one cluster are not independent evidence, for their drawings or items descend from each other."""
COLUMNS = (*conditions.COLUMNS, *COVARIATES)
REFERENCE = {"linear-eval": "ssl", "fine-tune": "sup-ft"}
"""What the paper's gains are over; protocols with one setting each."""
NORMAL = 1.959964
TWO_SIDED = ("interval", "plug-in")


def family_of(task: str) -> str:
    """The task that this one is a variant of: 'emoji' of 'emoji:noto>twemoji', and that pair of 'emoji:noto>twemoji@…'.

    A degraded task varies its degradation. Else what follows the colon varies, unless it is a path: folders are tasks.
    """
    plain, degraded, _ = task.partition("@")
    name, _, argument = plain.partition(":")
    return plain if degraded or "/" in argument or "." in argument.partition("=")[0] else name


def data_set_of(task: str) -> str:
    """The data set that all variants of this task are made of: 'emoji' of every pair of its styles, degraded or not."""
    return family_of(family_of(task))


def cluster_of(task: str, card: Mapping[str, Any]) -> str:
    """A name that conditions share which descend from each other (`Card.lineage`), or are of the same items."""
    if "@" in task or card["origin"] == "simulated":
        return family_of(task)
    sides = [
        family or own for family, own in zip(card["lineage"], (card["source"], card["target"]), strict=True)
    ]  # fmt: skip
    return f"{family_of(task)}: {' > '.join(sides)}"


def make(
    records: pd.DataFrame, gaps: pd.DataFrame, bounds: pd.DataFrame, splits: Mapping[str, Mapping[str, int]]
) -> pd.DataFrame:
    """Every gain of a task beside every gap of it, one row each, columns `COLUMNS`.

    records, gaps, bounds: of one budget. splits: of a record's key, how many items each part has. Gains are those with
    all labels and all pairs, over `REFERENCE`, and `excess_risk` from the bounds; a method is named as in the tables,
    with its changed options. Gaps are larger the farther apart: of alignments they are 1 - value. The gap's error is
    the larger of the spread over seeds and one seed's own range: seeds split the same items, so that the former alone
    may be too small. `attrs["left_out"]`: tasks whose runs cannot be compared, with the reason.
    """
    if records.empty or gaps.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    found, left_out = [], []
    for (task, protocol), part in _tables(records):
        try:
            found += [_gains(part, splits), _excess(part, bounds, splits)]
        except UsageError as error:  # runs that no one table can hold
            left_out.append(f"{task}, {protocol}: {error}")
    gains = pd.concat([part for part in found if len(part)] or [pd.DataFrame(columns=["condition"])])
    out = gains.merge(_gaps(gaps), on="condition", how="inner")
    if out.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    out["n_seeds"] = out[["n_seeds", "gap_seeds"]].min(axis=1)
    out = out[list(COLUMNS)].sort_values(list(conditions.KEYS)).reset_index(drop=True)
    out.attrs["left_out"] = left_out
    return out


def _tables(records: pd.DataFrame) -> Any:
    """Scores that may be compared: of one task and protocol, of the version of its data that has the most of them."""
    wanted = records["protocol"].isin(list(REFERENCE)) & records["labels_per_class"].isna()
    rows = records[wanted & (records["pair_fraction"] == 1.0)]
    for key, part in rows.groupby(["task", "protocol"]):
        most = part["data_digest"].value_counts().index[0]
        yield key, part[part["data_digest"] == most].reset_index(drop=True)


def _gains(part: pd.DataFrame, splits: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """Gains over the reference, in every scale, and net of the controls."""
    protocol = str(part["protocol"].iloc[0])
    table = gain_table(part, against=[REFERENCE[protocol]])
    return pd.DataFrame({
        "condition": part["task"].iloc[0], "method": table["variant"], "protocol": protocol,
        "definition": table["definition"], "gain": table["gain"], "gain_se": table["se"], "n_seeds": table["n_seeds"],
        "against": table["against"], "baseline": _baseline(part), "n_pairs": _pairs(part, splits),
    })  # fmt: skip


def _pairs(part: pd.DataFrame, splits: Mapping[str, Mapping[str, int]]) -> float:
    return float(np.mean([splits[key]["pairs_target"] for key in part["key"].unique()]))


def _excess(part: pd.DataFrame, bounds: pd.DataFrame, splits: Mapping[str, Mapping[str, int]]) -> pd.DataFrame:
    """Risk above the best attainable, of methods under test."""
    named = variants(part)
    named = named[named["role"] == "method"].drop_duplicates("key")[["key", "variant"]]
    both = bounds.merge(named, left_on="run", right_on="key")
    return pd.DataFrame([
        {
            "condition": part["task"].iloc[0], "method": variant, "protocol": part["protocol"].iloc[0],
            "definition": "excess_risk", "gain": runs["excess"].mean(),
            "gain_se": _error(runs["excess"], runs["excess_se"]), "n_seeds": runs["seed"].nunique(), "against": "R*",
            "baseline": _baseline(part), "n_pairs": _pairs(part, splits),
        }
        for variant, runs in both.groupby("variant")
    ])  # fmt: skip


def _baseline(part: pd.DataFrame) -> float:
    """Mean accuracy of the reference."""
    rows = part[part["method"] == REFERENCE[str(part["protocol"].iloc[0])]]
    return float(rows.groupby("seed")["value"].mean().mean())


def _gaps(gaps: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of each estimator of distance or alignment: condition, estimator, gap, gap_se and covariates."""
    rows = []
    ranks = gaps[gaps["estimator"] == "effective_rank_target"].groupby(["task", "encoders"])["value"].mean()
    wanted = gaps[gaps["panel"].isin(["distance", "alignment"]) & gaps["value"].notna()]
    for (task, encoders, estimator), part in wanted.groupby(["task", "encoders", "estimator"]):
        aligned = (part["panel"] == "alignment").to_numpy()
        value = pd.Series(np.where(aligned, 1 - part["value"], part["value"]))
        own = ((part["high"] - part["low"]) / (2 * NORMAL)).where(part["kind"].isin(TWO_SIDED))
        first = part.iloc[0]
        rows.append({
            "condition": task, "family": first["family"], "cluster": first["cluster"], "budget": first["budget"],
            "estimator": f"{encoders}:{estimator}", "gap": value.mean(), "gap_se": _error(value, own),
            "gap_seeds": part["seed"].nunique(), "capacity": ranks.get((task, encoders), np.nan),
        })  # fmt: skip
    return pd.DataFrame(rows, columns=["condition", "family", "cluster", "budget", "estimator", "gap", "gap_se",
                                       "gap_seeds", "capacity"])  # fmt: skip


def _error(value: pd.Series[Any], own: pd.Series[Any]) -> float:
    """Standard error of a mean over seeds: from their spread, but no less than a single seed's own, in the mean."""
    spread = float(value.std(ddof=1) / np.sqrt(len(value))) if len(value) > 1 else np.nan
    return float(np.nanmax([spread, own.mean(), -np.inf])) if np.isfinite([spread, own.mean()]).any() else np.nan
