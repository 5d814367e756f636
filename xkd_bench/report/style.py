"""How plots look: colours that colour-blind readers and grey prints tell apart, one style for each variant."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from xkd_bench.analysis.scores import ROLES

INK, QUIET, FAINT = "#1a1a1a", "#6b6b6b", "#e6e6e6"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5195")
"""Okabe and Ito's palette (without its yellow, too pale for lines), and a violet."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
DASHED, DOTTED, DASHDOT = (0, (4.5, 2)), (0, (1.2, 1.6)), (0, (6, 1.6, 1.2, 1.6))
Dash = Literal["-"] | tuple[int, tuple[float, ...]]

WIDTH = 6.6
"""Inches: the text width of a page; at a README's width type stays above 11 pixels."""

RC = {
    **{"font.family": "DejaVu Sans", "font.size": 8.5, "text.color": INK, "axes.labelcolor": INK},
    **{"axes.titlesize": 9, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 7},
    **{"axes.edgecolor": QUIET, "axes.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False},
    **{"axes.grid": True, "axes.axisbelow": True, "grid.color": FAINT, "grid.linewidth": 0.7},
    **{"xtick.color": QUIET, "ytick.color": QUIET, "xtick.labelcolor": INK, "ytick.labelcolor": INK},
    **{"xtick.major.size": 3, "ytick.major.size": 0, "xtick.major.width": 0.7, "legend.frameon": False},
    **{"figure.facecolor": "white", "savefig.facecolor": "white", "svg.hashsalt": "xkd-bench", "svg.fonttype": "path"},
}


@contextmanager
def plain() -> Iterator[None]:
    """Matplotlib's defaults and `RC`, whatever the user's own settings are; restored afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(RC)  # type: ignore[arg-type]
        yield


@dataclass(frozen=True)
class Look:
    """How one variant is drawn; open markers have a white face."""

    colour: str
    dash: Dash = "-"
    marker: str = "o"
    open: bool = False
    width: float = 1.8


def looks(variants: pd.DataFrame) -> dict[str, Look]:
    """A look for each row of `variants` (columns variant, role, method, pairs; in the table's order).

    Methods have a colour, a filled marker and a solid line each; a control has its method's colour, lighter, an open
    marker and a broken line; references are dark with broken lines; the floor is a dashed grey line.
    """
    methods: dict[str, Look] = {}
    out: dict[str, Look] = {}
    of_role: dict[str, list[dict[str, str]]] = {role: [] for role in ROLES}
    for variant, role, method, pairs in variants[["variant", "role", "method", "pairs"]].astype(str).to_numpy():
        of_role[role].append({"variant": variant, "method": method, "pairs": pairs})
    for i, row in enumerate(of_role["method"]):
        out[row["variant"]] = Look(COLOURS[i % len(COLOURS)], marker=MARKERS[i % len(MARKERS)])
        methods.setdefault(row["method"], out[row["variant"]])
    for i, row in enumerate(of_role["reference"]):
        dash, marker = ((DASHDOT, "s"), (DASHED, "D"), (DOTTED, "P"))[i % 3]
        out[row["variant"]] = Look("#333333", dash, marker, open=True, width=1.4)
    for row in of_role["control"]:
        base = methods.get(row["method"], Look(COLOURS[0]))
        dash, marker = (DOTTED, "v") if row["pairs"] == "shuffled" else (DASHED, "o")
        out[row["variant"]] = Look(lighter(base.colour, 0.35), dash, marker, open=True, width=1.4)
    for row in of_role["floor"]:
        out[row["variant"]] = Look("#8c8c8c", DASHED, "", width=1.3)
    return out


def heading(fig: Figure, title: str, words: str, left: float) -> None:
    """Title and one quiet line under it, at the top left; `left` in inches. Long lines shrink, then end in '…'."""
    renderer = FigureCanvasAgg(fig).get_renderer()
    width, height = fig.get_size_inches()
    for text, down, size, weight, colour in ((title, 0.12, 10.5, "bold", INK), (words, 0.31, 7.5, "normal", QUIET)):
        written = fig.text(left / width, 1 - down / height, text, va="top", size=size, weight=weight, color=colour)
        shrunk = 1.0
        while written.get_window_extent(renderer).width / fig.dpi > width - left - 0.05:
            if shrunk > 0.8:
                shrunk -= 0.02
                written.set_fontsize(shrunk * size)
            else:
                written.set_text(written.get_text().rstrip("…")[:-1].rstrip() + "…")


def lighter(colour: str, by: float) -> str:
    """The colour, moved towards white by the fraction `by` of the way."""
    red, green, blue = (part + (1 - part) * by for part in to_rgb(colour))
    return to_hex((red, green, blue))
