"""What a number of conditions can see: the power of a correlation's test, with this study and the paper marked."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from xkd_bench.analysis.power import correlation_power
from xkd_bench.report.style import COLOURS, INK, QUIET, WIDTH, heading, plain

HEIGHT, HEAD, FOOT, LEFT, RIGHT = 3.0, 0.62, 0.5, 0.6, 0.2
"""Inches."""
RHOS = (0.3, 0.5, 0.7, 0.9)


def power_figure(marks: Mapping[str, int], title: str) -> Figure:
    """Power against the number of conditions for several true correlations; `marks`: a name and its conditions."""
    most = max(60, 1.3 * max(marks.values(), default=0))
    n = np.unique(np.geomspace(4, most, 200))
    with plain():
        fig = Figure(figsize=(WIDTH, HEIGHT))
        box = (LEFT / WIDTH, FOOT / HEIGHT, 1 - (LEFT + RIGHT) / WIDTH, 1 - (HEAD + FOOT) / HEIGHT)
        ax = fig.add_axes(box)
        for rho, colour in zip(RHOS, COLOURS, strict=False):
            power = [100 * correlation_power(rho, float(k)) for k in n]
            ax.plot(n, power, color=colour, linewidth=1.6)
            middle = int(np.abs(np.array(power) - 55).argmin())
            ax.annotate(f"|ρ| = {rho:g}", (n[middle], power[middle]), color=colour, ha="center", va="center",
                        fontsize=8, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})  # fmt: skip
        ax.axhline(80, color=QUIET, linewidth=0.8, linestyle=(0, (4, 2)))
        for k, (name, at) in enumerate(marks.items()):
            ax.axvline(at, color=INK, linewidth=0.9, linestyle=(0, (1.2, 1.6)))
            ax.annotate(
                f"{name}: {at}", (at, 92 - 8 * (k % 3)), xytext=(4, 0), textcoords="offset points", fontsize=7.5
            )
        ax.set(xlim=(float(n[0]) - 0.2, float(n[-1])), ylim=(0, 102), xlabel="conditions (independent, in one family)",
               ylabel="power, %, two-sided 5 %")  # fmt: skip
        ax.set_xscale("log")
        ticks = [k for k in (4, 6, 10, 15, 20, 30, 50, 100, 200, 500, 1000) if k <= most]
        ax.set_xticks(ticks, labels=[str(k) for k in ticks])
        ax.minorticks_off()
        heading(fig, title, "by Fisher's z; dashed: the customary 80 %", 0.12)
    return fig
