"""Gains and what they are made of: a dot and its interval for each, against zero."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xkd_bench.report.sheet import ALPHA, PARTS
from xkd_bench.report.style import COLOURS, QUIET, WIDTH, heading, plain
from xkd_bench.report.words import short_setting, wrapped

ROW, HEAD, FOOT, GAP, RIGHT = 0.25, 0.82, 0.5, 0.14, 0.12
"""Inches."""


def gains_figure(gained: pd.DataFrame, title: str, words: str) -> Figure:
    """Panels side by side, one for each part there is; a row for each method and setting, as `compare.gains` has them.

    Filled: told from zero after Holm's correction. Open: not, or too few differences to say. Intervals that would
    dwarf all estimates run off the panel.
    """
    gained = _with_setting(gained[gained["part"].isin(PARTS)])
    rows = _rows(gained)
    parts = [part for part in PARTS if part in set(gained["part"])]
    labels = [wrapped(label, 34) for label in rows["label"]]
    with plain():
        fig = Figure(figsize=(WIDTH, 1))
        left = _label_width(fig, labels) + 0.25
        sizes = np.array([ROW + 0.13 * label.count("\n") for label in labels])
        places = np.cumsum(sizes) - sizes / 2
        height = HEAD + float(sizes.sum()) + 0.08 + FOOT
        fig.set_size_inches(WIDTH, height)
        width = (WIDTH - left - RIGHT - GAP * (len(parts) - 1)) / len(parts)
        limits = _limits(gained)
        for i, part in enumerate(parts):
            box = ((left + i * (width + GAP)) / WIDTH, FOOT / height, width / WIDTH, 1 - (HEAD + FOOT) / height)
            ax = fig.add_axes(box)
            _panel(ax, rows[["variant", "setting"]].merge(gained[gained["part"] == part], how="left"), places)
            ax.set(xlim=limits, ylim=(float(sizes.sum()) + 0.04, -0.04), title=part, xlabel="points")
            ax.set_yticks(places, labels=labels if i == 0 else [""] * len(labels), fontsize=8)
        heading(fig, title, words, 0.12)
    return fig


def _with_setting(gained: pd.DataFrame) -> pd.DataFrame:
    """Add `setting`: 'linear, 5 labels'."""
    many = bool(gained["pair_fraction"].nunique() > 1)
    columns = (gained["labels_per_class"], gained["pair_fraction"].astype(float), gained["trained"].astype(str))
    return gained.assign(setting=[short_setting(n, f, t, many) for n, f, t in zip(*columns, strict=True)])


def _rows(gained: pd.DataFrame) -> pd.DataFrame:
    rows = gained[["variant", "setting"]].drop_duplicates().reset_index(drop=True)
    one_variant, one_setting = rows["variant"].nunique() == 1, rows["setting"].nunique() == 1
    if one_setting:
        return rows.assign(label=rows["variant"])
    return rows.assign(label=rows["setting"] if one_variant else rows["variant"] + " · " + rows["setting"])


def _label_width(fig: Figure, labels: list[str]) -> float:
    renderer = FigureCanvasAgg(fig).get_renderer()
    widths = []
    for label in labels:
        text = fig.text(0, 0, label, fontsize=8)
        widths.append(text.get_window_extent(renderer).width / fig.dpi)
        text.remove()
    return float(max(widths))


def _panel(ax: Axes, part: pd.DataFrame, places: "np.ndarray") -> None:
    ax.axvline(0, color=QUIET, linewidth=0.9, zorder=1)
    for y, row in zip(places, part.to_dict("records"), strict=True):
        if pd.isna(row["difference"]):
            continue
        told = row["p_holm"] < ALPHA
        if pd.notna(row["low"]):
            ends = [100 * row["low"], 100 * row["high"]]
            ax.plot(ends, [y, y], color=COLOURS[0], linewidth=1.8, solid_capstyle="butt", zorder=2)
        ax.plot([100 * row["difference"]], [y], marker="o", markersize=5, color=COLOURS[0], linestyle="", zorder=3,
                markerfacecolor=COLOURS[0] if told else "white", markeredgewidth=1.2)  # fmt: skip
    ax.grid(axis="y", visible=False)
    ax.spines["left"].set_visible(False)


def _limits(gained: pd.DataFrame) -> tuple[float, float]:
    """Zero and all estimates; intervals up to the estimates' range beyond them."""
    centre = 100 * gained["difference"]
    low, high = min(float(centre.min()), 0.0), max(float(centre.max()), 0.0)
    spread = max(high - low, 1.0)
    low = max(min(float(np.nanmin([*(100 * gained["low"]), low])), low), low - spread)
    high = min(max(float(np.nanmax([*(100 * gained["high"]), high])), high), high + spread)
    return low - 0.06 * spread, high + 0.06 * spread
