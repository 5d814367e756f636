"""Numbers and settings in words."""

from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import pandas as pd

from xkd_bench.analysis.scores import natural

PROTOCOLS = {"few-shot": "Few-shot evaluation", "linear-eval": "Linear evaluation", "fine-tune": "Fine-tuning",
             "reduced-pair": "Reduced pairs"}  # fmt: skip
SHORT_TRAINED = {"head": "linear", "all": "fine-tuned"}


def points(value: float) -> str:
    """A fraction in accuracy points: 0.4567 is '45.7'; NaN is '—'."""
    return "—" if pd.isna(value) else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference in accuracy points with its sign: '+1.2', '−0.3', '0.0'."""
    text = f"{abs(100 * value):.1f}"
    return text if text == "0.0" else ("+" if value > 0 else "−") + text


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def listing(words: Sequence[str], most: int = 8) -> str:
    """'a, b, c', or 'a, b and 5 more' beyond `most` words."""
    shown = ", ".join(words[:most])
    return shown if len(words) <= most else f"{shown} and {len(words) - most} more"


def names_of(column: "pd.Series[Any]") -> list[str]:
    """Distinct values as text, sorted, numbers in them by size."""
    return sorted(column.astype(str).unique(), key=natural)


def title_of(text: str) -> str:
    return text[:1].upper() + text[1:]


def protocol_title(protocol: str) -> str:
    return PROTOCOLS.get(protocol, title_of(protocol))


def short_setting(labels: Any, fraction: float, trained: str = "", fractions: bool = False) -> str:
    """A column's header: '5 labels', '10 % of pairs', 'all labels'; with `trained`, 'linear, 5 labels'.

    fractions: whether the table has several fractions of pairs, so that 'all pairs' is worth saying.
    """
    words = [SHORT_TRAINED.get(trained, trained)] * bool(trained)
    if not pd.isna(labels):
        words.append(count(int(labels), "label"))
    elif not fractions:
        words.append("all labels")
    if fractions or fraction != 1.0:
        words.append("all pairs" if fraction == 1.0 else f"{100 * fraction:g} % of pairs")
    return ", ".join(words)


def wrapped(name: str, width: int) -> str:
    """A row's name on lines of at most `width` characters, broken between its parts (' · ') where that suffices."""
    lines = [""]
    for part in name.split(" · "):
        if lines[-1] and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f" · {part}"
        else:
            pieces = wrap(part, width, break_on_hyphens=False)
            lines[-1:] = [f"{lines[-1]} ·", *pieces] if lines[-1] else pieces
    return "\n".join(lines)


def interval_note(summary: pd.DataFrame, confidence: float) -> str:
    """What bands and bars of a plot are, in a few words. `summary` as `analysis.compare.summarise` returns it."""
    for column, unit in (("n_seeds", "seeds"), ("n_draws", "label draws of one split")):
        fewest, most = int(summary[column].min()), int(summary[column].max())
        if most > 1:
            number = str(most) if fewest == most else f"{fewest} to {most}"
            return f"{100 * confidence:g} % intervals over {number} {unit}"
    return "One score each, no intervals"
