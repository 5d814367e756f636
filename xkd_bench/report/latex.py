"""LaTeX with booktabs: what a sheet says as table environments, plain ASCII."""

import unicodedata

from xkd_bench.report.sheet import Cell, Section, Sheet

SPECIAL = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''"},
    **{"—": "---", "–": "--", "·": r"$\cdot$", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "→": r"$\rightarrow$"},
    **{"†": r"$^{\dagger}$", "‡": r"$^{\ddagger}$", "°": r"$^{\circ}$", "≤": r"$\leq$", "≥": r"$\geq$"},
    **{"τ": r"$\tau$", "α": r"$\alpha$", "β": r"$\beta$", "λ": r"$\lambda$", "κ": r"$\kappa$", "σ": r"$\sigma$"},
    **{"θ": r"$\theta$", "δ": r"$\delta$"},
    **{"‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\dots{}", "\u00a0": "~", "\u202f": r"\,"},
}


def escape(text: str) -> str:
    """Text that LaTeX sets as it reads. Accents are kept by their base letter, what ASCII cannot say becomes '?'."""
    out = []
    for sign in " ".join(text.split()):
        plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode() if ord(sign) > 127 else sign
        out.append(SPECIAL.get(sign, plain or "?"))
    return "".join(out)


def document(content: Sheet, label: str) -> str:
    """The scores as `tab:label` and, if there are any, the gains as `tab:label-gains`, no wider than the column.

    Needs \\usepackage{booktabs,adjustbox}.
    """
    head = [f"% {_comment(name)}: {_comment(text)}" for name, text in (("Title", content.title), *content.facts)]
    under = [content.legend, *content.notes]
    under += [f"{name}: {text}" for name, text in content.facts if name not in ("Task", "Modalities")]
    tables = [_table(content.scores, content.caption, label, under)]
    if content.gains:
        caption = f"Gains for {content.title[0].lower()}{content.title[1:]}, in points."
        tables.append(_table(content.gains, caption, f"{label}-gains", [content.gains_legend]))
    return "\n".join(["% Needs \\usepackage{booktabs,adjustbox}.", *head, "", *tables])


def _comment(text: str) -> str:
    return escape(text).replace("\n", " ")


def _table(sections: tuple[Section, ...], caption: str, label: str, under: list[str]) -> str:
    width = 1 + max(len(section.header) for section in sections)
    lines = [r"\begin{table}[t]", r"  \centering", f"  \\caption{{{escape(caption)}}}", f"  \\label{{tab:{label}}}"]
    lines += [r"  \begin{adjustbox}{max width=\linewidth, max totalheight=0.6\textheight}"]
    lines += [f"  \\begin{{tabular}}{{@{{}}l{'r' * (width - 1)}@{{}}}}", r"    \toprule"]
    for i, section in enumerate(sections):
        lines += [r"    \midrule"] * (i > 0)
        cells = [rf"\textit{{{escape(section.title)}}}", *map(escape, section.header)]
        lines += [_line(cells, width), r"    \midrule"]
        lines += [_line([_cell(cell) for cell in row], width) for row in section.rows]
    lines += [r"    \bottomrule", r"  \end{tabular}", r"  \end{adjustbox}"]
    lines += [r"  \par\smallskip", r"  \begin{minipage}{\linewidth}\footnotesize"]
    lines += [f"    {escape(text.rstrip('.'))}." for text in under if text]
    return "\n".join([*lines, r"  \end{minipage}", r"\end{table}", ""])


def _line(cells: list[str], width: int) -> str:
    return "    " + " & ".join(cells + [""] * (width - len(cells))) + r" \\"


def _cell(cell: Cell) -> str:
    value = escape(cell.value)
    text = rf"\textbf{{{value}}}" if cell.bold else value
    return text + (rf" $\pm$ {escape(cell.spread)}" if cell.spread else "") + escape(cell.mark)
