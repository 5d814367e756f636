"""The IoU of each class, as a table of its own beside a dense table."""

from collections.abc import Sequence

import pandas as pd

from xkd_bench.analysis.scores import setting_name
from xkd_bench.report.words import count, points, title_of


def per_class(rows: pd.DataFrame, classes: Sequence[str]) -> str:
    """Markdown: a table for each setting, a line for each variant, a column for each class, means in percent.

    rows: one for each score and class, with the columns variant, order, trained, labels_per_class, pair_fraction, seed,
    class and iou, a fraction (NaN where a class is nowhere). A class that no score has is left out.
    """
    known = [name for name in classes if rows.loc[rows["class"] == name, "iou"].notna().any()]
    lines = ["# IoU of each class", ""]
    setting = ["trained", "labels_per_class", "pair_fraction"]
    for _, found in rows.groupby(setting, dropna=False, sort=False):
        of_what = setting_name(*found[setting].iloc[0])
        lines += [f"{title_of(of_what)}: mean over {_over(found)}, percent", ""]
        lines += [f"| {' | '.join(['', *known])} |", f"| {' | '.join([':--', *['--:'] * len(known)])} |"]
        for (_, variant), of_variant in found.groupby(["order", "variant"]):
            mean = of_variant.groupby("class")["iou"].mean()
            cells = [str(variant), *(points(mean.get(name, float("nan"))) for name in known)]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def _over(found: pd.DataFrame) -> str:
    draws = found["draw"].nunique()
    return count(found["seed"].nunique(), "seed") + (f" and {count(draws, 'label draw')}" if draws > 1 else "")
