"""The papers' printed numbers, as tables and as estimates with what error can be given to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from math import isnan, nan, sqrt

import pandas as pd

from xkd_bench.analysis.verdicts import Evidence, Region, as_printed, missing, t_evidence

N_TEST = {"Sketchy": 15146, "TUBerlin": 5000, "TUBerlin (inferred)": 5000, "VGGSound": 10000}
"""Items of the test sets (CMCD, appendix C) [PAPER]."""
DATASETS = ("Sketchy", "TUBerlin", "VGGSound", "NYU-Depth V2")
BASELINES = ("SSL", "PreSSL", "CMST", "CMKD", "SOCKET")
OURS = ("CMD", "CMC")


@cache
def cmcd() -> pd.DataFrame:
    """CMCD's tables, one row a printed number; `value` in percent, NaN where the text gives none."""
    table = _read("cmcd.csv")
    return table.assign(value=pd.to_numeric(table["value"], errors="coerce"))


@cache
def af_dcd() -> pd.DataFrame:
    """Af-DCD's results (mIoU in percent) and the gains of its abstract."""
    return _read("af_dcd.csv")


def _read(name: str) -> pd.DataFrame:
    with (resources.files("xkd_bench.analysis") / "published" / name).open(encoding="utf-8") as file:
        return pd.read_csv(file)


@dataclass(frozen=True)
class Printed:
    """A printed number, or a difference of some.

    value: in points. variance: binomial, of the test items (NaN: not known). slack: what rounding leaves open, ±.
    """

    value: float
    variance: float
    slack: float

    def __sub__(self, other: Printed) -> Printed:
        return Printed(self.value - other.value, self.variance + other.variance, self.slack + other.slack)

    def __add__(self, other: Printed) -> Printed:
        return Printed(self.value + other.value, self.variance + other.variance, self.slack + other.slack)

    def __mul__(self, by: float) -> Printed:
        return Printed(self.value * by, self.variance * by**2, self.slack * abs(by))

    @property
    def se(self) -> float:
        """Standard error, in points, as if the two sides had been scored on different items."""
        return sqrt(self.variance)

    def rounding(self, region: Region, data: str, note: str = "") -> Evidence:
        """What the number, as printed, says of a claim."""
        return as_printed(self.value, self.slack, region, 1, data, note)

    def sampling(self, region: Region, data: str, note: str = "") -> Evidence:
        """What it says, given how many items were scored.

        Unpaired binomial errors: too large for two methods that are right on the same items, and too small for what
        another seed would give, which no paper prints.
        """
        if isnan(self.variance):
            return missing("the sampling error of this score: neither seeds nor per-item scores are published", data)
        return t_evidence(self.value, self.se, float("inf"), region, 1, "test items", data, note)


@cache
def cell(
    dataset: str, method: str, protocol: str, table: str = "Table1", setting: str = "full", **more: str
) -> Printed:
    """One printed accuracy of CMCD; `more` are further columns, such as teacher and student.

    Raises:
        KeyError: not exactly one number is printed there.
    """
    wanted = {"dataset": dataset, "method": method, "protocol": protocol, "table": table, "setting": setting} | more
    rows = cmcd()
    for name, sought in wanted.items():
        rows = rows[rows[name] == sought]
    if len(rows) != 1:
        raise KeyError(f"{len(rows)} numbers at {wanted}")
    value = float(rows["value"].iloc[0])
    n = N_TEST.get(dataset)
    share = value / 100
    return Printed(value, 1e4 * share * (1 - share) / n if n else nan, 0.005)


def best(dataset: str, protocol: str, methods: tuple[str, ...]) -> tuple[str, Printed]:
    """The best of these methods in Table 1 and its number. The first of equals."""
    found = {method: cell(dataset, method, protocol) for method in methods}
    name = max(found, key=lambda method: found[method].value)
    return name, found[name]


def rivals(protocol: str) -> tuple[str, ...]:
    """What the paper compares with: under fine-tuning also supervised training."""
    return (*BASELINES, "Sup") if protocol == "FT" else BASELINES


def margin(dataset: str, protocol: str, ours: tuple[str, ...] = OURS) -> Printed:
    """The best of ours minus the best baseline. The pick of the best is not in its error: it flatters both sides."""
    return best(dataset, protocol, ours)[1] - best(dataset, protocol, rivals(protocol))[1]


@cache
def total_variation(dataset: str) -> float:
    """Table 2's 'TV distance' of the modalities of a data set; how it was estimated is not described."""
    rows = cmcd().query("table == 'Table2' and dataset == @dataset and metric == 'tv_distance_estimated'")
    return float(rows["value"].iloc[0])


def printed_gain(dataset: str, protocol: str) -> Printed:
    """Table 2's LE(δ) or FT(δ), as printed there."""
    method = {"LE": "CMD minus SSL", "FT": "CMD minus Sup"}[protocol]
    row = cell(dataset, method, protocol, "Table2", f"{protocol}(delta)")
    return Printed(row.value, nan, 0.005)


@cache
def gain(dataset: str, protocol: str, kind: str = "raw") -> float:
    """CMD's gain over Table 2's reference (SSL for LE, Sup for FT).

    kind: 'raw' in points; 'relative' to the reference; 'error' reduction, as a share of what the reference gets wrong;
    'margin', in points, of the best of ours over the best baseline.
    """
    if kind == "margin":
        return margin(dataset, protocol).value
    reference = cell(dataset, {"LE": "SSL", "FT": "Sup"}[protocol], protocol).value
    raw = cell(dataset, "CMD", protocol).value - reference
    return raw / {"raw": 1.0, "relative": reference, "error": 100 - reference}[kind]
