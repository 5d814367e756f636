"""`xkd-bench report`: one page of everything in the store."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from xkd_bench.cli.claims import data_of, of_budget
from xkd_bench.cli.shared import SELECTION, Out, groups, no_records

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from xkd_bench.analysis import Results
    from xkd_bench.report.html import Gap
    from xkd_bench.report.html.content import Panel
    from xkd_bench.store import Store

Page = Annotated[
    Path | None, typer.Option("--file", help="The page's name; report/report.html in --out, if not given.")
]


def report(out: Out = Path("results"), file: Page = None) -> None:
    """Write one HTML page of every comparison, gap and claim here; figures, tables and numbers lie beside it."""
    from rich.console import Console

    from xkd_bench.analysis import load
    from xkd_bench.report import html
    from xkd_bench.store import Store

    records = (store := Store(out)).records()
    if not records:
        raise no_records(out)
    found = load(out)
    comparisons = list(groups(found.records, "all"))
    words = [f"--out {quote(str(out))}"] * (str(out) != "results") + [f"--file {quote(str(file))}"] * (file is not None)
    ledger, made_by = _ledger(found)
    study = html.Study(
        found.records, comparisons, records, SELECTION, _gaps(out / "gap"), found.conditions,
        of_budget(found.bounds, found), found.terms, _panels(comparisons, store), ledger, made_by,
        " ".join(["xkd-bench report", *words]), store.correct,
    )  # fmt: skip
    written = html.write(study, file or out / "report" / "report.html")
    told = f"written: {written[-1]} and {len(written) - 1} files beside it"
    Console().print(told, style="dim", highlight=False, soft_wrap=True)


def _ledger(found: "Results") -> tuple["pd.DataFrame", str]:
    """The claims tested on what is here, and the command that does so."""
    from xkd_bench.analysis.claims import CLAIMS
    from xkd_bench.analysis.ledger import evaluate

    return evaluate(CLAIMS, data_of(found)), f"xkd-bench claims --budget {found.budget}"


def _panels(comparisons: "Sequence[tuple[str, pd.DataFrame]]", store: "Store") -> "dict[str, Panel]":
    """Test images with what was predicted, of the dense comparisons whose data is here."""
    from contextlib import suppress

    from xkd_bench.cli.dense import panel_of
    from xkd_bench.errors import UsageError

    found: dict[str, Panel] = {}
    for name, frame in comparisons:
        with suppress(UsageError):  # scores that do not share a table: their section says why
            if panel := panel_of(frame, store):
                found[name] = panel
    return found


def _gaps(folder: Path) -> "list[Gap]":
    """What `xkd-bench gap` left in the results folder; its title and command stand in the Markdown beside it."""
    import re

    import pandas as pd

    from xkd_bench.analysis.gap import COLUMNS
    from xkd_bench.report.html import Gap

    found = []
    for path in sorted(folder.glob("*.csv")) if folder.is_dir() else []:
        estimates = pd.read_csv(path)
        if not set(COLUMNS) <= set(estimates.columns):
            continue
        words = path.with_suffix(".md").read_text(encoding="utf-8") if path.with_suffix(".md").is_file() else ""
        title, command = re.search(r"^# (.+)$", words, re.M), re.search(r"^Made by `(.+?)`", words, re.M)
        title_text = title[1] if title else f"Modality gap: {path.stem}"
        found.append(Gap(path.stem, title_text, estimates, command[1] if command else ""))
    return found
