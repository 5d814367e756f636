"""Plots: what is drawn, the same bytes each time, no text on other text, no global state."""

import io
import itertools

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from tests.report.frames import DEFAULT, METHODS, frame, row, study
from xkd_bench.analysis.compare import summarise
from xkd_bench.report import plots

MANY = ("cmc", "cmd", "cmst", *DEFAULT[1:])


def long_names() -> pd.DataFrame:
    rows = []
    changes = {"projector_width": 512, "symmetric": True, "tau": 0.07}
    for i, teacher in enumerate(("imagenet-efficientnet-lite0", "simclr-resnet50-wide", "random")):
        for seed, shot in itertools.product(range(3), (1, 5, 10)):
            run = {"method": "a-long-name-of-a-method", "teacher": teacher, "changes": changes}
            rows.append(row(run, 0.3 + 0.02 * i + 0.01 * seed + 0.01 * shot, seed=seed, labels_per_class=shot))
            if i == 0:
                rows.append(row(METHODS["ssl"], 0.3 + 0.01 * seed, seed=seed, labels_per_class=shot))
    return frame(rows)


def holes() -> pd.DataFrame:
    df = study()
    return df[
        ~((df["method"] == "ssl") & (df["labels_per_class"] == 5)) & ~((df["teacher"] == "random") & (df["draw"] > 0))
    ]


FRAMES = {
    "few-shot": study,
    "two": lambda: study(("cmc", "ssl")),
    "many": lambda: study(MANY),
    "one seed": lambda: study(seeds=1),
    "one score": lambda: study(seeds=1, draws=1),
    "constant": lambda: study().assign(value=0.5),
    "long names": long_names,
    "long names, dots": lambda: long_names().query("labels_per_class == 5"),
    "holes": holes,
    "all labels too": lambda: study(shots=(1, 10, None)),
    "linear": lambda: study(shots=(None,), trained=("head",), draws=1, protocol="linear-eval"),
    "fine-tune": lambda: study(MANY, shots=(None,), trained=("all",), draws=1, protocol="fine-tune"),
    "both, one score": lambda: study(shots=(None,), seeds=1, draws=1),
    "pairs": lambda: study(shots=(None,), fractions=(0.05, 0.1, 0.5, 1.0), draws=1, protocol="reduced-pair"),
    "pairs and shots": lambda: study(("cmc", "ssl"), shots=(1, 5), fractions=(0.1, 1.0)),
    "a long title": lambda: study(task_title="A very long title of a task " * 4, source="some modality " * 6),
}


@pytest.fixture(params=FRAMES, scope="module")
def figure(request) -> Figure:
    return plots.figure(FRAMES[request.param]())


def test_all_text_is_inside_and_none_lies_on_another(figure: Figure) -> None:
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in texts if _shown(t)]
    assert len(boxes) > 8
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    for (a, box_a), (b, box_b) in itertools.combinations(boxes, 2):
        width = min(box_a.x1, box_b.x1) - max(box_a.x0, box_b.x0)
        height = min(box_a.y1, box_b.y1) - max(box_a.y0, box_b.y0)
        assert min(width, height) < 1.5, f"'{a}' lies on '{b}'"


def _shown(text: Text) -> bool:
    """Tick labels outside the axis' limits are not drawn."""
    ax = text.axes
    if ax is None:
        return True
    for axis, low_high in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        for tick in (*axis.majorTicks, *axis.minorTicks):
            if text in (tick.label1, tick.label2):
                return min(low_high) <= tick.get_loc() <= max(low_high)
    return True


@pytest.mark.parametrize("make", [plots.png, plots.svg])
def test_the_same_scores_in_any_order_give_the_same_bytes(make) -> None:
    df = study()
    first = make(plots.figure(df))
    assert first == make(plots.figure(df.sample(frac=1, random_state=5)))
    other = df.assign(value=df["value"].where(df.index != 0, df["value"] + 0.1))
    assert first != make(plots.figure(other))


def test_png_is_200_dpi_and_svg_has_no_date() -> None:
    made = plots.figure(study())
    image = Image.open(io.BytesIO(plots.png(made)))
    assert image.size == tuple(round(200 * side) for side in made.get_size_inches())
    assert image.info["dpi"][0] == pytest.approx(200, abs=0.1)
    assert b"<dc:date>" not in plots.svg(made)
    assert mpl.__version__.encode() not in plots.svg(made) + plots.png(made)


def test_the_users_settings_neither_change_the_plot_nor_are_changed() -> None:
    plain = plots.png(plots.figure(study()))
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "black", "lines.linewidth": 9}):
        before = dict(mpl.rcParams)
        assert plots.png(plots.figure(study())) == plain
        assert dict(mpl.rcParams) == before


def test_curves_go_through_the_means_and_bands_through_the_intervals() -> None:
    df = study(("cmc", "ssl"))
    summary = summarise(df).query("variant == 'cmc' and trained == 'head'")
    ax = plots.figure(df).axes[0]
    line = ax.lines[0]
    assert line.get_xdata() == pytest.approx([1, 5, 10])
    assert line.get_ydata() == pytest.approx(100 * summary["mean"].to_numpy())
    band = ax.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(100 * summary["low"].min())
    assert band[:, 1].max() == pytest.approx(100 * summary["high"].max())
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["1", "5", "10"]


def test_the_floor_is_a_dashed_grey_line_and_references_without_pairs_are_level() -> None:
    df = study(shots=(None,), trained=("head",), fractions=(0.1, 0.5, 1.0), draws=1)
    reference = df["method"].isin(["ssl", "sup-ft"])
    ax = plots.figure(df[~reference | (df["pair_fraction"] == 1.0)]).axes[0]
    levels = [line for line in ax.lines if len(set(line.get_ydata())) == 1]
    assert len(levels) == 2
    for line in levels:
        assert line.get_xdata()[0] == 0.1
        assert line.get_xdata()[1] == pytest.approx(1.0, rel=0.1)
    grey = mpl.colors.to_rgb(ax.lines[-1].get_color())
    assert len(set(grey)) == 1
    assert ax.lines[-1].is_dashed()


def test_bands_give_way_to_bars_where_they_would_hide_each_other() -> None:
    few, many = plots.figure(study(("cmc", "ssl"))), plots.figure(study(MANY))
    for ax in few.axes:
        assert [type(drawn).__name__ for drawn in ax.collections] == ["FillBetweenPolyCollection"] * 2
    assert {type(drawn).__name__ for drawn in many.axes[1].collections} == {"LineCollection"}
    assert len(many.axes[1].collections) == 7


def test_every_variant_has_its_own_look() -> None:
    ax = plots.figure(study(MANY)).axes[0]
    looks = [(line.get_color(), line.get_marker(), str(line.get_linestyle())) for line in ax.lines]
    assert len(set(looks)) == len(looks) == 7
    grey = [line for line in ax.lines if np.ptp(mpl.colors.to_rgb(line.get_color())) < 0.01]
    assert len(grey) == 2  # ssl and random features
    markers = [line.get_marker() for line in ax.lines[:3]]
    assert len(set(markers)) == 3  # methods are told apart without colour
