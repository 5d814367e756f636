"""Accuracy against labels per class, or against the fraction of pairs: one curve a variant, one panel a setting."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from xkd_bench.analysis.scores import TRAINED
from xkd_bench.report.style import WIDTH, Look, heading
from xkd_bench.report.words import count, title_of, wrapped

PANEL, HEAD, FOOT, GAP, LEFT, RIGHT = 2.35, 0.78, 0.52, 0.7, 0.58, 0.12
"""Inches: a panel's height, the margins, and the gap between rows of panels."""
MOST_BANDS = 4
"""Above this many, bands hide each other: intervals are thin bars then."""
STEP, REACH = 0.011, 0.07
"""How far curves with bars stand apart, one from the next and in all, as fractions of the axis, to show their bars."""


@dataclass(frozen=True)
class Curve:
    """One variant in one panel, in percent. level: it uses no pairs, so one score stands for every fraction."""

    name: str
    x: NDArray[Any]
    mean: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    level: bool
    band: bool


@dataclass(frozen=True)
class Scale:
    """The logarithmic x axis: 'all labels' stands one step right of the largest number."""

    column: str
    ticks: list[float]
    last: float

    def span(self) -> float:
        return self.ticks[-1] / self.ticks[0]

    def set(self, ax: Axes) -> None:
        per_class = self.column == "labels_per_class"
        names = [f"{tick:g}" if per_class else f"{100 * tick:g}" for tick in self.ticks]
        ax.set_xscale("log")
        ax.set_xlim(self.ticks[0] / self.span() ** 0.05, self.ticks[-1] * self.span() ** 0.05)
        ax.set_xticks(
            self.ticks, labels=["all" if t == self.last else n for t, n in zip(self.ticks, names, strict=True)]
        )
        ax.minorticks_off()
        ax.grid(axis="x", visible=False)
        ax.set_xlabel("labels per class" if per_class else "pairs used, %")


def curves(summary: pd.DataFrame, column: str, look: dict[str, Look], title: str, words: str) -> Figure:
    """Panels side by side (two at most in a row), one y axis, one legend beneath. `column` is on the x axis."""
    other = "pair_fraction" if column == "labels_per_class" else "labels_per_class"
    kinds = summary[["trained", other]].drop_duplicates().sort_values(other, na_position="last")
    panels = [(trained, value) for trained in TRAINED for value in kinds.loc[kinds["trained"] == trained, other]]
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    fig = Figure(figsize=(WIDTH, 1))
    legend = _legend(fig, look, list(summary["variant"].unique()))
    beneath = FOOT + legend.get_window_extent(FigureCanvasAgg(fig).get_renderer()).height / fig.dpi
    height = HEAD + rows * PANEL + (rows - 1) * GAP + beneath
    fig.set_size_inches(WIDTH, height)
    axes = fig.subplots(
        *(rows, columns), sharey=True, squeeze=False,
        gridspec_kw={"left": LEFT / WIDTH, "right": 1 - RIGHT / WIDTH, "top": 1 - HEAD / height,
                     "bottom": beneath / height, "wspace": 0.07, "hspace": GAP / PANEL},
    ).flatten()  # fmt: skip
    scale = _scale(summary, column)
    several = len({str(value) for _, value in panels}) > 1
    for ax, (trained, value) in zip(axes, panels, strict=False):
        _draw(ax, _panel(_of(summary, trained, other, value), scale), scale, look)
        ax.set_title(title_of(TRAINED[trained]) + (_suffix(other, value) if several else ""))
    for ax in axes[len(panels) :]:
        ax.remove()
    for ax in axes[::columns]:
        ax.set_ylabel(f"{summary['metric'].iloc[0]}, %")
    axes[0].set_ylim(*_limits(summary))
    heading(fig, title, words, LEFT)
    return fig


def _scale(summary: pd.DataFrame, column: str) -> Scale:
    ticks = sorted(float(value) for value in summary[column].dropna().unique())
    last = ticks[-1] * 2.2
    return Scale(column, ticks + [last] * bool(summary[column].isna().any()), last)


