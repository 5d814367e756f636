"""Plots of specification curves and rankings: all there, nothing cut off, the same bytes twice."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.analysis.test_specification import world
from tests.analysis.worlds import bound_study
from xkd_bench.analysis.bound_check import check, summands
from xkd_bench.analysis.ranking import aggregate, profile
from xkd_bench.analysis.ranking_tests import rank_tests
from xkd_bench.analysis.specification import curve
from xkd_bench.analysis.study import ESTIMATORS, relation
from xkd_bench.report import plots
from xkd_bench.report.bound import bound_plot, chain_plot, terms_plot
from xkd_bench.report.power import power_figure
from xkd_bench.report.ranking import aggregate_plot, critical_difference_plot, profile_plot
from xkd_bench.report.scatter import scatter
from xkd_bench.report.specification import specification_plot

METHODS = ["cmc", "cmd", "cmcd (alpha=0.5)", "cmkd", "cmst", "ssl", "sup-ft"]
NEW = ("scatter", "bound", "terms", "steps", "power")
LEVELS = [1, 0.9, 0.8, 0.3, 0.2, 0, -0.6]


def beyond(fig):
    """Labels of ticks outside an axis, which are not drawn."""
    axes = [axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)]
    return {
        tick.label1
        for axis in axes
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) - 1e-9 <= tick.get_loc() <= max(axis.get_view_interval()) + 1e-9
    }


def figures():
    rng = np.random.default_rng(0)
    means = pd.DataFrame(rng.normal(size=(14, 7)) * 0.5 + LEVELS, columns=METHODS)
    scores = {name: rng.normal(level, 0.4, (3, 14)) for name, level in zip(METHODS, LEVELS, strict=True)}
    conditions, bounds, terms = bound_study(families=9, each=5)
    parts = {name: relation(conditions, name, ESTIMATORS[0]) for name in ("raw", "excess_risk")}
    runs = check(bounds, terms).runs
    placed = terms.merge(runs[["run", "family"]], on="run")
    parts_of = summands(placed).groupby(["family", "term"], sort=False).agg(part=("part", "mean"), tag=("tag", "first"))
    names = {"link_triangle": "TV(φ̂_B, φ_B*) ≤ sum of three", "link_x": "a step without any run"}
    return {
        "scatter": scatter(parts, "Gain against gap", "words", "gap"),
        "bound": bound_plot(runs, "Bound", "words"),
        "terms": terms_plot(parts_of.reset_index(), runs.groupby("family")["excess"].mean(), "Terms", "words"),
        "steps": chain_plot(placed, names, "Steps", "words"),
        "power": power_figure({"CMCD's Table 2": 4, "here": 36}, "Power"),
        "specification": specification_plot(curve(world(slope=-0.5), shuffles=49), "Gains against the gap"),
        "ranks": critical_difference_plot(rank_tests(means), "Ranks"),
        "aggregate": aggregate_plot(aggregate(scores, replicates=50), "Methods over tasks"),
        "profile": profile_plot(profile(scores, np.linspace(-1, 2, 9), replicates=20), "Profiles"),
    }


@pytest.fixture(scope="module")
def drawn():
    return figures()


@pytest.mark.parametrize("name", [*NEW, "specification", "ranks", "aggregate", "profile"])
def test_no_text_is_cut_off(drawn, name):
    fig = drawn[name]
    renderer = FigureCanvasAgg(fig).get_renderer()
    fig.draw(renderer)
    width, height = fig.get_size_inches() * fig.dpi
    texts = [t for t in fig.findobj(match=lambda a: hasattr(a, "get_text")) if t.get_text().strip() and t.get_visible()]
    texts = [t for t in texts if t not in beyond(fig)]
    assert len(texts) > 5
    for text in texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= -1, text.get_text()
        assert box.x1 <= width + 1, text.get_text()
        assert box.y0 >= -1, text.get_text()
        assert box.y1 <= height + 1, text.get_text()


def test_every_specification_and_every_method_is_drawn(drawn):
    points = drawn["specification"].axes[0].lines
    assert sum(len(line.get_xdata()) for line in points if line.get_marker() == "o") == 12
    words = " ".join(text.get_text() for text in drawn["ranks"].axes[0].texts)
    assert all(name in words for name in METHODS)
    assert len(drawn["profile"].axes[0].lines) == len(METHODS)


def test_the_same_numbers_give_the_same_bytes(drawn):
    again = figures()
    assert all(plots.svg(again[name]) == plots.svg(drawn[name]) for name in ("specification", "ranks", *NEW))


def test_every_condition_run_and_step_is_drawn(drawn):
    left, right = drawn["scatter"].axes
    for ax in (left, right):
        marks = [line for line in ax.lines if line.get_marker() in ("o", "s", "^", "D", "v", "P", "X", "<")]
        assert sum(len(line.get_xdata()) for line in marks) == 45
    dots = [
        line for line in drawn["bound"].axes[0].lines if line.get_linestyle() == "None" and line.get_marker() != "|"
    ]
    assert sum(len(line.get_xdata()) for line in dots) == 9 * 5 * 2 * 3
    assert len(drawn["terms"].axes[0].patches) == 9 * 6
    assert sum(len(line.get_xdata()) for line in drawn["steps"].axes[0].lines if line.get_linestyle() == "None") == 270
