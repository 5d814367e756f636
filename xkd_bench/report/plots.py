"""Plots of scores: curves against labels or pairs, dots with intervals elsewhere. Figures only; no global state."""

import io
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from xkd_bench.analysis.compare import summarise, variants
from xkd_bench.analysis.scores import TRAINED
from xkd_bench.report.dots import dots
from xkd_bench.report.style import INK, QUIET, Look, looks, plain
from xkd_bench.report.words import count, interval_note, protocol_title, title_of, wrapped

WIDTH = 6.6
"""Inches: the text width of a page; at a README's width type stays above 11 pixels."""
MOST_BANDS = 4
"""Above this many, bands hide each other: every interval is a thin bar then, beside its point."""
PANEL, HEAD, FOOT, LEFT, RIGHT = 2.35, 0.78, 0.52, 0.58, 0.12


def figure(df: pd.DataFrame, confidence: float = 0.95) -> Figure:
    """The plot that suits `df`.

    Several numbers of labels per class: accuracy against them, a panel for what is trained. Several fractions of
    pairs: accuracy against these. Otherwise: a dot and its interval for each variant. Bands and bars are the intervals
    of `summarise`.
    """
    with plain():
        summary = summarise(df, confidence)
        one = variants(df).iloc[0]
        title = f"{one['task_title']} · {protocol_title(one['protocol']).lower()}"
        kind = {"rendered": ", rendered images", "simulated": ", simulated data"}.get(one["origin"], "")
        words = f"{one['source']} → {one['target']}{kind}; budget {one['budget']}; "
        words += interval_note(summary, confidence)
        many_labels = summary["labels_per_class"].nunique(dropna=False) > 1
        many_fractions = summary["pair_fraction"].nunique() > 1
        if not (many_labels or many_fractions):
            return dots(summary, looks_of(summary), title, words)
        axis = "labels_per_class" if many_labels else "pair_fraction"
        return _curves(summary, axis, title, words)


def looks_of(summary: pd.DataFrame) -> dict[str, Look]:
    return looks(summary.drop_duplicates("variant"))


