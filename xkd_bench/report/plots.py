"""Plots of scores as PNG, SVG and PDF. Figures only, drawn with Agg; no global state."""

import io

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from xkd_bench.analysis.compare import summarise, variants
from xkd_bench.report.curves import curves
from xkd_bench.report.dots import dots
from xkd_bench.report.recipe import shared_recipe_apart
from xkd_bench.report.style import looks, plain
from xkd_bench.report.words import interval_note, protocol_title


def figure(df: pd.DataFrame, confidence: float = 0.95) -> Figure:
    """The plot that suits `df`.

    Several numbers of labels per class: accuracy against them, a panel for what is trained. Several fractions of
    pairs: accuracy against these. Otherwise: a dot and its interval for each variant. Bands and bars are the intervals
    of `analysis.compare.summarise`; the dashed grey line is the floor.
    """
    df = shared_recipe_apart(df)
    summary = summarise(df, confidence)
    one = variants(df).iloc[0]
    title = f"{one['task_title']} · {protocol_title(one['protocol']).lower()}"
    kind = {"rendered": ", rendered data", "simulated": ", simulated data"}.get(one["origin"], "")
    words = f"{interval_note(summary, confidence)}; budget {one['budget']}; {one['source']} → {one['target']}{kind}"
    look = looks(summary.drop_duplicates("variant"))
    with plain():
        if summary["labels_per_class"].nunique(dropna=False) > 1:
            return curves(summary, "labels_per_class", look, title, words)
        if summary["pair_fraction"].nunique() > 1:
            return curves(summary, "pair_fraction", look, title, words)
        return dots(summary, look, title, words)


def png(fig: Figure) -> bytes:
    """The figure at 200 dpi, without date or version in it."""
    return _saved(fig, "png", {"Software": None}, dpi=200)


def svg(fig: Figure) -> bytes:
    """The figure as SVG with fixed ids and no date; letters are outlines, so it looks the same everywhere."""
    return _saved(fig, "svg", {"Date": None, "Creator": None}, dpi=72)


def pdf(fig: Figure) -> bytes:
    """The figure as PDF without a date, its letters in an embedded TrueType font."""
    with mpl.rc_context({"pdf.fonttype": 42}):
        return _saved(fig, "pdf", {"CreationDate": None, "Creator": None, "Producer": None}, dpi=72)


def _saved(fig: Figure, kind: str, metadata: dict[str, None], dpi: float) -> bytes:
    out = io.BytesIO()
    with plain():
        fig.savefig(out, format=kind, metadata=metadata, dpi=dpi)
    return out.getvalue()
