"""A dot and its interval for each variant: the plot of protocols with one score a variant."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xkd_bench.analysis.scores import TRAINED
from xkd_bench.report.style import INK, WIDTH, Look, heading
from xkd_bench.report.words import points, title_of, wrapped

ROW, HEAD, FOOT, GAP, RIGHT = 0.27, 0.80, 0.52, 0.75, 0.95
"""Inches."""


def dots(summary: pd.DataFrame, look: dict[str, Look], title: str, words: str) -> Figure:
    """Panels below each other, one for what is trained; a row for each variant, its numbers at the right."""
    panels = [(trained, part) for trained in TRAINED if len(part := summary[summary["trained"] == trained])]
    fig = Figure(figsize=(WIDTH, 1))
    names = {name: wrapped(name, 38) for name in summary["variant"]}
    left = _label_width(fig, list(names.values())) + 0.25
    tall = [sum(_tall(names[name]) for name in part["variant"]) + 0.1 for _, part in panels]
    head = HEAD if len(panels) > 1 else 0.55
    height = head + sum(tall) + GAP * (len(panels) - 1) + FOOT
    fig.set_size_inches(WIDTH, height)
    top = height - head
    for (trained, part), size in zip(panels, tall, strict=True):
        ax = fig.add_axes((left / WIDTH, (top - size) / height, 1 - (left + RIGHT) / WIDTH, size / height))
        _panel(ax, part, look, names)
        if len(panels) > 1:
            ax.set_title(title_of(TRAINED[trained]))
        top -= size + GAP
    fig.axes[-1].set_xlabel(f"{summary['metric'].iloc[0]}, %")
    heading(fig, title, words, 0.12)
    return fig


def _label_width(fig: Figure, names: list[str]) -> float:
    """Inches that the widest label takes."""
    renderer = FigureCanvasAgg(fig).get_renderer()
    widths = []
    for name in names:
        text = fig.text(0, 0, name)
        widths.append(text.get_window_extent(renderer).width / fig.dpi)
        text.remove()
    return max(widths)


def _tall(name: str) -> float:
    """Inches that the row of a name takes."""
    return ROW + 0.14 * name.count("\n")


def _panel(ax: Axes, part: pd.DataFrame, look: dict[str, Look], names: dict[str, str]) -> None:
    sizes = [_tall(names[name]) for name in part["variant"]]
    places = [sum(sizes[:i]) + size / 2 for i, size in enumerate(sizes)]
    for y, row in zip(places, part.to_dict("records"), strict=True):
        style = look[row["variant"]]
        mean, low, high = 100 * row["mean"], 100 * row["low"], 100 * row["high"]
        if row["role"] == "floor":
            ax.axvline(mean, color=style.colour, linestyle=style.dash, linewidth=style.width, zorder=1)
        if pd.notna(low):
            ax.plot([low, high], [y, y], color=style.colour, linewidth=2.0, solid_capstyle="butt", zorder=2)
        ax.plot([mean], [y], marker=style.marker or "o", markersize=6.5, color=style.colour, zorder=3, linestyle="",
                markerfacecolor="white" if style.open else style.colour, markeredgewidth=1.3)  # fmt: skip
        half = points((row["high"] - row["low"]) / 2)
        ax.annotate(f"{points(row['mean'])} ± {half}", (1, y), xycoords=("axes fraction", "data"), xytext=(8, 0),
                    textcoords="offset points", va="center_baseline", fontsize=8.5, color=INK)  # fmt: skip
    ax.set_yticks(places, labels=[names[name] for name in part["variant"]])
    ax.set_ylim(sum(sizes) + 0.1, 0)
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)
    ax.set_xlim(*_limits(part))


def _limits(part: pd.DataFrame) -> tuple[float, float]:
    """All means, and intervals up to one and a half times the means' range beyond them; within 0..100."""
    mean = 100 * part["mean"]
    spread = max(float(mean.max() - mean.min()), 2.0)
    low = max(np.nanmin([*(100 * part["low"]), mean.min()]), mean.min() - 1.5 * spread)
    high = min(np.nanmax([*(100 * part["high"]), mean.max()]), mean.max() + 1.5 * spread)
    margin = 0.05 * max(high - low, 2.0)
    return max(low - margin, -1.0), min(high + margin, 101.0)