def _of(summary: pd.DataFrame, trained: str, other: str, value: Any) -> pd.DataFrame:
    same = summary[other].isna() if pd.isna(value) else summary[other].eq(value).fillna(False)
    return summary[(summary["trained"] == trained) & same]


def _suffix(other: str, value: Any) -> str:
    if other == "pair_fraction":
        return f", {100 * value:g} % of pairs"
    return ", all labels" if pd.isna(value) else f", {count(int(value), 'label')} per class"


def _panel(part: pd.DataFrame, scale: Scale) -> list[Curve]:
    """The curves of one panel. Methods and references have bands if these are few enough, the rest has bars."""
    several = part["pair_fraction"].nunique() > 1
    found = []
    for name, rows in part.groupby("variant", sort=False):
        role = rows["role"].iloc[0]
        ordered = rows.sort_values(scale.column, na_position="last")
        x = ordered[scale.column].astype(float).fillna(scale.last).to_numpy()
        mean, low, high = (100 * ordered[name].to_numpy(dtype=float) for name in ("mean", "low", "high"))
        level = several and len(rows) == 1 and role in ("reference", "floor")
        found.append(Curve(str(name), x, mean, low, high, level, not level and role in ("method", "reference")))
    few = sum(curve.band for curve in found) <= MOST_BANDS
    return found if few else [replace(curve, band=False) for curve in found]


def _draw(ax: Axes, panel: list[Curve], scale: Scale, look: dict[str, Look]) -> None:
    bars = [curve.name for curve in panel if not curve.band]
    for curve in panel:
        style = look[curve.name]
        line = curve_line(style)
        if curve.band:
            ax.fill_between(curve.x, curve.low, curve.high, color=style.colour, alpha=0.14, linewidth=0)
            line.set_data(curve.x, curve.mean)
        else:
            shift = min(STEP, REACH / len(bars)) * (bars.index(curve.name) - (len(bars) - 1) / 2)
            x = curve.x * scale.span() ** shift
            ax.vlines(x, curve.low, curve.high, color=style.colour, linewidth=1.0, alpha=0.7)
            line.set_data(x, curve.mean)
            if curve.level:  # drawn across, marked where it was measured
                line.set_data([scale.ticks[0], x[0]], curve.mean.repeat(2))
                line.set_markevery([1])
        ax.add_line(line)
    scale.set(ax)


def curve_line(look: Look, label: str = "") -> Line2D:
    face = "white" if look.open else look.colour
    return Line2D([], [], color=look.colour, linestyle=look.dash, linewidth=look.width, marker=look.marker or None,
                  markersize=4.6, markerfacecolor=face, markeredgewidth=1.1, label=label)  # fmt: skip


def _legend(fig: Figure, look: dict[str, Look], names: list[str]) -> Legend:
    """As many columns as fit the width of the figure."""
    lines = [curve_line(look[name], label=wrapped(name, 60)) for name in names]
    renderer = FigureCanvasAgg(fig).get_renderer()
    columns = min(len(lines), 5)
    while True:
        legend = fig.legend(handles=lines, loc="lower left", ncols=columns, fontsize=8, handlelength=3.0,
                            columnspacing=1.6, handletextpad=0.6, borderaxespad=0.5, labelspacing=0.45)  # fmt: skip
        width = legend.get_window_extent(renderer).width / fig.dpi / WIDTH
        if columns == 1 or width < 0.98:
            legend.set_bbox_to_anchor((max(0.0, min(LEFT / WIDTH - 0.02, 0.5 - width / 2)), 0))
            return legend
        legend.remove()
        columns -= 1


def _limits(summary: pd.DataFrame) -> tuple[float, float]:
    """All means, and intervals up to 0.6 of the means' range beyond them (wider ones run off); within 0..100."""
    mean = 100 * summary["mean"]
    spread = max(float(mean.max() - mean.min()), 2.0)
    low = max(np.nanmin([*(100 * summary["low"]), mean.min()]), mean.min() - 0.6 * spread)
    high = min(np.nanmax([*(100 * summary["high"]), mean.max()]), mean.max() + 0.6 * spread)
    margin = 0.04 * max(high - low, 2.0)
    return max(low - margin, -1.0), min(high + margin, 101.0)
