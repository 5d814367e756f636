"""The engine of the claims ledger: what a claim is, what it is evaluated on, and the table of verdicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import pandas as pd

from xkd_bench.analysis.intervals import holm
from xkd_bench.analysis.verdicts import Evidence, Region, benjamini_hochberg
from xkd_bench.errors import UsageError

PAPERS = {
    "cmcd": "CMCD, arXiv:2405.03355",
    "af-dcd": "Af-DCD, arXiv:2312.04168",
    "lix": "LIX",
    "csk-net": "CSK-Net, arXiv:2312.02240",
}
Kind = Literal["published", "suite"]
COLUMNS = (
    *("claim", "paper", "kind", "source", "statement", "statistic", "claimed", "verdict", "effect", "low", "high"),
    *("unit", "p", "p_holm", "p_bh", "family", "n", "conditions", "basis", "data", "note", "missing", "fill"),
)


Cost = Callable[[str, str, str], Mapping[str, float]]
"""Of a dense method, its student and its budget: `operations` and `parameters` of the network with the target alone,
`both_operations` with both modalities, and `plain_operations`, `plain_parameters` of the student without a method."""


def _empty() -> pd.DataFrame:
    return pd.DataFrame()


@dataclass(frozen=True)
class Data:
    """What claims are evaluated on. An empty frame: not there yet.

    scores: tidy scores, one row each (`analysis.scores.COLUMNS`), of one budget.
    conditions: one row for each gain and gap of a condition (`analysis.conditions.COLUMNS`).
    bounds: one row a run: `condition`, `seed`, and as fractions `excess` (risk above the best attainable), `excess_se`,
        `bound` (right-hand side with κ = 1); `risk_star` (the best attainable) where it is known.
    cost: what a network costs to use (`stages.cost.inference_cost`), asked only where there are records of it.
    memo: what tests derive from these frames once.
    """

    scores: pd.DataFrame = field(default_factory=_empty)
    conditions: pd.DataFrame = field(default_factory=_empty)
    bounds: pd.DataFrame = field(default_factory=_empty)
    cost: Cost | None = field(default=None, compare=False, repr=False)
    memo: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)


Test = Callable[[Data, Region], Evidence]


@dataclass(frozen=True)
class Claim:
    """One testable statement, fixed before the data.

    name: short, unique. paper: a key of `PAPERS`. kind: 'published' (about printed numbers) or 'suite' (about records).
    source: where the paper says it; '(check)' where the statement is what its argument rests on, not its words.
    statement: restated. statistic: the quantity θ. region: the values of θ that the statement allows.
    test: data and region to evidence. fill: the command that makes what is missing, to be pasted into a terminal.
    """

    name: str
    paper: str
    kind: Kind
    source: str
    statement: str
    statistic: str
    region: Region
    test: Test
    fill: str = ""


def evaluate(
    claims: Sequence[Claim], data: Data | None = None, paper: str | None = None, alpha: float = 0.05
) -> pd.DataFrame:
    """A row for each claim, columns `COLUMNS`.

    verdict: 'supported', 'refuted' or 'undecided', by the rule of `verdicts`, at level alpha after Holm's correction
    over the claims of the same paper and kind that were tested; p_bh is Benjamini and Hochberg's over the same family.
    effect, low, high are in `unit`; low and high hold 95 % of one claim at a time. Statements about printed numbers
    alone have no p: their interval is what rounding leaves open. fill: the command that makes what is missing, or, of
    what was tested and is undecided, more of what it was tested on; '' where no command does.

    Raises:
        UsageError: no such paper.
    """
    if paper is not None and paper not in PAPERS:
        raise UsageError(f"no paper '{paper}': there are {', '.join(PAPERS)}")
    data = data or Data()
    chosen = [claim for claim in claims if paper in (None, claim.paper)]
    found = [_evidence(claim, data) for claim in chosen]
    table = pd.DataFrame([_row(claim, evidence) for claim, evidence in zip(chosen, found, strict=True)])
    if table.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    for name, adjust in (("p_holm", holm), ("p_bh", benjamini_hochberg)):
        table[name] = table.groupby("family")["p"].transform(lambda p, adjust=adjust: adjust(p.to_numpy(float)))
    table["verdict"] = [
        evidence.verdict(claim.region, p, alpha)
        for claim, evidence, p in zip(chosen, found, table["p_holm"], strict=True)
    ]
    table["fill"] = [
        claim.fill if verdict == "undecided" and evidence.fillable else ""
        for claim, evidence, verdict in zip(chosen, found, table["verdict"], strict=True)
    ]
    return table[list(COLUMNS)]


def _evidence(claim: Claim, data: Data) -> Evidence:
    evidence = claim.test(data, claim.region)
    if not evidence.missing:
        return evidence
    fill = f"; fill: {claim.fill}" if claim.fill and evidence.fillable else ""
    return replace(evidence, missing=evidence.missing + fill)


def _row(claim: Claim, evidence: Evidence) -> dict[str, object]:
    told = {f.name: getattr(claim, f.name) for f in fields(claim) if f.name not in ("region", "test", "fill", "name")}
    family = f"{claim.paper}, {claim.kind}"
    more = {"claim": claim.name, "claimed": str(claim.region), "unit": claim.region.unit, "family": family}
    numbers = {f.name: getattr(evidence, f.name) for f in fields(evidence) if f.name not in ("settled", "fillable")}
    return told | more | numbers
