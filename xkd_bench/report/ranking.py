"""Plots of methods over tasks: critical-difference diagram, aggregate scores, performance profiles."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xkd_bench.analysis.ranking_tests import Ranks, cliques
from xkd_bench.report.claims import number
from xkd_bench.report.style import COLOURS, DASHDOT, DASHED, INK, QUIET, WIDTH, heading, lighter, plain

ROW, HEAD, FOOT = 0.24, 0.62, 0.5
"""Inches."""
DASHES = ("-", DASHED, DASHDOT)


def critical_difference_plot(found: Ranks, title: str) -> Figure:
    """Mean ranks on a line, 1 at the left; a bar joins methods of which no two differ (Wilcoxon, Holm).

    The length of Nemenyi's critical difference is drawn above. After Demšar 2006, figure 1.
    """
    names, ranks = list(found.ranks.index), found.ranks.to_numpy()
    bars, half = cliques(found), (len(names) + 1) // 2
    deep = 0.3 + 0.13 * len(bars)
    height = HEAD + 0.75 + deep + ROW * half + 0.1
    words = (
        f"Friedman χ² {found.chi2:.1f}, p {_p(found.p)} (F: {_p(found.p_f)}), {found.tasks} data sets; bars: no two "
        f"differ (Wilcoxon, Holm, {100 * found.alpha:g} %)"
    )
    with plain():
        fig = Figure(figsize=(WIDTH, height))
        heading(fig, title, words, 0.12)
        ax = fig.add_axes((0.27, 0, 0.46, (height - HEAD) / height))
        ax.set_axis_off()
        ax.set_ylim(-(deep + ROW * half + 0.1), 0.75)
        ax.set_xlim(1, len(names))
        ax.plot([1, len(names)], [0, 0], color=INK, linewidth=1, clip_on=False)
        for tick in range(1, len(names) + 1):
            ax.plot([tick, tick], [0, 0.07], color=INK, linewidth=1, clip_on=False)
            ax.text(tick, 0.11, str(tick), ha="center", va="bottom", size=8)
        ax.plot([1, 1 + found.critical], [0.45, 0.45], color=QUIET, linewidth=1.4, clip_on=False)
        ax.text(1, 0.5, f"critical difference {found.critical:.2f} (Nemenyi)", size=7.5, color=QUIET, va="bottom")
        for i, (first, last) in enumerate(bars):
            ax.plot([ranks[first] - 0.04, ranks[last] + 0.04], [-0.14 - 0.13 * i] * 2, color=COLOURS[0], linewidth=3.2,
                    solid_capstyle="round", clip_on=False)  # fmt: skip
        for i, (name, rank) in enumerate(zip(names, ranks, strict=True)):
            _label(ax, str(name), float(rank), left=i < half, down=deep + ROW * (i if i < half else len(names) - 1 - i),
                   last=len(names))  # fmt: skip
    return fig


def _label(ax: Axes, name: str, rank: float, left: bool, down: float, last: int) -> None:
    """A method's name at the side, and the line to its rank."""
    end = 1 - 0.03 * last if left else last + 0.03 * last
    ax.plot([rank, rank, end], [0, -down, -down], color=QUIET, linewidth=0.9, clip_on=False)
    side = "right" if left else "left"
    ax.text(end + (-0.02 if left else 0.02) * last, -down, f"{name}  {rank:.2f}" if left else f"{rank:.2f}  {name}",
            ha=side, va="center", size=8.5, clip_on=False)  # fmt: skip


def _p(p: float) -> str:
    return "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


def aggregate_plot(aggregates: pd.DataFrame, title: str, what: str = "interquartile mean") -> Figure:
    """A dot and its interval for each method (`analysis.ranking.aggregate`), the best at the top."""
    rows = aggregates.sort_values("value", ascending=False, kind="stable").to_dict("records")
    first, height = rows[0], HEAD + ROW * len(rows) + FOOT
    of = f"{first['tasks']} data sets, {first['runs']} runs of each"
    words = f"{what}; 95 % intervals of the stratified bootstrap; {of}"
    with plain():
        fig = Figure(figsize=(WIDTH, height))
        heading(fig, title, words, 0.12)
        ax = fig.add_axes((0.24, FOOT / height, 0.53, (height - HEAD - FOOT) / height))
        for y, row in enumerate(rows):
            ax.plot([row["low"], row["high"]], [y, y], color=COLOURS[0], linewidth=2.2, solid_capstyle="butt")
            ax.plot([row["value"]], [y], "o", color=COLOURS[0], markersize=5.5)
            ax.annotate(f"{number(row['value'])}  [{number(row['low'])}, {number(row['high'])}]", (1, y),
                        xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
                        va="center_baseline", size=7.5)  # fmt: skip
        ax.set_yticks(range(len(rows)), labels=[row["method"] for row in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(what)
    return fig


def profile_plot(profiles: pd.DataFrame, title: str, scale: str = "normalised score") -> Figure:
    """Share of runs above each score, a line and its pointwise band for each method (`analysis.ranking.profile`)."""
    with plain():
        fig = Figure(figsize=(WIDTH, 3.2))
        heading(fig, title, "share of runs above each score, mean over data sets; bands: 95 %, pointwise", 0.12)
        ax = fig.add_axes((0.09, 0.14, 0.66, 0.68))
        for i, (name, part) in enumerate(profiles.groupby("method", sort=False)):
            colour = COLOURS[i % len(COLOURS)]
            ax.fill_between(
                part["level"], part["low"], part["high"], color=lighter(colour, 0.72), linewidth=0, alpha=0.6
            )
            ax.plot(
                part["level"], part["value"], color=colour, linestyle=DASHES[i // len(COLOURS) % 3], label=str(name)
            )
        ax.set_ylim(-0.02, 1.02)
        ax.set_xlim(profiles["level"].min(), profiles["level"].max())
        ax.set_xlabel(scale)
        ax.set_ylabel("share of runs above")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1.02), fontsize=8)
    return fig
