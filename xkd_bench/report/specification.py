"""The plot of a specification curve: every specification's correlation in order, and under it what was chosen."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xkd_bench.analysis.specification import CHOICES, Curve, in_words
from xkd_bench.report.style import COLOURS, FAINT, INK, QUIET, WIDTH, heading, plain

CURVE, ROW, GAP, HEAD, FOOT, LEFT, RIGHT = 2.1, 0.17, 0.16, 0.55, 0.35, 1.75, 0.12
"""Inches."""
EXPECTED, OTHER = COLOURS[0], COLOURS[1]
NAMES = {"estimator": "gap", "definition": "gain", "method": "method", "protocol": "protocol"}


def specification_plot(found: Curve, title: str, expected: int = -1) -> Figure:
    """Correlations in order, with the band that shuffled gaps give at each place, and a mark for each choice below.

    Blue: the sign that theory expects; orange: the other. Full marks: significant at 5 % by their own shuffles. The
    band is of the shuffled curves put in order each, so that a curve of chance alone lies in it.
    """
    table = found.specifications
    kinds = [(name, sorted(table[name].astype(str).unique())) for name in CHOICES if name in table]
    kinds = [(name, values) for name, values in kinds if len(values) > 1] or kinds[:1]
    rows = sum(len(values) for _, values in kinds)
    height = HEAD + CURVE + rows * ROW + GAP * len(kinds) + FOOT
    with plain():
        fig = Figure(figsize=(WIDTH, height))
        heading(fig, title, in_words(found, expected), 0.12)
        top = height - HEAD
        width = 1 - (LEFT + RIGHT) / WIDTH
        ax = fig.add_axes((LEFT / WIDTH, (top - CURVE) / height, width, CURVE / height))
        _curve(ax, found, expected)
        top -= CURVE + GAP
        for name, values in kinds:
            size = len(values) * ROW
            below = fig.add_axes((LEFT / WIDTH, (top - size) / height, width, size / height), sharex=ax)
            _choices(below, table, name, values, expected)
            fig.text(0.12 / WIDTH, (top - size / 2) / height, NAMES[name], va="center", weight="bold", size=8)
            top -= size + GAP
        middle = (LEFT + (WIDTH - LEFT - RIGHT) / 2) / WIDTH
        words = f"{len(table)} specifications, by correlation"
        fig.text(middle, 0.12 / height, words, ha="center", size=8, color=QUIET)
    return fig


def _curve(ax: Axes, found: Curve, expected: int) -> None:
    r, p = found.specifications["r"].to_numpy(), found.specifications["p"].to_numpy()
    at = np.arange(len(r))
    ordered = np.sort(found.null, axis=1)
    low, high = np.quantile(ordered, [0.025, 0.975], axis=0)
    ax.fill_between(at, low, high, step="mid", color=FAINT, linewidth=0, label="95 % under shuffled gaps")
    ax.axhline(0, color=QUIET, linewidth=0.8)
    for sign, colour, words in ((expected, EXPECTED, "expected sign"), (-expected, OTHER, "other sign")):
        for significant in (True, False):
            mask = (np.sign(r) == sign) & ((p <= 0.05) == significant)
            if mask.any():
                ax.plot(at[mask], r[mask], "o", markersize=_size(len(r)), color=colour, markeredgewidth=0.8,
                        markerfacecolor=colour if significant else "white",
                        label=f"{words}{', p ≤ .05' if significant else ''}")  # fmt: skip
    ax.set_ylabel("rank correlation\nof gain and gap")
    ax.set_xlim(-0.8, len(r) - 0.2)
    ax.set_ylim(-1.05, 1.05)
    ax.grid(axis="x", visible=False)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    ax.legend(loc="upper left", fontsize=7, ncols=2, handletextpad=0.4, borderaxespad=0.2)


def _choices(ax: Axes, table: pd.DataFrame, name: str, values: list[str], expected: int) -> None:
    at = np.arange(len(table))
    chosen, signs = table[name].astype(str).to_numpy(), np.sign(table["r"].to_numpy())
    for y, value in enumerate(values):
        for sign, colour in ((expected, EXPECTED), (-expected, OTHER), (0, INK)):
            mask = (chosen == value) & (signs == sign)
            ax.plot(at[mask], np.full(mask.sum(), y), "|", markersize=6, markeredgewidth=min(1.6, 160 / len(table)),
                    color=colour)  # fmt: skip
    ax.set_yticks(range(len(values)), labels=values, fontsize=7.5)
    ax.set_ylim(len(values) - 0.5, -0.5)
    ax.tick_params(axis="x", length=0, labelbottom=False)
    ax.grid(visible=False)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)


def _size(n: int) -> float:
    return 4.5 if n <= 60 else 3.2 if n <= 150 else 2.2
