"""Tables and plots of a DataFrame of scores. The same scores, in any order of rows, give the same bytes."""

from xkd_bench.report.files import write

__all__ = ["write"]
