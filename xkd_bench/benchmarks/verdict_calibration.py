"""Do intervals and verdicts err as often as they say? Simulated studies, many times, counted.

Each study draws a world whose truth is known and says whether the analysis erred in it (or, for power, whether it saw
what is there). Writes a table (CSV, Markdown) to `results/calibration/`.

    python -m xkd_bench.benchmarks.verdict_calibration [--replicates 400] [--out results/calibration]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from xkd_bench.analysis import study
from xkd_bench.analysis.bound_check import check
from xkd_bench.analysis.claims_theory import bound_holds, gap_relation, in_every_scale
from xkd_bench.analysis.gains_bootstrap import Worth, bootstrap
from xkd_bench.analysis.ledger import Data, Test
from xkd_bench.analysis.permutation import association
from xkd_bench.analysis.regression import Fit, errors_in_variables, mixed, ols, theil_sen
from xkd_bench.analysis.sign_errors import sign_errors
from xkd_bench.analysis.specification import curve
from xkd_bench.analysis.verdicts import Region, pooled, t_evidence
from xkd_bench.benchmarks.calibration_worlds import bound_study
from xkd_bench.report.atomic import write_all

LEVEL = 0.05
AT_MOST, POWER, KNOWN = "errs at most 5 %", "power", "errs more, and says so"
RISES = Region(low=0, unit="")
FIRST = study.ESTIMATORS[0]
TRUTH = 0.5


@dataclass(frozen=True)
class Study:
    """One question. says: what the analysis promises (`AT_MOST`), 'power', or an error that its output names.
    event: the number of a replicate to whether it erred (of power: whether it saw)."""

    says: str
    event: Callable[[int], bool]


def _decided(test: Test, wanted: str, rng: int, **world: Any) -> bool:
    """Whether the verdict is `wanted`; of 'any', supported or refuted."""
    conditions, bounds, _ = bound_study(rng=rng, **world)
    found = test(Data(conditions=conditions, bounds=bounds), RISES)
    said = found.verdict(RISES, found.p)
    return said != "undecided" if wanted == "any" else said == wanted


def _missed(fit: Callable[[pd.DataFrame], Fit], rng: int, truth: float = TRUTH, **world: Any) -> bool:
    """Whether the interval of a slope misses the truth; an estimator that has none does not err."""
    found = fit(study.relation(bound_study(truth, rng=rng, **world)[0], "excess_risk", FIRST))
    return not (np.isnan(found.low) or found.low <= truth <= found.high)


def _gain_missed(definition: str, rng: int, seeds: int = 3, draws: int = 3, items: int = 300) -> bool:
    """Whether the hierarchical bootstrap misses a gain of 0.1 over 0.5 whose seeds differ by 0.05."""
    random = np.random.default_rng(rng)
    sides: tuple[Worth, Worth] = ({}, {})
    for seed in range(seeds):
        luck, shift = random.random((draws, items)), random.normal(0, 0.05)
        for side, chance in zip(sides, (0.6 + shift, 0.5), strict=True):
            side[seed] = dict(enumerate((luck < chance).astype(float)))
    low, high, _ = bootstrap(*sides, definition, replicates=300, seed=rng)
    return not low <= (0.1 if definition == "raw" else 0.2) <= high


def _mean_decided(rng: int, conditions: int = 4, seeds: int = 3) -> bool:
    """Whether the mean over conditions of differences around zero is told from it; conditions differ in their "
    "spread."""
    x = np.random.default_rng(rng).normal(size=(conditions, seeds)) * np.geomspace(1, 5, conditions)[:, None]
    effect, se, df = pooled(x.mean(1), x.std(1, ddof=1) / np.sqrt(seeds), np.full(conditions, seeds - 1))
    found = t_evidence(effect, se, df, RISES, conditions * seeds, "seeds", "")
    return found.verdict(RISES, found.p) != "undecided"


def _curve_decided(rng: int) -> bool:
    rows = study.signed(bound_study(0.0, families=3, each=8, rng=rng)[0])
    joint = curve(rows, shuffles=199, seed=rng).joint
    return bool((joint.loc[joint["statistic"] == "median", "p"] <= LEVEL).all())


def _signs_decided(rng: int) -> bool:
    rows = study.relation(bound_study(0.0, families=1, rng=rng)[0], "raw", FIRST)
    return bool((sign_errors(rows, shuffles=199, seed=rng)["p"] <= LEVEL).any())


def _styles_decided(rng: int, shuffled: bool = True) -> bool:
    """Whether pairs of six styles relate, when each target has a gap and a gain of its own; `shuffled`: as styles."""
    random, names = np.random.default_rng(rng), "abcdef"
    pairs = [(a, b) for a in names for b in names if a != b]
    gap_of, gain_of = (dict(zip(names, random.normal(size=6), strict=True)) for _ in range(2))
    gap, gain = (np.array([of[b] for _, b in pairs]) + 0.2 * random.normal(size=30) for of in (gap_of, gain_of))
    told = [f"emoji:{a}>{b}" for a, b in pairs] if shuffled else None
    return association(gap, gain, names=told, draws=499, seed=rng).p <= LEVEL


