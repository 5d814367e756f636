"""`xkd-bench report`: one page of everything in the store."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from xkd_bench.cli.shared import SELECTION, Out, groups, no_records

if TYPE_CHECKING:
    import pandas as pd

    from xkd_bench.report.html import Gap

Page = Annotated[
    Path | None, typer.Option("--file", help="The page's name; report/report.html in --out, if not given.")
]


def report(out: Out = Path("results"), file: Page = None) -> None:
    """Write one HTML page of every comparison, gap and claim here; figures, tables and numbers lie beside it."""
    from rich.console import Console

    from xkd_bench.report import html
    from xkd_bench.store import Store

    store = Store(out)
    records = store.records()
    if not records:
        raise no_records(out)
    scores = store.frame([record["key"] for record in records])
    words = [f"--out {quote(str(out))}"] * (str(out) != "results") + [f"--file {quote(str(file))}"] * (file is not None)
    ledger, made_by = _ledger(scores)
    study = html.Study(
        scores, list(groups(scores, "all")), records, SELECTION, _gaps(out / "gap"), ledger, made_by,
        " ".join(["xkd-bench report", *words]),
    )  # fmt: skip
    written = html.write(study, file or out / "report" / "report.html")
    told = f"written: {written[-1]} and {len(written) - 1} files beside it"
    Console().print(told, style="dim", highlight=False, soft_wrap=True)


def _ledger(scores: "pd.DataFrame") -> tuple["pd.DataFrame", str]:
    """The claims tested on these scores, and the command that does so."""
    from xkd_bench.analysis.claims import CLAIMS
    from xkd_bench.analysis.ledger import Data, evaluate
    from xkd_bench.cli.claims import of_one_budget

    counted, budget = of_one_budget(scores, None)
    return evaluate(CLAIMS, Data(counted)), "xkd-bench claims" + (f" --budget {budget}" if budget else "")


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
