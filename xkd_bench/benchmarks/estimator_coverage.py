"""Do the bounds of `estimators` hold, and what can they see?

Draws data with known distances, many times, and counts how often each range covers the truth (at least as often as it
says?) and how small a gap each bound can tell from zero (power). Writes tables (CSV, Markdown) and plots (PNG, SVG) to
`results/estimators/`. Finished cases are kept in `results/artefacts/estimators/` and never computed twice.

    python -m xkd_bench.benchmarks.estimator_coverage [--replicates 500] [--rows 500] [--out results/estimators]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from xkd_bench.benchmarks import coverage_laws as laws
from xkd_bench.benchmarks.coverage_estimators import ESTIMATORS, Subject

CONFIDENCE = 0.95
TVS = (0.0, 0.04, 0.2, 0.68)
POWER_TVS = (0.02, 0.03, 0.04, 0.06, 0.08, 0.1, 0.14, 0.2, 0.28, 0.4, 0.56, 0.8)
VERSION = 2  # raise when the meaning of a case changes: stored cases are then computed anew


@dataclass(frozen=True)
class Case:
    """One set of conditions; replicates differ in their random numbers alone."""

    study: str  # coverage | power
    law: str
    d: int
    tv: float
    dependence: str  # paired | unpaired | grouped
    n: int
    replicates: int
    estimators: tuple[str, ...] = field(default=())

    @property
    def key(self) -> str:
        """Name of the case's file: readable, and different whenever any setting is."""
        text = json.dumps([VERSION, asdict(self)], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        return f"{self.study}-{self.law}-d{self.d}-tv{self.tv:g}-{self.dependence}-n{self.n}-{digest}"

    @property
    def title(self) -> str:
        """The conditions in words."""
        title = f"{self.law}, d {self.d}, TV {self.tv:g}, {self.dependence}"
        return f"{title} ({', '.join(self.estimators)})" if self.estimators else title

    def generator(self, replicate: int) -> np.random.Generator:
        """Random numbers of one replicate, seeded by name."""
        digest = hashlib.sha256(f"{self.key}:{replicate}".encode()).digest()
        return np.random.default_rng(np.frombuffer(digest, np.uint32))


def coverage_cases(n: int, replicates: int) -> list[Case]:
    """Every condition of the coverage study, cheap ones first."""
    cases = []
    for dependence in ("paired", "unpaired"):
        for law, d in (("gaussian", 2), ("student", 2), ("discrete", 1), ("gaussian", 32), ("gaussian", 256)):
            cases += [Case("coverage", law, d, tv, dependence, n, replicates) for tv in TVS]
    cases += [Case("coverage", "gaussian", 2, tv, "grouped", n, replicates) for tv in TVS]
    whole = ("tv_classifier, all families",)  # minutes a case
    cases.append(Case("coverage", "gaussian", 2, 0.0, "paired", n, replicates, whole))
    return sorted(cases, key=lambda c: (bool(c.estimators), c.d))


def run_case(case: Case, tick: Callable[[], None] = lambda: None) -> list[dict[str, Any]]:
    """One row for each estimator of a case."""
    names = case.estimators or tuple(
        n for n, s in ESTIMATORS.items() if s.applies(case.study, case.law, case.dependence, case.tv)
    )
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in names}
    seconds = dict.fromkeys(names, 0.0)
    for replicate in range(case.replicates):
        rng = case.generator(replicate)
        data = laws.draw(case.law, case.d, case.tv, case.dependence, case.n, rng)
        seed = int(rng.integers(2**31))  # one for all: bounds that learn the same scores share the fit
        for name in names:
            start = time.perf_counter()
            found[name].append(_one(ESTIMATORS[name], data, seed))
            seconds[name] += time.perf_counter() - start
        tick()
    return [_row(case, name, np.array(found[name]), seconds[name]) for name in names]


def _one(subject: Subject, data: laws.Drawn, seed: int) -> tuple[float, float, float, float]:
    estimate = subject.estimate(data, seed)
    return estimate.low, estimate.value, estimate.high, subject.truth(data)


def _row(case: Case, name: str, values: np.ndarray[Any, np.dtype[np.float64]], seconds: float) -> dict[str, Any]:
    low, value, high, truth = values.T
    tolerance = 1e-12
    covered = int(((low <= truth + tolerance) & (truth <= high + tolerance)).sum())
    count = len(values)
    interval = stats.binomtest(covered, count).proportion_ci(0.95, "exact")
    # Chance of so few successes if the range held just at its level.
    shortfall = float(stats.binom.cdf(covered, count, CONFIDENCE))
    row = {k: v for k, v in asdict(case).items() if k != "estimators"}
    return row | {
        "estimator": name,
        "kind": ESTIMATORS[name].kind,
        "nominal": CONFIDENCE,
        "truth": float(truth.mean()),
        "coverage": covered / count,
        "coverage_low": float(interval.low),
        "coverage_high": float(interval.high),
        "p_below_nominal": shortfall,
        "holds": bool(shortfall >= 0.001) if ESTIMATORS[name].guaranteed(case.tv) else None,
        "mean_low": float(low.mean()),
        "mean_value": float(value.mean()),
        "mean_high": float(high.mean()),
        "detected": float((low > 0).mean()),
        "ms_per_call": 1e3 * seconds / count,
    }