def _curves(summary: pd.DataFrame, axis: str, title: str, words: str) -> Figure:
    """Panels side by side (two at most in a row), one y axis, one legend beneath."""
    other = "pair_fraction" if axis == "labels_per_class" else "labels_per_class"
    panels = [(trained, value) for trained in TRAINED for value in summary[other].drop_duplicates().sort_values()
              if len(_of(summary, trained, other, value))]  # fmt: skip
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    fig = Figure(figsize=(WIDTH, 1))
    look = looks_of(summary)
    legend = _legend(fig, look, list(dict.fromkeys(summary["variant"])))
    renderer = FigureCanvasAgg(fig).get_renderer()
    legend_height = legend.get_window_extent(renderer).height / fig.dpi
    height = HEAD + rows * PANEL + (rows - 1) * 0.7 + FOOT + legend_height
    fig.set_size_inches(WIDTH, height)
    grid = fig.add_gridspec(rows, columns, left=LEFT / WIDTH, right=1 - RIGHT / WIDTH, top=1 - HEAD / height,
                            bottom=(FOOT + legend_height) / height, wspace=0.07, hspace=0.7 / PANEL)  # fmt: skip
    shared: Axes | None = None
    for i, (trained, value) in enumerate(panels):
        ax = fig.add_subplot(grid[i // columns, i % columns], sharey=shared)
        shared = shared or ax
        part = _of(summary, trained, other, value)
        _panel(ax, part, axis, summary[axis], look)
        ax.set_title(title_of(TRAINED[trained]) + _panel_suffix(panels, other, value))
        ax.tick_params(labelleft=i % columns == 0)
        if i % columns == 0:
            ax.set_ylabel("accuracy, %")
    assert shared is not None
    shared.set_ylim(*_limits(summary))
    heading(fig, title, words, LEFT)
    return fig


def _of(summary: pd.DataFrame, trained: str, other: str, value: Any) -> pd.DataFrame:
    same = summary[other].isna() if pd.isna(value) else summary[other].eq(value).fillna(False)
    return summary[(summary["trained"] == trained) & same]


def _panel_suffix(panels: list[tuple[str, Any]], other: str, value: Any) -> str:
    if len({str(v) for _, v in panels}) == 1:
        return ""
    if other == "pair_fraction":
        return f", {100 * value:g} % of pairs"
    return ", all labels" if pd.isna(value) else f", {count(int(value), 'label')} per class"


def heading(fig: Figure, title: str, words: str, left: float) -> None:
    """Title and one quiet line under it, at the top left; `left` in inches."""
    width, height = fig.get_size_inches()
    fig.text(left / width, 1 - 0.12 / height, title, fontsize=10.5, fontweight="bold", va="top", color=INK)
    fig.text(left / width, 1 - 0.31 / height, words, fontsize=7.5, va="top", color=QUIET)


def _legend(fig: Figure, look: dict[str, Look], names: list[str]) -> Legend:
    """As many columns as fit the width of the figure."""
    lines = [_line(look[name], label=wrapped(name, 60)) for name in names]
    renderer = FigureCanvasAgg(fig).get_renderer()
    for columns in range(min(len(lines), 5), 0, -1):
        legend = fig.legend(handles=lines, loc="lower left", ncols=columns, fontsize=8, handlelength=3.0,
                            columnspacing=1.6, handletextpad=0.6, borderaxespad=0.5, labelspacing=0.45)  # fmt: skip
        width = legend.get_window_extent(renderer).width / fig.dpi / WIDTH
        if columns == 1 or width < 0.98:
            legend.set_bbox_to_anchor((max(0.0, min(LEFT / WIDTH - 0.02, 0.5 - width / 2)), 0))
            return legend
        legend.remove()
    raise AssertionError("a legend of one column is always returned")


def _line(look: Look, label: str = "") -> Line2D:
    return Line2D([], [], color=look.colour, linestyle=look.dash, linewidth=look.width, marker=look.marker or None,
                  markersize=4.6, markerfacecolor="white" if look.open else look.colour, markeredgewidth=1.1,
                  label=label)  # fmt: skip


def _panel(ax: Axes, part: pd.DataFrame, axis: str, whole: "pd.Series[Any]", look: dict[str, Look]) -> None:
    """Curves and bands of one panel; x is logarithmic, 'all labels' stands one step right of the largest number."""
    values = sorted(float(v) for v in whole.dropna().unique())
    last = values[-1] * 2.2
    ticks = values + [last] * bool(whole.isna().any())
    names = list(part["variant"].unique())
    banded = set(part.loc[part["role"].isin(["method", "reference"]), "variant"])
    banded = banded if len(banded) <= MOST_BANDS else set()
    bars = [name for name in names if name not in banded]
    shift = {name: 0.012 * (i - (len(bars) - 1) / 2) for i, name in enumerate(bars)}
    for name, of_variant in part.groupby("variant", sort=False):
        rows = of_variant.sort_values(axis, na_position="last")
        x = rows[axis].astype(float).fillna(last).to_numpy()
        mean, low, high = (100 * rows[c].to_numpy(dtype=float) for c in ("mean", "low", "high"))
        style = look[str(name)]
        level = axis == "pair_fraction" and len(rows) == 1 and rows["role"].iloc[0] in ("reference", "floor")
        if level and part["pair_fraction"].nunique() > 1:  # uses no pairs: the same at every fraction
            x, mean, low, high = np.array([values[0], last]), *(np.repeat(v, 2) for v in (mean, low, high))
            x[-1] = values[-1]
        if name in banded:
            ax.fill_between(x, low, high, color=style.colour, alpha=0.14, linewidth=0)
        elif not level:
            at = x * (ticks[-1] / ticks[0]) ** shift[str(name)]
            ax.vlines(at, low, high, color=style.colour, linewidth=1.1, alpha=0.75)
        line = _line(style)
        line.set_data(x, mean)
        line.set_markevery([-1] if level else None)  # a level is marked where it was measured
        ax.add_line(line)
    ax.set_xscale("log")
    pad = (ticks[-1] / ticks[0]) ** 0.04
    ax.set_xlim(ticks[0] / pad, ticks[-1] * pad)
    named = [f"{v:g}" if axis == "labels_per_class" else f"{100 * v:g}" for v in values]
    ax.set_xticks(ticks, labels=named + ["all"] * (len(ticks) - len(values)))
    ax.minorticks_off()
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("labels per class" if axis == "labels_per_class" else "pairs used, %")


def _limits(summary: pd.DataFrame) -> tuple[float, float]:
    """All means and, unless they are wider than twice the means' own range, all intervals; within 0..100."""
    mean = 100 * summary["mean"]
    spread = max(float(mean.max() - mean.min()), 2.0)
    low = max(np.nanmin([*(100 * summary["low"]), mean.min()]), mean.min() - 0.6 * spread)
    high = min(np.nanmax([*(100 * summary["high"]), mean.max()]), mean.max() + 0.6 * spread)
    margin = 0.04 * (high - low)
    return max(low - margin, -1.0), min(high + margin, 101.0)


def png(fig: Figure) -> bytes:
    """The figure at 200 dpi, without date or version in it."""
    return _saved(fig, "png", {"Software": None}, dpi=200)


def svg(fig: Figure) -> bytes:
    """The figure as SVG with fixed ids and no date; letters are outlines, so it looks the same everywhere."""
    return _saved(fig, "svg", {"Date": None, "Creator": None})


def _saved(fig: Figure, kind: str, metadata: dict[str, None], dpi: float = 72) -> bytes:
    out = io.BytesIO()
    with plain():
        fig.savefig(out, format=kind, metadata=metadata, dpi=dpi)
    return out.getvalue()


__all__ = ["figure", "png", "svg"]
