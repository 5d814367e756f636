"""The report: one self-contained page of everything in a store, with its figures, tables and numbers beside it."""

from xkd_bench.report.html.content import Gap
from xkd_bench.report.html.page import Study, build, write

__all__ = ["Gap", "Study", "build", "write"]
