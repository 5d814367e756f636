"""What the networks of a dense table cost when they are used, as a table of its own beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


def networks(rows: pd.DataFrame, size: Sequence[int]) -> str:
    """Markdown: a line for each variant with its network in use, then one for each teacher's network.

    rows: one for each network of a score's record, the student's first, with the columns variant, order, inputs (the
    score's) and used, what the record says of it: role, network, inputs, parameters, multiply_adds. size: (height,
    width) of the image.
    """
    lines = [
        "# Networks in use", "",
        f"Of one image of {size[0]} × {size[1]}: parameters that take part, and multiply-adds of convolutions and "
        "matrix products, counted as they are carried out. What training alone needs is left out.", "",
        "| | network | inputs | parameters | multiply-adds |", "| :-- | :-- | :-- | --: | --: |",
    ]  # fmt: skip
    scored: dict[str, dict[str, Any]] = {}
    teachers = {}
    for row in rows.sort_values("order", kind="stable").to_dict("records"):
        used = row["used"]
        if used["role"] == "teacher":
            teachers[used["network"], used["inputs"]] = used
        if used["inputs"] == row["inputs"]:
            scored.setdefault(str(row["variant"]), used)
    named = [*scored.items(), *(("a teacher", used) for used in teachers.values())]
    return "\n".join([*lines, *(f"| {name} | {_cells(used)} |" for name, used in named), ""])


def used_words(used: dict[str, Any]) -> str:
    """'student NETWORK (target): 12,345 parameters, 66.9 G multiply-adds'."""
    of = f"{used['role']} {used['network']} ({used['inputs']})"
    return f"{of}: {used['parameters']:,} parameters, {large(used['multiply_adds'])} multiply-adds"


def large(number: int) -> str:
    """'3.2 M', '66.9 G'."""
    return f"{number / 1e6:,.1f} M" if number < 1e9 else f"{number / 1e9:,.1f} G"


def _cells(used: dict[str, Any]) -> str:
    return f"{used['network']} | {used['inputs']} | {used['parameters']:,} | {large(used['multiply_adds'])}"
