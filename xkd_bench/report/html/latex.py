"""Gap estimates and tables of the page as LaTeX with booktabs."""

import pandas as pd

from xkd_bench.report.forest import TITLES
from xkd_bench.report.gap import number, spread
from xkd_bench.report.html.table import Table
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


def plain_document(table: Table) -> str:
    """A table of the page as a longtable `tab:name`. Needs \\usepackage{booktabs,longtable}."""
    width = len(table.columns)
    shape = "".join("r" if kind == "number" else "l" for _, kind in table.columns)
    if table.columns[-1][1] == "text" and width > 2:  # notes need a width of their own
        shape = shape[:-1] + r"p{0.34\linewidth}"
    lines = ["% Needs \\usepackage{booktabs,longtable}.", rf"\begin{{longtable}}{{@{{}}{shape}@{{}}}}",
             rf"  \caption{{{escape(table.lead)}. {escape(table.caption)}}}\label{{tab:{table.name}}}\\",
             r"  \toprule", "  " + " & ".join(escape(name) for name, _ in table.columns) + r" \\", r"  \midrule",
             r"  \endhead"]  # fmt: skip
    for i, (title, rows) in enumerate(table.groups):
        lines += [r"  \midrule"] * (i > 0)
        if title:
            lines.append(rf"  \multicolumn{{{width}}}{{@{{}}l}}{{\textit{{{escape(title)}}}}} \\")
        lines += ["  " + " & ".join(escape(entry.text()) for entry in row) + r" \\" for row in rows]
    lines += [r"  \bottomrule", r"\end{longtable}"]
    return "\n".join([*lines, *([f"% {escape(table.legend)}"] if table.legend else []), ""])
