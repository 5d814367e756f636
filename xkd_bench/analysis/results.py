"""All that a results folder knows, as tidy tables: the one door from a folder to the analyses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from xkd_bench.analysis import condition_rows, scores
from xkd_bench.analysis.condition_rows import cluster_of, family_of
from xkd_bench.errors import UsageError
from xkd_bench.store import Store

GAP_COLUMNS = (
    *("key", "task", "family", "condition", "cluster", "origin", "seed", "budget", "encoders", "oracle", "estimator"),
    *("panel", "name", "value", "low", "high", "confidence", "n", "kind", "note"),
)
"""One row for each estimator of a measured gap. `encoders`: whose features: oracle (the usual ones of the task), raw,
teacher, or an oracle by another training (oracle-contrastive ...); `oracle`: how these were had (exact, supervised,
contrastive; '' for others). `condition` is the task's whole name, `family` and `cluster` as in `conditions`."""
BOUND_COLUMNS = (
    *("run", "task", "family", "condition", "cluster", "method", "options", "pairs", "teacher", "student", "protocol"),
    *("budget", "seed", "risk", "risk_star", "star", "excess", "excess_se", "bound", "tightness", "n_test"),
)
"""One row a run: `run` is its record's key; risk, excess and bound (κ = 1) are fractions; star: what risk_star is the
risk of; tightness: excess / bound."""
TERM_COLUMNS = ("run", "term", "value", "low", "high", "tag", "note")
"""One row for each term of a run's bound; tag: exact, measured, proxy or vacuous (`analysis.bound`)."""
BUDGETS = ("paper", "laptop", "smoke")
"""Whose records conditions are made of, the first that there are records of: budgets never mix."""


@dataclass(frozen=True)
class Results:
    """Tidy tables of a results folder; what is not there yet is an empty frame with its columns.

    records: one row a score (`analysis.scores.COLUMNS`), of every budget. gaps, bounds, terms: columns above, of every
    budget. conditions: gains beside gaps, of `budget` alone (`analysis.conditions`); budget: '' if there are none.
    """

    records: pd.DataFrame
    gaps: pd.DataFrame
    conditions: pd.DataFrame
    bounds: pd.DataFrame
    terms: pd.DataFrame
    budget: str


def load(path: str | Path, budget: str | None = None) -> Results:
    """Read a results folder.

    budget: whose gains and gaps `conditions` relates; the first of `BUDGETS` that there are records of.

    Raises:
        UsageError: there are no records of that budget.
    """
    store = Store(path)
    found = store.records()
    records = store.frame([record["key"] for record in found]) if found else pd.DataFrame(columns=list(scores.COLUMNS))
    used = _budget(records, budget, path)
    gaps, bounds, terms = gap_frame(store.measured("gaps")), *bound_frames(store.measured("bounds"))
    splits = {record["key"]: record["split"] for record in found}
    made = condition_rows.make(_of(records, used), _of(gaps, used), _of(bounds, used), splits)
    return Results(records, gaps, made, bounds, terms, used)


def gap_frame(found: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Measured gaps (gap.json) as rows of `GAP_COLUMNS`."""
    rows = []
    for gap in _newest(found, ("task", "seed", "budget", "encoders", "data_digest")):
        shared = {name: gap[name] for name in ("key", "task", "seed", "budget", "encoders", "oracle")}
        shared |= _placed(gap["task"], gap["card"])
        rows += [shared | row for row in gap["rows"]]
    return _table(rows, GAP_COLUMNS)


def bound_frames(found: Iterable[dict[str, Any]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bounds of runs (bound.json) as rows of `BOUND_COLUMNS`, and their terms as rows of `TERM_COLUMNS`."""
    bounds, terms = [], []
    for one in _newest(found, ("run",)):
        bounds.append({**one["numbers"], **one["spec"], **_placed(one["spec"]["task"], one["card"]), "run": one["run"]})
        terms += [{"run": one["run"], **term} for term in one["terms"]]
    return _table(bounds, BOUND_COLUMNS), _table(terms, TERM_COLUMNS)


def _newest(found: Iterable[dict[str, Any]], identity: tuple[str, ...]) -> list[dict[str, Any]]:
    """Of measurements of one thing, that by the newest version of the measurement."""
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in sorted(found, key=lambda one: (one["version"], one["key"])):
        kept[tuple(one[name] for name in identity)] = one
    return list(kept.values())


def _placed(task: str, card: dict[str, Any]) -> dict[str, Any]:
    return {"condition": task, "family": family_of(task), "cluster": cluster_of(task, card), "origin": card["origin"]}


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns))


def _of(df: pd.DataFrame, budget: str) -> pd.DataFrame:
    return df[df["budget"] == budget].reset_index(drop=True)


def _budget(records: pd.DataFrame, budget: str | None, path: str | Path) -> str:
    there = sorted(records["budget"].unique())
    if budget is not None and budget not in there:
        raise UsageError(f"no records of budget '{budget}' in {path}: there are {', '.join(there) or 'none'}")
    return budget or next((name for name in BUDGETS if name in there), "")
