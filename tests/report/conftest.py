"""What tests of the page share."""

import pytest

from xkd_bench.report import plots
from xkd_bench.report.html.content import Block, Maker


@pytest.fixture
def without_figures(monkeypatch):
    """Pages whose figures are not drawn and whose comparisons are not tested again."""
    monkeypatch.setattr(plots, "png", lambda figure: b"\x89PNG")
    monkeypatch.setattr(plots, "pdf", lambda figure: b"%PDF")
    bare = lambda self, name, df, *_, **__: Block(name, name, problem="tested elsewhere")  # noqa: E731
    monkeypatch.setattr(Maker, "comparison", bare)
