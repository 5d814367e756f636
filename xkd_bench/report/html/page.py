"""The page from its blocks, the numbers beside it, and the writing of both."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any

import pandas as pd

import xkd_bench
from xkd_bench.analysis.gains_bootstrap import Correct
from xkd_bench.errors import UsageError
from xkd_bench.report.atomic import write_all
from xkd_bench.report.html import facts
from xkd_bench.report.html.content import AGAINST, Block, Gap, Maker, Panel
from xkd_bench.report.html.gain_tables import gain_blocks
from xkd_bench.report.html.inline import dark
from xkd_bench.report.html.rankings import ranking_blocks
from xkd_bench.report.html.table import Entry, Table
from xkd_bench.report.html.theory import theory
from xkd_bench.report.words import names_of

PAPERS = (
    ("CMCD", "arXiv:2405.03355", "https://arxiv.org/abs/2405.03355"),
    ("Af-DCD", "arXiv:2312.04168", "https://arxiv.org/abs/2312.04168"),
    ("CSK-Net", "arXiv:2312.02240", "https://arxiv.org/abs/2312.02240"),
)
"""The papers whose methods and statements are tested here, for readers to look up."""
MANY = 12
"""More comparisons than this come after what they say together, in tables without figures."""


@dataclass(frozen=True)
class Study:
    """All that a page is made of.

    scores: tidy, one row a score. comparisons: (name for files and links, its part of `scores`). records: as the store
    has them, for versions and machines. gaps: estimates.
    conditions, bounds, terms: the bound study (`analysis.conditions`, `analysis.ledger.Data`), empty before it was run.
    panels: of dense comparisons, by their name. ledger: the claims' table, or None. commands: (what it makes,
    command). selection_rule: how hyper-parameters were chosen, in words. correct: what each test item was worth to a
    record's scores, by its key (`Store.correct`), for the bootstrap of gains.
    """

    scores: pd.DataFrame
    comparisons: Sequence[tuple[str, pd.DataFrame]]
    records: facts.Records
    selection_rule: str
    gaps: Sequence[Gap] = ()
    conditions: pd.DataFrame = field(default_factory=pd.DataFrame)
    bounds: pd.DataFrame = field(default_factory=pd.DataFrame)
    terms: pd.DataFrame = field(default_factory=pd.DataFrame)
    panels: Mapping[str, Panel] = field(default_factory=dict)
    ledger: pd.DataFrame | None = None
    ledger_command: str = "xkd-bench claims"
    command: str = "xkd-bench report"
    correct: Correct | None = None


def write(study: Study, path: Path | str) -> list[Path]:
    """Write the page at `path`, its numbers as JSON, its figures and tables in `figures/` and `tables/` beside it.

    Everything is made before anything is written, and the page comes last: whoever sees it finds what it links to.

    Raises:
        UsageError: no scores, a name that does not end in .html, or a folder that cannot be written.
    """
    path = Path(path)
    if path.suffix != ".html" or path.is_dir():
        raise UsageError(f"--file {path}: the report is one page, its name ends in .html")
    page, numbers, beside = build(study, f"{path.stem}.json")
    written = []
    for name, content in beside.items():
        folder, _, file = name.rpartition("/")
        stem, _, ending = file.rpartition(".")
        written += write_all(path.parent / folder, stem, {ending: content})
    return written + write_all(path.parent, path.stem, {"json": numbers.encode(), "html": page.encode()})


def build(study: Study, json_name: str = "report.json") -> tuple[str, str, dict[str, bytes]]:
    """The page, its numbers as JSON, and the files that lie beside it, by their path."""
    if study.scores.empty or not study.comparisons:
        raise UsageError("there are no scores to report")
    maker = Maker(study.records, study.selection_rule, study.panels)
    many = len(study.comparisons) > MANY
    if not many:  # tables and figures are numbered as they are read
        overview, comparisons = _compared(maker, study.comparisons, drawn=True)
    gained = gain_blocks(maker, study.comparisons, study.correct)
    gaps = [maker.gap(gap) for gap in study.gaps if len(gap.estimates)]
    tested = theory(maker, study.conditions, study.bounds, study.terms, study.scores)
    ranks = ranking_blocks(maker, study.comparisons)
    ledger = (
        maker.claims(study.ledger, study.ledger_command) if study.ledger is not None and len(study.ledger) else None
    )
    if many:
        overview, comparisons = _compared(maker, study.comparisons, drawn=False)
    machines = facts.environments(study.records)
    blocks = [*comparisons, *gained, *gaps, *tested, *ranks, *([ledger] if ledger else [])]
    page = _render(
        many=len(comparisons) if many else 0, overview=overview,
        groups=_grouped(comparisons), gains=gained, gaps=gaps, theory=tested, ranks=ranks,
        ledger=ledger, machines=machines,
        facts=_scope(study.scores), against=AGAINST, json_name=json_name, command=study.command,
        dark=dark(figure.element for block in blocks for figure in block.figures), papers=PAPERS,
        rebuilt=facts.reconstructed(study.scores),
    )  # fmt: skip
    return page, _numbers(overview, comparisons, gained, gaps, tested, ranks, ledger, machines), maker.files


def _compared(maker: Maker, comparisons: Sequence[tuple[str, pd.DataFrame]], drawn: bool) -> tuple[Table, list[Block]]:
    """Each comparison, and before them the overview, whose number comes first."""
    number = maker.next_table()
    blocks = [maker.comparison(name, df, drawn) for name, df in comparisons]
    return _overview(blocks, number), blocks


def _render(**content: Any) -> str:
    import jinja2

    folder = package_files("xkd_bench.report.html")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text(encoding="utf-8")),
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    style = (folder / "style.css").read_text(encoding="utf-8")
    return environment.get_template("page.html.j2").render(style=style, version=xkd_bench.__version__, **content)


def _scope(df: pd.DataFrame) -> dict[str, Any]:
    """How much there is, for the page's head."""
    numbers = {"runs": df["key"].nunique(), "scores": len(df), "tasks": df["task"].nunique(),
               "methods": df["method"].nunique(), "seeds": df["seed"].nunique()}  # fmt: skip
    words = [f"{number:,} {name if number != 1 else name.removesuffix('s')}" for name, number in numbers.items()]
    return {"words": words, "origins": names_of(df["origin"]), "budgets": names_of(df["budget"])}


