"""What a term of the bound is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tag = Literal["exact", "measured", "proxy", "vacuous"]
"""exact: known in closed form, or measured on encoders that are. measured: the range holds for the term itself. proxy:
another quantity that is read in its place. vacuous: true, and larger than anything that it could bound."""


@dataclass(frozen=True)
class Term:
    """One term. low, high: 95 % limits, or those that the bound's δ needs; NaN where there is no range."""

    term: str
    value: float
    low: float
    high: float
    tag: Tag
    note: str
