"""Which methods are better over tasks: mean ranks, where enough tasks share methods."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from xkd_bench.analysis.compare import summarise
from xkd_bench.analysis.scores import SETTING
from xkd_bench.errors import UsageError
from xkd_bench.report.html.table import Entry, Table
from xkd_bench.report.words import protocol_title, short_setting

FEWEST = 3
"""Tasks: with two, no order of methods can be told from chance."""
Comparisons = Sequence[tuple[str, pd.DataFrame]]


def rankable(comparisons: Comparisons) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(name, title, means [tasks, methods]) of each protocol, budget and setting that has enough tasks and methods.

    Controls and the floor are no contenders. Methods that lack a task are left out.
    """
    parts = []
    for name, df in comparisons:
        try:
            summary = summarise(df)
        except UsageError:  # the comparison's own section says what is wrong
            continue
        kept = summary[summary["role"].isin(["method", "reference"])]
        parts.append(kept.assign(task=name, protocol=df["protocol"].iloc[0], budget=df["budget"].iloc[0]))
    if not parts:
        return
    together = pd.concat(parts, ignore_index=True)
    for i, (_, part) in enumerate(together.groupby(["protocol", "budget", *SETTING], dropna=False, sort=True)):
        means = part.pivot_table(index="task", columns="variant", values="mean").dropna(axis=1)
        if len(means) >= FEWEST and means.shape[1] >= 2:
            one = part.iloc[0]
            setting = short_setting(one["labels_per_class"], float(one["pair_fraction"]), str(one["trained"]))
            yield f"ranks-{i + 1}", f"{protocol_title(one['protocol'])}, {one['budget']} budget: {setting}", means


def table_of(found: Any, title: str, number: int, name: str) -> Table:
    """Mean ranks (`analysis.ranking_tests.Ranks`), each with the methods that it is told from."""
    pairs = found.pairs[found.pairs["different"]]
    rows = []
    for method, rank in found.ranks.items():
        others = [*pairs.loc[pairs["first"] == method, "second"], *pairs.loc[pairs["second"] == method, "first"]]
        rows.append((Entry(str(method)), Entry(f"{rank:.2f}"), Entry(", ".join(map(str, others)) or "none")))
    caption = (
        f"Mean rank over {found.tasks} tasks, 1 is best. Friedman's p {found.p:.3f}, Iman and Davenport's "
        f"{found.p_f:.3f}. Told from: Wilcoxon's signed-rank test, Holm, {100 * found.alpha:g} %."
    )
    columns = (("method", "text"), ("mean rank", "number"), ("told from", "text"))
    return Table(number, name, title, caption, columns, (("", tuple(rows)),))
