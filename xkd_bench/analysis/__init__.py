"""What a DataFrame of scores says: summaries, paired comparisons, gains, gaps and claims. Knows nothing of training."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xkd_bench.analysis.results import Results, load

__all__ = ["Results", "load"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'xkd_bench.analysis' has no attribute {name!r}")
    from xkd_bench.analysis import results  # pandas and scipy, on first use

    return getattr(results, name)
