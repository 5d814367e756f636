"""Plots of the bound: against the observed excess risk, its terms, and every step to it."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from xkd_bench.report.scatter import family_looks
from xkd_bench.report.style import COLOURS, INK, QUIET, WIDTH, heading, lighter, plain
from xkd_bench.report.words import wrapped

HEIGHT, HEAD, FOOT, LEFT, RIGHT, LINE, ROW = 3.1, 0.62, 0.5, 0.6, 0.15, 0.19, 0.3
"""Inches."""
TAGS = {"exact": COLOURS[2], "measured": COLOURS[0], "proxy": COLOURS[4], "vacuous": "#9a9a9a"}
"""What a term rests on, from the firmest to the loosest."""
NAMES = {"tv_oracle": "2 TV, oracles", "tv_teacher": "2 TV, teacher to oracle", "tv_distil": "2 TV, teacher to student",
         "margin": "margin", "capacity": "2R_n of the head", "sampling": "sampling"}  # fmt: skip
HATCHES = {"exact": "", "measured": "", "proxy": "////", "vacuous": "...."}


def bound_plot(runs: pd.DataFrame, title: str, words: str) -> Figure:
    """Excess risk against the bound with κ = 1, a dot a run; below the line the bound holds.

    runs: family, excess, excess_se, bound, as fractions. Shaded: bounds of 1 and more, which say nothing of a risk.
    """
    looks = family_looks(sorted(runs["family"].astype(str).unique()))
    legend = LINE * -(-len(looks) // 3)
    height = HEIGHT + legend
    with plain():
        fig = Figure(figsize=(WIDTH, height))
        box = (LEFT / WIDTH, (FOOT + legend) / height, 1 - (LEFT + RIGHT) / WIDTH, (HEIGHT - HEAD - FOOT) / height)
        ax = fig.add_axes(box)
        most = 1.06 * max(float(runs["bound"].max()), 1.0)
        for family, part in runs.groupby("family"):
            colour, marker = looks[str(family)]
            ax.errorbar(part["bound"], part["excess"], yerr=1.96 * part["excess_se"], fmt=marker, color=colour,
                        markersize=4, elinewidth=0.7, markeredgewidth=0, alpha=0.85)  # fmt: skip
        top = 1.12 * max(float((runs["excess"] + 1.96 * runs["excess_se"]).max()), 0.05)
        bottom = min(0.0, 1.1 * float((runs["excess"] - 1.96 * runs["excess_se"]).min()))
        ax.axvspan(1, most, color="#f1f1f1", zorder=0)
        ends = np.array([0, min(top, most)])
        ax.plot(ends, ends, color=INK, linewidth=1)
        ax.annotate(
            "excess = bound", (ends[1], ends[1]), xytext=(6, -2), textcoords="offset points", fontsize=7.5, va="top"
        )
        ax.set(xlim=(0, most), ylim=(bottom, top), xlabel="right-hand side, κ = 1", ylabel="excess risk")
        fig.legend(handles=_handles(looks), loc="lower left", bbox_to_anchor=(0.12 / WIDTH, 0.02 / height), ncols=3,
                   fontsize=7.5, borderaxespad=0.2)  # fmt: skip
        heading(fig, title, words, 0.12)
    return fig


def terms_plot(means: pd.DataFrame, excess: "pd.Series[float]", title: str, words: str) -> Figure:
    """The right-hand side as a bar of its terms, a row a family; a diamond: the observed excess risk.

    means: rows (family, term, tag, part) in the order of the sum. excess: mean by family. Colours are tags; terms of
    one tag differ in lightness.
    """
    families = sorted(means["family"].astype(str).unique())
    shades = _shades(means)
    legend = LINE * -(-len(shades) // 2)
    height = HEAD + ROW * len(families) + 0.1 + FOOT + legend
    with plain():
        fig = Figure(figsize=(WIDTH, height))
        left = _label_width(fig, families) + 0.25
        box = (left / WIDTH, (FOOT + legend) / height, 1 - (left + RIGHT) / WIDTH, (ROW * len(families) + 0.1) / height)
        ax = fig.add_axes(box)
        for y, family in enumerate(families):
            at = 0.0
            for row in means[means["family"] == family].to_dict("records"):
                colour, hatch = shades[str(row["term"]), str(row["tag"])]
                ax.barh(
                    y, row["part"], left=at, height=0.6, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4
                )
                at += float(row["part"])
            ax.plot(
                [float(excess[family])], [y], marker="D", color=INK, markersize=5, markeredgecolor="white", zorder=4
            )
        ax.axvline(1, color=QUIET, linewidth=0.8, linestyle=(0, (4, 2)))
        ax.set_yticks(range(len(families)), labels=families, fontsize=8)
        ax.set(ylim=(len(families) - 0.5, -0.5), xlabel="right-hand side, κ = 1 (diamond: observed excess risk)")
        ax.grid(axis="y", visible=False)
        handles = [
            Patch(facecolor=c, hatch=h, edgecolor="white", label=f"{NAMES.get(term, term)} ({tag})")
            for (term, tag), (c, h) in shades.items()
        ]
        fig.legend(handles=handles, loc="lower left", bbox_to_anchor=(0.12 / WIDTH, 0.02 / height), ncols=2,
                   fontsize=7.5, borderaxespad=0.2, handleheight=1.0)  # fmt: skip
        heading(fig, title, words, 0.12)
    return fig


def chain_plot(links: pd.DataFrame, names: Mapping[str, str], title: str, words: str) -> Figure:
    """Slack of each step of the argument, a row a step, a dot a run; left of zero the step fails.

    links: rows (term, family, value). names: what a step says, by term, in the order shown.
    """
    looks = family_looks(sorted(links["family"].astype(str).unique()))
    legend = LINE * -(-len(looks) // 3)
    labels = [wrapped(said, 40) for said in names.values()]
    height = HEAD + 0.42 * len(labels) + FOOT + legend
    with plain():
        fig = Figure(figsize=(WIDTH, height))
        left = _label_width(fig, labels) + 0.25
        box = (left / WIDTH, (FOOT + legend) / height, 1 - (left + RIGHT) / WIDTH, 0.42 * len(labels) / height)
        ax = fig.add_axes(box)
        ax.axvline(0, color=INK, linewidth=0.9, zorder=1)
        for y, term in enumerate(names):
            part = links[links["term"] == term]
            for k, (family, rows) in enumerate(part.groupby("family")):
                colour, marker = looks[str(family)]
                shift = 0.5 * ((k + 0.5) / part["family"].nunique() - 0.5)
                ax.plot(rows["value"], np.full(len(rows), y + shift), marker, color=colour, markersize=3.5, alpha=0.7,
                        markeredgewidth=0)  # fmt: skip
        ax.set_yticks(range(len(labels)), labels=labels, fontsize=7.5)
        ax.set(ylim=(len(labels) - 0.5, -0.5), xlabel="right side less left side")
        ax.grid(axis="y", visible=False)
        fig.legend(handles=_handles(looks), loc="lower left", bbox_to_anchor=(0.12 / WIDTH, 0.02 / height), ncols=3,
                   fontsize=7.5, borderaxespad=0.2)  # fmt: skip
        heading(fig, title, words, 0.12)
    return fig


def _handles(looks: dict[str, tuple[str, str]]) -> list[Line2D]:
    return [Line2D([], [], color=c, marker=m, markersize=5, linestyle="", label=n) for n, (c, m) in looks.items()]


def _shades(means: pd.DataFrame) -> dict[tuple[str, str], tuple[str, str]]:
    """A colour and a hatch for each term: its tag's, lighter for every further term of the same tag."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    seen: dict[str, int] = {}
    for term, tag in means[["term", "tag"]].astype(str).drop_duplicates().itertuples(index=False):
        k = seen.get(tag, 0)
        seen[tag] = k + 1
        found[term, tag] = lighter(TAGS.get(tag, QUIET), min(0.7, 0.28 * k)), HATCHES.get(tag, "")
    return found


def _label_width(fig: Figure, names: list[str]) -> float:
    renderer = FigureCanvasAgg(fig).get_renderer()
    widths = []
    for name in names:
        text = fig.text(0, 0, name, fontsize=8)
        widths.append(text.get_window_extent(renderer).width / fig.dpi)
        text.remove()
    return float(max(widths))
