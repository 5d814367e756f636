"""Gap estimates as LaTeX with booktabs."""

import pandas as pd

from xkd_bench.report.forest import TITLES
from xkd_bench.report.gap import number, spread
from xkd_bench.report.latex import escape


def gap_document(estimates: pd.DataFrame, title: str, label: str) -> str:
    """A table environment as `tab:label`, its panels one after the other. Needs \\usepackage{booktabs}."""
    confidence = f"{100 * float(estimates['confidence'].max()):g} %"
    lines = ["% Needs \\usepackage{booktabs}.", r"\begin{table}[t]", r"  \centering",
             rf"  \caption{{{escape(title)}. Ranges hold at {escape(confidence)} each, not jointly.}}",
             rf"  \label{{tab:{label}}}", r"  \begin{tabular}{@{}lrrrl@{}}", r"    \toprule",
             r"    Estimate & Value & Range & $n$ & Kind \\"]  # fmt: skip
    for panel, part in estimates.groupby("panel", sort=False):
        lines += [
            r"    \midrule",
            rf"    \multicolumn{{5}}{{@{{}}l}}{{\textit{{{escape(TITLES.get(str(panel), str(panel)))}}}}} \\",
        ]
        for row in part.to_dict("records"):
            cells = (str(row["name"]), number(row["value"]), spread(row), str(int(row["n"])), str(row["kind"]))
            lines.append("    " + " & ".join(map(escape, cells)) + r" \\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])