def _grouped(comparisons: Sequence[Block]) -> list[tuple[str, str, list[Block]]]:
    """Comparisons by their task's title, each with a name for links, in the order of first sight."""
    found: dict[str, list[Block]] = {}
    for block in comparisons:
        found.setdefault(block.group, []).append(block)
    return [(title, f"task-{i + 1}", blocks) for i, (title, blocks) in enumerate(found.items())]


COUNTED = ("runs", "seeds", "methods", "gains", "losses", "undecided")


def _overview(comparisons: Sequence[Block], number: int) -> Table:
    columns = (("comparison", "text"), ("data", "text"), *((name, "number") for name in COUNTED))
    rows = []
    for block in comparisons:
        cells = [Entry(f"{block.glance[name]:,}" if block.glance else "—") for name in COUNTED]
        link = Entry(block.group, note=block.title, href=f"#{block.anchor}")
        rows.append((link, Entry(block.glance.get("origin", "—")), *cells))
    caption = (
        "Gains, losses and undecided: settings in which a method under test is told from the reference (ssl; sup-ft "
        "for dense tasks), better or worse, or is not told from it (paired t tests, Holm over methods, 5 %)."
    )
    return Table(number, "overview", "What was compared", caption, columns, (("", tuple(rows)),))


def _numbers(
    overview: Table,
    comparisons: Sequence[Block],
    gained: Sequence[Block],
    gaps: Sequence[Block],
    tested: Sequence[Block],
    ranks: Sequence[Block],
    ledger: Block | None,
    machines: Any,
) -> str:
    def told(block: Block) -> dict[str, Any]:
        return {"name": block.anchor, "task": block.group, "title": block.title, "problem": block.problem,
                "facts": dict(block.facts), "tables": [table.shown() for table in block.tables],
                "figures": [{"figure": f.number, "name": f.name, "caption": f.caption} for f in block.figures],
                "lacking": [{"what": what, "command": command} for what, command in block.lacking],
                "commands": list(block.commands), **block.numbers}  # fmt: skip

    content = {
        "xkd_bench": xkd_bench.__version__, "overview": overview.shown(),
        "comparisons": [told(block) for block in comparisons],
        "gains": [told(block) for block in gained], "gaps": [told(block) for block in gaps],
        "theory": [told(block) for block in tested],
        "rankings": [told(block) for block in ranks], "claims": told(ledger) if ledger else None,
        "environments": machines,
    }  # fmt: skip
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
