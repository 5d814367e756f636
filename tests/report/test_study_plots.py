"""Plots of specification curves and rankings: all there, nothing cut off, the same bytes twice."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.analysis.test_specification import world
from xkd_bench.analysis.ranking import aggregate, profile
from xkd_bench.analysis.ranking_tests import rank_tests
from xkd_bench.analysis.specification import curve
from xkd_bench.report import plots
from xkd_bench.report.ranking import aggregate_plot, critical_difference_plot, profile_plot
from xkd_bench.report.specification import specification_plot

METHODS = ["cmc", "cmd", "cmcd (alpha=0.5)", "cmkd", "cmst", "ssl", "sup-ft"]
LEVELS = [1, 0.9, 0.8, 0.3, 0.2, 0, -0.6]


def figures():
    rng = np.random.default_rng(0)
    means = pd.DataFrame(rng.normal(size=(14, 7)) * 0.5 + LEVELS, columns=METHODS)
    scores = {name: rng.normal(level, 0.4, (3, 14)) for name, level in zip(METHODS, LEVELS, strict=True)}
    return {
        "specification": specification_plot(curve(world(slope=-0.5), shuffles=49), "Gains against the gap"),
        "ranks": critical_difference_plot(rank_tests(means), "Ranks"),
        "aggregate": aggregate_plot(aggregate(scores, replicates=50), "Methods over tasks"),
        "profile": profile_plot(profile(scores, np.linspace(-1, 2, 9), replicates=20), "Profiles"),
    }


@pytest.fixture(scope="module")
def drawn():
    return figures()


@pytest.mark.parametrize("name", ["specification", "ranks", "aggregate", "profile"])
def test_no_text_is_cut_off(drawn, name):
    fig = drawn[name]
    renderer = FigureCanvasAgg(fig).get_renderer()
    fig.draw(renderer)
    width, height = fig.get_size_inches() * fig.dpi
    texts = [t for t in fig.findobj(match=lambda a: hasattr(a, "get_text")) if t.get_text().strip() and t.get_visible()]
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
    assert all(plots.svg(again[name]) == plots.svg(drawn[name]) for name in ("specification", "ranks"))
