"""Gain against gap: a dot a condition with its intervals both ways, a colour and a line for each family of tasks."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from xkd_bench.report.style import COLOURS, INK, MARKERS, QUIET, WIDTH, heading, plain

PANEL, HEAD, FOOT, LINE, LEFT, RIGHT, BETWEEN, BELOW = 2.05, 0.78, 0.5, 0.19, 0.55, 0.12, 0.62, 0.62
"""Inches."""
NORMAL = 1.96
LEAST = 3
"""Conditions of a family that a line is drawn through."""


def family_looks(families: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each family; the pair differs for the first 56."""
    return {name: (COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]) for i, name in enumerate(sorted(families))}


def scatter(parts: Mapping[str, pd.DataFrame], title: str, words: str, across: str) -> Figure:
    """A panel for each of `parts`: axis title to conditions (family, gap, gain in its unit, gap_se, gain_se).

    Bars are 1.96 standard errors, where they are known. Lines are least squares of each family with three conditions
    or more whose gaps differ: the eye's help, the tables have the tests.

    Raises:
        ValueError: no conditions.
    """
    if not parts or all(part.empty for part in parts.values()):
        raise ValueError("no conditions to draw")
    looks = family_looks(sorted({str(f) for part in parts.values() for f in part["family"]}))
    columns = min(2, len(parts))
    rows = -(-len(parts) // columns)
    per_line = 2 if max(map(len, looks)) > 24 else 3
    legend = LINE * -(-len(looks) // per_line)
    height = HEAD + rows * PANEL + (rows - 1) * BELOW + FOOT + legend
    width = (WIDTH - LEFT - RIGHT - BETWEEN * (columns - 1)) / columns
    with plain():
        fig = Figure(figsize=(WIDTH, height))
        for k, (name, part) in enumerate(parts.items()):
            left = LEFT + (k % columns) * (width + BETWEEN)
            top = height - HEAD - (k // columns) * (PANEL + BELOW)
            ax = fig.add_axes((left / WIDTH, (top - PANEL) / height, width / WIDTH, PANEL / height))
            _panel(ax, part, looks)
            ax.set_title(name, fontsize=8.5)
            if k >= len(parts) - columns:
                ax.set_xlabel(across)
        handles = [
            Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.2, label=name)
            for name, (colour, marker) in looks.items()
        ]
        fig.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.12 / WIDTH, 0.02 / height), ncols=per_line,
                   fontsize=7.5, handlelength=1.6, columnspacing=1.4, borderaxespad=0.2)  # fmt: skip
        heading(fig, title, words, 0.12)
    return fig


def _panel(ax: Axes, part: pd.DataFrame, looks: dict[str, tuple[str, str]]) -> None:
    ax.axhline(0, color=QUIET, linewidth=0.8, zorder=1)
    for family, rows in part.groupby("family"):
        colour, marker = looks[str(family)]
        x, y = rows["gap"].to_numpy(dtype=float), rows["gain"].to_numpy(dtype=float)
        across, up = _bars(rows, "gap_se"), _bars(rows, "gain_se")
        ax.errorbar(x, y, xerr=across, yerr=up, fmt=marker, color=colour, markersize=4, elinewidth=0.7,
                    alpha=0.9, zorder=2, markeredgewidth=0)  # fmt: skip
        if len(rows) >= LEAST and np.ptp(x) > 0:
            slope, base = np.polyfit(x, y, 1)
            ends = np.array([x.min(), x.max()])
            ax.plot(ends, base + slope * ends, color=colour, linewidth=1.2, zorder=3)
    ax.tick_params(labelsize=7.5, labelcolor=INK)
    ax.margins(0.06)


def _bars(rows: pd.DataFrame, name: str) -> "np.ndarray | None":
    if name not in rows or rows[name].isna().all():
        return None
    return NORMAL * rows[name].fillna(0.0).to_numpy(dtype=float)