def power_cases(replicates: int, rows: Sequence[int] = (200, 1000, 5000)) -> list[list[Case]]:
    """For each (d, n), conditions from the largest gap to the smallest."""
    names = tuple(name for name, s in ESTIMATORS.items() if s.in_power)
    return [
        [Case("power", "gaussian", d, tv, "unpaired", n, replicates, names) for tv in reversed(POWER_TVS)]
        for d in (2, 32, 256)
        for n in rows
    ]


def smallest_seen(rows: pd.DataFrame, power: float = 0.8) -> pd.DataFrame:
    """Per estimator, d and n: the smallest gap, with all larger ones, that is told from 0 in `power` of replicates."""
    table: list[dict[str, Any]] = []
    if rows.empty:
        return pd.DataFrame(table)
    for (name, d, n), part in rows.groupby(["estimator", "d", "n"], sort=False):
        seen = np.nan
        for _, row in part.sort_values("tv", ascending=False).iterrows():
            if row["detected"] < power:
                break
            seen = row["tv"]
        table.append(
            {"estimator": name, "d": d, "n": n, "smallest_tv": seen, "replicates": int(part["replicates"].max())}
        )
    return pd.DataFrame(table)


class Store:
    """Finished cases as JSON files, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def read(self, case: Case) -> list[dict[str, Any]] | None:
        """Rows of a finished case, or None."""
        path = self.folder / f"{case.key}.json"
        rows: list[dict[str, Any]] | None = json.loads(path.read_text()) if path.exists() else None
        return rows

    def write(self, case: Case, rows: list[dict[str, Any]]) -> None:
        """Keep the rows: to a temporary name, synced, renamed."""
        path = self.folder / f"{case.key}.json"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        with temporary.open("w") as file:
            json.dump(rows, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)


def run_study(
    cases: Iterable[Case], ladders: Iterable[list[Case]], store: Store, finished_only: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Coverage rows and power rows, with a progress bar that shows the time left.

    With `finished_only` nothing is computed: stored cases alone are returned.
    """
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    cases, ladders = list(cases), list(ladders)
    columns = (
        TextColumn("{task.description:<46}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    # Replicates are weighed by their cost, so that "left" means something.
    total = sum(_weight(c) * c.replicates for c in cases) + sum(_weight(c) * c.replicates for l in ladders for c in l)  # noqa: E741
    rows: dict[str, list[dict[str, Any]]] = {"coverage": [], "power": []}
    with Progress(*columns) as progress:
        bar = progress.add_task("coverage", total=total)

        def one(case: Case) -> list[dict[str, Any]]:
            progress.update(bar, description=case.key.rsplit("-", 1)[0])
            done = store.read(case)
            if done is None and finished_only:
                return []
            if done is None:
                done = run_case(case, lambda: progress.advance(bar, _weight(case)))
                store.write(case, done)
            else:
                progress.advance(bar, _weight(case) * case.replicates)
            rows[case.study] += done
            return done

        for case in cases:
            if not case.estimators:
                one(case)
        for ladder in ladders:
            skip, begun = False, len(rows["power"])
            for case in ladder:
                if skip:  # a smaller gap is not seen where a larger one was not
                    progress.advance(bar, _weight(case) * case.replicates)
                else:
                    found = one(case)
                    if not found:  # half a ladder would say that smaller gaps are not seen
                        del rows["power"][begun:]
                        break
                    skip = all(row["detected"] < 0.8 for row in found)
        for case in cases:
            if case.estimators:
                one(case)
    return pd.DataFrame(rows["coverage"]), pd.DataFrame(rows["power"])


def _weight(case: Case) -> int:
    fits = 40 if "all families" in "".join(case.estimators) else 1
    return max(1, fits * round((case.n / 500) ** 0.5) * (8 if case.d > 100 else 2 if case.d > 10 else 1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the study, or finish one that was interrupted, and write its tables and plots."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--replicates", type=int, default=500, help="draws per coverage case")
    parser.add_argument("--power-replicates", type=int, default=40, help="draws per power case")
    parser.add_argument("--rows", type=int, default=500, help="rows (or pairs, or groups) per draw in coverage cases")
    parser.add_argument("--out", type=Path, default=Path("results/estimators"))
    parser.add_argument("--cache", type=Path, default=Path("results/artefacts/estimators"))
    parser.add_argument("--finished-only", action="store_true", help="compute nothing, report what is stored")
    options = parser.parse_args(arguments)
    cases, ladders = coverage_cases(options.rows, options.replicates), power_cases(options.power_replicates)
    coverage, power = run_study(cases, ladders, Store(options.cache), options.finished_only)
    from xkd_bench.benchmarks.coverage_report import write

    store = Store(options.cache)
    missing = [case.title for case in cases if store.read(case) is None]
    for path in write(coverage, smallest_seen(power), options.out, missing):
        print(path)


if __name__ == "__main__":
    main()
