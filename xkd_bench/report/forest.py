"""A forest plot of estimates: a row for each, its value, its range and what sort of statement the range is."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from xkd_bench.report.style import COLOURS, INK, QUIET, WIDTH, heading, lighter, plain

ROW, HEAD, FOOT, GAP, RIGHT = 0.235, 0.72, 0.5, 0.62, 1.32
"""Inches."""
TITLES = {
    "distance": "How far apart the modalities are",
    "alignment": "How well pairs agree",
    "capacity": "How many dimensions they use",
}
COLOUR = {
    "lower bound": COLOURS[0],
    "upper bound": COLOURS[1],
    "interval": COLOURS[2],
    "plug-in": "#555555",
    "proxy": COLOURS[3],
}


def forest(estimates: pd.DataFrame, title: str, words: str = "") -> Figure:
    """Draw estimates, in panels below each other.

    A bar is the range that holds with the table's confidence. A lower bound's bar ends in an arrow: the truth is
    somewhere beyond, so only the near end is certified. Open marks have no range. Undefined rows say so.

    Args:
        estimates: columns panel, name, value, low, high, confidence, kind, note (as from `analysis.gap.gap_table`).
        title: bold line at the top; words: quiet line under it.

    Raises:
        ValueError: no estimates.
    """
    if estimates.empty:
        raise ValueError("no estimates to draw")
    panels = [(name, part) for name, part in estimates.groupby("panel", sort=False) if len(part)]
    with plain():
        fig = Figure(figsize=(WIDTH, 1))
        left = _label_width(fig, [_label(name) for name in estimates["name"]]) + 0.3
        tall = [ROW * len(part) + 0.08 for _, part in panels]
        height = HEAD + sum(tall) + GAP * (len(panels) - 1) + FOOT + 0.12
        fig.set_size_inches(WIDTH, height)
        top = height - HEAD
        for (name, part), size in zip(panels, tall, strict=True):
            box = (left / WIDTH, (top - size) / height, 1 - (left + RIGHT) / WIDTH, size / height)
            ax = fig.add_axes(box)
            _panel(ax, part.reset_index(drop=True), str(name))
            ax.set_title(TITLES.get(str(name), str(name)))
            top -= size + GAP
        heading(fig, title, words, 0.12)
        _legend(fig, list(dict.fromkeys(estimates["kind"])))
    return fig


def _label(name: str) -> str:
    """`tv_classifier[logistic, C 1]` as `tv_classifier (logistic, C 1)`."""
    head, _, choice = name.partition("[")
    choice = choice.rstrip("]")
    return f"{head} ({choice})" if choice else head


def _label_width(fig: Figure, names: list[str]) -> float:
    renderer = FigureCanvasAgg(fig).get_renderer()
    widths = []
    for name in names:
        text = fig.text(0, 0, name, fontsize=8)
        widths.append(text.get_window_extent(renderer).width / fig.dpi)
        text.remove()
    return float(min(max(widths), 2.9))


def _panel(ax: Axes, part: pd.DataFrame, name: str) -> None:
    low, high = _limits(part, name)
    if name == "capacity":
        ax.set_xscale("log")
        ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if low <= t <= high]
        ax.set_xticks(ticks, labels=[f"{t:g}" for t in ticks])
        ax.minorticks_off()
    ax.set_xlim(low, high)
    if low < 0:
        ax.axvline(0, color=QUIET, linewidth=0.8, zorder=1)
    for y, row in enumerate(part.to_dict("records")):
        _estimate(ax, y, row, high)
        ax.annotate(_numbers(row), (1, y), xycoords=("axes fraction", "data"), xytext=(9, 0),
                    textcoords="offset points", va="center_baseline", fontsize=7.5, color=INK)  # fmt: skip
    ax.set_yticks(range(len(part)), labels=[_label(n) for n in part["name"]], fontsize=8)
    ax.set_ylim(len(part) - 0.5, -0.6)
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)


def _estimate(ax: Axes, y: int, row: dict[Hashable, Any], right: float) -> None:
    colour, kind = COLOUR[str(row["kind"])], str(row["kind"])
    value, low, high = (float(row[k]) for k in ("value", "low", "high"))
    if np.isnan(value):
        ax.annotate("undefined", (0, y), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
                    va="center_baseline", fontsize=7.5, color=QUIET, style="italic")  # fmt: skip
        return
    ranged = not np.isnan(low)
    if ranged and kind == "lower bound":
        # Certified up to `low`; what lies beyond is possible and fades away.
        ax.plot([low, right], [y, y], color=lighter(colour, 0.72), linewidth=3.2, solid_capstyle="butt", zorder=1.5)
        ax.plot([low], [y], marker="|", markersize=9, markeredgewidth=2.2, color=colour, linestyle="", zorder=3)
        ax.plot([low, value], [y, y], color=lighter(colour, 0.35), linewidth=3.2, solid_capstyle="butt", zorder=2)
    elif ranged and kind == "upper bound":
        ax.plot([low, high], [y, y], color=lighter(colour, 0.72), linewidth=3.2, solid_capstyle="butt", zorder=1.5)
        ax.plot([high], [y], marker="|", markersize=9, markeredgewidth=2.2, color=colour, linestyle="", zorder=3)
    elif ranged:
        ax.plot([low, high], [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=2)
    face = colour if ranged and kind != "lower bound" else "white"
    ax.plot([value], [y], marker="D" if kind == "proxy" else "o", markersize=4.4, color=colour, linestyle="",
            markerfacecolor=face, markeredgewidth=1.2, zorder=4)  # fmt: skip


def _numbers(row: dict[Hashable, Any]) -> str:
    value, low, high = (float(row[k]) for k in ("value", "low", "high"))
    if np.isnan(value):
        return "–"
    if np.isnan(low):
        return _short(value)
    if row["kind"] == "lower bound":
        return f"≥ {_short(low)}"
    if row["kind"] == "upper bound":
        return f"≤ {_short(high)}"
    return f"{_short(value)}  [{_short(low)}, {_short(high)}]"


def _short(x: float) -> str:
    """Three significant digits or so, a true minus, no exponent for usual sizes."""
    size = abs(x)
    text = f"{x:.0f}" if size >= 100 else f"{x:.1f}" if size >= 10 else f"{x:.3f}" if size < 0.1 else f"{x:.2f}"
    return (text if float(text) != 0 else "0").replace("-", "−")


def _limits(part: pd.DataFrame, name: str) -> tuple[float, float]:
    bounded = part[part["kind"] != "lower bound"]
    values = np.concatenate([part["value"], part["low"].fillna(np.nan), bounded["high"]]).astype(float)
    values = values[np.isfinite(values)]
    if name == "capacity":
        return (0.9, max(1.5 * values.max(), 10.0)) if values.size else (1.0, 10.0)
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    return (min(0.0, low) - (0.02 if low >= 0 else 0.05)), max(1.0, high) * 1.02


def _legend(fig: Figure, kinds: list[str]) -> None:
    words = {
        "lower bound": "lower bound (truth at or right of the tick)",
        "upper bound": "upper bound (truth at or left of the tick)",
        "interval": "interval",
        "plug-in": "plug-in (sampling spread, bias not controlled)",
        "proxy": "proxy",
    }
    handles = []
    for kind in kinds:
        bound = "bound" in kind
        handle = Line2D([], [], color=lighter(COLOUR[kind], 0.6) if bound else COLOUR[kind], linewidth=2.4)
        handle.set_marker("|" if bound else "D" if kind == "proxy" else "o")
        handle.set(markersize=8 if bound else 4.4, markeredgecolor=COLOUR[kind], markeredgewidth=2 if bound else 1)
        handle.set_label(words[kind])
        handles.append(handle)
    fig.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.01, 0.0), ncols=3, fontsize=7.5, handlelength=1.8)