def _on_the_edge(rng: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Bounds that hold with κ = 1 and nothing to spare, seen through the noise of test items."""
    _, bounds, terms = bound_study(families=2, each=5, loose=0.4, rng=rng)
    noise = np.random.default_rng(rng).normal(0, 1, len(bounds))
    return bounds.assign(excess=bounds["bound"] + noise * bounds["excess_se"]), terms


def _bound_refuted(rng: int) -> bool:
    found = bound_holds(Data(bounds=_on_the_edge(rng)[0]), Region(low=0))
    return found.verdict(Region(low=0), found.p) == "refuted"


H1, SCALES = gap_relation("excess_risk", FIRST), in_every_scale(FIRST)
EDGE = {"slope": 0.0, "noise": 0.03}
STUDIES: Mapping[str, Study] = {
    "H1 verdict, no relation": Study(AT_MOST, lambda i: _decided(H1, "any", i, **EDGE)),
    "H1′ verdict in every scale, no relation": Study(AT_MOST, lambda i: _decided(SCALES, "any", i, **EDGE)),
    "H1 verdict, theory holds": Study(POWER, lambda i: _decided(H1, "supported", i, noise=0.05)),
    "H1 verdict, theory turned round": Study(POWER, lambda i: _decided(H1, "refuted", i, slope=-0.5, noise=0.05)),
    "H7 refuted, bound holds without slack": Study(AT_MOST, _bound_refuted),
    "κ refuted, κ = 1 holds without slack": Study(AT_MOST, lambda i: check(*_on_the_edge(i)).kappa_low > 1),
    "specification curve, no relation": Study(AT_MOST, _curve_decided),
    "sign errors, no relation": Study(AT_MOST, _signs_decided),
    "mean over 4 conditions, no difference": Study(AT_MOST, _mean_decided),
    **{f"bootstrap of a gain, {name}": Study(AT_MOST, partial(_gain_missed, name))
       for name in ("raw", "relative", "error_reduction")},
    **{f"least squares, {k} families{words}": Study(AT_MOST, partial(_missed, ols, families=k, **more))
       for k in (3, 5, 8) for words, more in (("", {}), (", uneven", {"uneven": True}),
                                              (", own slopes", {"spread": 0.3}))},
    "mixed model, 8 families": Study(AT_MOST, partial(_missed, mixed, families=8)),
    "mixed model, 8 families, own slopes": Study(AT_MOST, partial(_missed, mixed, families=8, spread=0.3)),
    "Theil–Sen, 5 families": Study(AT_MOST, partial(_missed, theil_sen, families=5)),
    "errors in variables, gap ± 0.05": Study(AT_MOST, partial(_missed, errors_in_variables, gap_error=0.05)),
    "Theil–Sen, 5 families, own slopes": Study(KNOWN, partial(_missed, theil_sen, families=5, spread=0.3)),
    "pairs of styles, no relation": Study(AT_MOST, _styles_decided),
    "pairs of styles, no relation, rows shuffled": Study(KNOWN, partial(_styles_decided, shuffled=False)),
    "least squares, gap ± 0.05": Study(KNOWN, partial(_missed, ols, families=8, gap_error=0.05)),
}  # fmt: skip
"""Own slopes: of each family, about the mean. Theil–Sen speaks of these families alone, least squares of the gap as
measured, which flattens it: the report says both beside them. Rows of styles are shuffled in no test of the suite."""


def run(
    studies: Mapping[str, Study], replicates: int, tick: Callable[[str], None] = lambda name: None
) -> list[dict[str, Any]]:
    """A row for each study (`rate_row`)."""
    rows = []
    for name, one in studies.items():
        tick(name)
        rows.append(
            rate_row(name, one.says, LEVEL if one.says == AT_MOST else nan, [one.event(i) for i in range(replicates)])
        )
    return rows


def rate_row(name: str, says: str, nominal: float, events: list[bool]) -> dict[str, Any]:
    """study, says, nominal, replicates, count, rate with its 95 % Clopper-Pearson interval, holds.

    holds: not more events than a true rate of `nominal` gives in 999 of 1,000 such studies; True without one.
    """
    n, count = len(events), int(sum(events))
    found = stats.binomtest(count, n).proportion_ci(0.95, "exact")
    holds = bool(np.isnan(nominal) or count <= stats.binom.ppf(0.999, n, nominal))
    return {"study": name, "says": says, "nominal": nominal, "replicates": n, "count": count, "rate": count / n,
            "low": float(found.low), "high": float(found.high), "holds": holds}  # fmt: skip


def markdown(rows: list[dict[str, Any]]) -> str:
    """The rates as a page."""
    lines = [
        "# Do intervals and verdicts err as often as they say?", "",
        "Simulated studies whose truth is known. Rate: of errors (an interval that misses, a verdict that is wrong), "
        "or, for power, of what is seen; in brackets its 95 % interval. Holds: not above the promised 5 % beyond "
        "chance.", "",
        "| study | says | rate | replicates | holds |", "|:--|:--|--:|--:|:--|",
    ]  # fmt: skip
    for row in rows:
        rate = f"{100 * row['rate']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
        holds = "—" if np.isnan(row["nominal"]) else "yes" if row["holds"] else "**no**"
        lines.append(f"| {row['study']} | {row['says']} | {rate} | {row['replicates']} | {holds} |")
    made = f"python -m xkd_bench.benchmarks.verdict_calibration --replicates {rows[0]['replicates']}"
    return "\n".join([*lines, "", "Made by:", "", "```sh", made, "```", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--out", type=Path, default=Path("results/calibration"))
    given = parser.parse_args()
    rows = run(STUDIES, given.replicates, lambda name: print(name, flush=True))
    csv = pd.DataFrame(rows).to_csv(index=False, lineterminator="\n", float_format="%.6g").encode()
    for path in write_all(given.out, "verdicts", {"md": markdown(rows).encode(), "csv": csv}):
        print(f"written: {path}")


if __name__ == "__main__":
    main()
