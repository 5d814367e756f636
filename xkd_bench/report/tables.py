"""A table of scores for the terminal, in Markdown, LaTeX and CSV: pure functions, no dates, no timings."""

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from xkd_bench.analysis.compare import distinguish, gains, summarise, variants
from xkd_bench.report.latex import document
from xkd_bench.report.sheet import Cell, Section, Sheet, sheet
from xkd_bench.report.words import listing

SELECTION = "hyper-parameters chosen on validation data only"


def terminal(df: pd.DataFrame, selection_rule: str = SELECTION, against: str = "ssl") -> RenderableType:
    """The table for a rich console, at least 80 columns wide for three shots."""
    content = sheet(df, selection_rule, against)
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    for name, text in content.facts:
        facts.add_row(name, Text(text))
    blocks: list[RenderableType] = [Text(content.title, style="bold"), facts, Text()]
    for section in content.scores:
        blocks += [_rich(section), Text()]
    blocks += [Text(note, style="dim") for note in (content.legend, *content.notes) if note]
    if content.gains:
        for section in content.gains:
            blocks += [Text(), _rich(section)]
        blocks += [Text(), Text(content.gains_legend, style="dim")]
    return Group(*blocks)


def _rich(section: Section) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True, padding=(0, 1))
    table.add_column(Text(section.title, style="italic"))
    for name in section.header:
        table.add_column(Text(name), justify="left" if name == "verdict" else "right", no_wrap=name != "verdict")
    for first, *rest in section.rows:
        table.add_row(Text(first.value), *(_rich_cell(cell) for cell in rest))
    return table


def _rich_cell(cell: Cell) -> Text:
    rest = cell.plain()[len(cell.value) :]
    return Text.assemble((cell.value, "bold" if cell.bold else ""), rest)


def markdown(
    df: pd.DataFrame, selection_rule: str = SELECTION, against: str = "ssl", image: str = "", command: str = ""
) -> str:
    """The table in GitHub's Markdown; embeds the picture at `image` and the command that makes it, if given."""
    content = sheet(df, selection_rule, against)
    lines = [f"# {md(content.title)}", ""]
    lines += [f"- **{md(name)}**: {md(text)}" for name, text in content.facts]
    if image:
        lines += ["", f"![{md(content.title)}: {md(_alt(content))}]({image})"]
    for section in content.scores:
        lines += ["", *_grid(section)]
    lines += [line for note in (content.legend, *content.notes) if note for line in ("", md(note))]
    for section in content.gains:
        lines += ["", *_grid(section)]
    if content.gains:
        lines += ["", md(content.gains_legend)]
    if command:
        lines += ["", "Made by:", "", "```sh", command, "```"]
    return "\n".join(lines) + "\n"


def _alt(content: Sheet) -> str:
    return listing([row[0].value for section in content.scores[:1] for row in section.rows])


def _grid(section: Section) -> list[str]:
    header = [md(name) for name in (section.title, *section.header)]
    rule = [":--", *(":--" if name == "verdict" else "--:" for name in section.header)]
    rows = [[_md_cell(cell) for cell in row] for row in section.rows]
    return [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]


def _md_cell(cell: Cell) -> str:
    value = md(cell.value)
    text = f"**{value}**" if cell.bold else value
    return text + (f" ± {cell.spread}" if cell.spread else "") + (f" {cell.mark}" if cell.mark else "")


def md(text: str) -> str:
    """Text that Markdown takes literally, on one line."""
    out = " ".join(text.split())
    for sign in "\\`*_|<>[]":
        out = out.replace(sign, f"\\{sign}")
    return out


def latex(df: pd.DataFrame, selection_rule: str = SELECTION, against: str = "ssl", label: str = "scores") -> str:
    """Table environments with booktabs: scores as `tab:LABEL` and, if there are gains, `tab:LABEL-gains`."""
    return document(sheet(df, selection_rule, against), label)


FACTS = ["task", "source", "target", "pairing", "origin", "protocol", "protocol_version", "budget", "metric"]
NUMBERS = ["mean", "low", "high", "n_seeds", "n_draws", "n_scores", "sd_seeds", "sd_draws", "covers", "status",
           "best", "difference", "p", "p_holm"]  # fmt: skip
LEADING = ["quantity", "variant", "minuend", "subtrahend", "trained", "labels_per_class", "pair_fraction",
           "against_fraction"]  # fmt: skip


def csv(df: pd.DataFrame, selection_rule: str = SELECTION, against: str = "ssl") -> str:
    """`long` as CSV."""
    return str(long(df, selection_rule, against).to_csv(index=False, lineterminator="\n", float_format="%.10g"))


def long(df: pd.DataFrame, selection_rule: str = SELECTION, against: str = "ssl") -> pd.DataFrame:
    """Every number of the table, long: one row for each score, gain and part of a gain, facts repeated in each.

    quantity: 'accuracy' (or the metric's name), 'gain', 'knowledge', 'pairing', 'objective'; numbers are fractions.
    labels_per_class is empty where all labels are used. For a score, difference, p and p_holm are of best - variant.
    """
    named, on = variants(df), ["variant", "trained", "labels_per_class", "pair_fraction"]
    marks = distinguish(df)[[*on, "status", "best", "difference", "p", "p_holm"]]
    scores = summarise(df).merge(marks, on=on).drop(columns="order")
    scores.insert(0, "quantity", named["metric"].iloc[0])
    gained = gains(df, against).rename(columns={"part": "quantity", "difference": "mean", "sd": "sd_seeds"})
    gained.loc[gained["n_seeds"] == 1, "sd_draws"] = gained["sd_seeds"]
    gained.loc[gained["n_seeds"] == 1, "sd_seeds"] = float("nan")
    rows = pd.concat([scores, gained], ignore_index=True) if len(gained) else scores
    digests = [digest[:12] for digest in sorted(named["data_digest"].unique())]
    facts = {name: named[name].iloc[0] for name in FACTS}
    rows = rows.assign(**facts, data_digest=" ".join(digests), selection_rule=selection_rule)
    rest = ["role", "method", "option_changes", "provenance", "teacher", "pairs", "student"]
    columns = [name for name in (*LEADING, *NUMBERS, *rest, *FACTS, "data_digest", "selection_rule") if name in rows]
    return rows[columns]
