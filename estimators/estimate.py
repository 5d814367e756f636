"""The one thing that every estimator returns: a number with what is known about it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

Kind = Literal["lower bound", "upper bound", "interval", "plug-in", "proxy"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, repr=False)
class Estimate:
    """A number, the range that the data support, and what sort of statement it is.

    Attributes:
        value: the point estimate. NaN only where the quantity is undefined, and then `note` says why.
        low, high: the range. Both NaN where no range is claimed (`plug-in` and `proxy` only).
        confidence: the probability with which the range holds over repeated samples; NaN where none is claimed.
        n: independent units that the number rests on: groups, not rows. For two samples, those of the smaller side.
        kind: what the range means, see below.
        name: the estimator, and its choice where it made one, as in ``tv_classifier[logistic]``.
        note: a caveat in words, empty when there is none.

    The kinds:
        lower bound: the truth is at least `low` with probability `confidence`; `high` is the trivial bound. `value`
            estimates what was bounded (a classifier's advantage, say), not the truth.
        upper bound: the truth is at most `high` with probability `confidence`; `low` is the best floor known.
        interval: the truth is between `low` and `high` with probability `confidence`.
        plug-in: the sample's own value, whose bias is not controlled; the range, where given, is its sampling spread.
        proxy: a different quantity that is read in place of the one that is wanted.

    Raises:
        ValueError: if the fields contradict one another.

    >>> Estimate(0.41, 0.37, 1.0, 0.95, 500, "lower bound", "tv_classifier")
    tv_classifier: 0.41, at least 0.37 (95% lower bound, n = 500)
    """

    value: float
    low: float
    high: float
    confidence: float
    n: int
    kind: Kind
    name: str
    note: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if not self.name:
            raise ValueError("an estimate needs a name")
        if self.n < 1 or self.n != int(self.n):
            raise ValueError(f"n must be a positive whole number, got {self.n}")
        if math.isnan(self.low) != math.isnan(self.high) or math.isnan(self.low) != math.isnan(self.confidence):
            raise ValueError("low, high and confidence are given together, or are NaN together")
        if math.isnan(self.value) and not self.note:
            raise ValueError("an undefined value (NaN) needs a note that says why")
        if math.isnan(self.low):
            if self.kind not in ("plug-in", "proxy") and not math.isnan(self.value):
                raise ValueError(f"a {self.kind} needs low and high")
            return
        if not 0.0 < self.confidence < 1.0:
            raise ValueError(f"confidence must lie between 0 and 1, got {self.confidence}")
        if not self.low <= self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if not (math.isnan(self.value) or self.low <= self.value <= self.high):
            raise ValueError(f"value {self.value} is outside [{self.low}, {self.high}]")

    def __repr__(self) -> str:
        note = f"; {self.note}" if self.note else ""
        if math.isnan(self.low):
            return f"{self.name}: {self.value:.4g} ({self.kind}, n = {self.n}{note})"
        percent = f"{100 * self.confidence:.4g}%"
        if self.kind == "lower bound":
            middle = f"at least {self.low:.4g}"
        elif self.kind == "upper bound":
            middle = f"at most {self.high:.4g}"
        else:
            middle = f"in [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.name}: {self.value:.4g}, {middle} ({percent} {self.kind}, n = {self.n}{note})"

    def as_dict(self) -> dict[str, Any]:
        """The fields as a dictionary, for a row of a table.

        >>> Estimate(0.5, 0.4, 0.6, 0.9, 20, "interval", "cka").as_dict()["low"]
        0.4
        """
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TestResult:
    """A statistic and the p-value of its null hypothesis.

    Attributes:
        statistic: the estimate that was tested.
        p_value: the probability, under the null, of a statistic at least this large.
        method: how the p-value was found: `permutation` is exact (never too small, for any n), `gamma` approximate.
        null: the hypothesis in words.
        draws: permutations used; 0 for the Gamma approximation.
    """

    __test__ = False  # not a test class, whatever its name suggests to pytest

    statistic: Estimate
    p_value: float
    method: Literal["permutation", "gamma"]
    null: str
    draws: int

    def __post_init__(self) -> None:
        if not 0.0 <= self.p_value <= 1.0:
            raise ValueError(f"p_value must lie in [0, 1], got {self.p_value}")


def undefined(name: str, n: int, reason: str, kind: Kind = "plug-in") -> Estimate:
    """An estimate that does not exist for these data, with the reason."""
    return Estimate(math.nan, math.nan, math.nan, math.nan, n, kind, name, f"undefined: {reason}")


def plain(value: float, n: int, name: str, kind: Kind = "plug-in", note: str = "") -> Estimate:
    """An estimate for which no range is claimed."""
    return Estimate(value, math.nan, math.nan, math.nan, n, kind, name, note)


def clipped(value: float, low: float, high: float) -> float:
    """`value` brought into [low, high].

    >>> clipped(-0.1, 0.0, 1.0)
    0.0
    """
    return min(max(value, low), high)
