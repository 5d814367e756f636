"""`xkd-bench claims`: every testable statement of the papers, and what the data say of it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xkd_bench.cli.shared import Json, Out
from xkd_bench.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from xkd_bench.analysis import Results
    from xkd_bench.analysis.ledger import Data


def claims(
    paper: Annotated[
        str | None, typer.Option("--paper", help="cmcd, af-dcd, lix or csk-net; all, if not given.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what each verdict rests on.")] = False,
    budget: Annotated[str | None, typer.Option("--budget", help="Whose records count; the largest there is.")] = None,
    conditions: Annotated[
        Path | None, typer.Option("--conditions", help="CSV of gains and gaps of conditions, in place of those here.")
    ] = None,
    bounds: Annotated[
        Path | None, typer.Option("--bounds", help="CSV of the bound and the excess risk of runs, likewise.")
    ] = None,
    out: Out = Path("results"),
    as_json: Json = False,
) -> None:
    """Test every claim of the papers, on their printed numbers and on the records here."""
    from rich.console import Console

    from xkd_bench.analysis import load
    from xkd_bench.analysis.claims import CLAIMS
    from xkd_bench.analysis.ledger import evaluate
    from xkd_bench.report import claims as report

    found = load(out, budget)
    data = data_of(found)
    if conditions is not None:
        data = replace(data, conditions=_table(conditions))
    if bounds is not None:
        data = replace(data, bounds=_table(bounds, ("condition", "seed", "excess", "excess_se", "bound")))
    ledger = evaluate(CLAIMS, data, paper)
    more = {"paper": paper, "budget": found.budget or None, "conditions": conditions, "bounds": bounds}
    words = [f"--{name} {quote(str(value))}" for name, value in more.items() if value is not None]
    name = f"claims-{paper}" if paper else "claims"
    files = report.write(ledger, out / "claims", name, " ".join(["xkd-bench claims", *words]))
    if as_json:
        typer.echo(ledger.to_json(orient="records", indent=1, double_precision=15))
        return
    console = Console()
    console.print(report.terminal(ledger, explain, _reaching(found, budget, out)), highlight=False)
    console.print("written: " + "  ".join(str(f) for f in files), style="dim", highlight=False)


def data_of(found: "Results") -> "Data":
    """What claims are tested on, of what is here."""
    from xkd_bench.analysis.ledger import Data

    return Data(of_budget(found.records, found), found.conditions, of_budget(found.bounds, found), _cost)


def _cost(method: str, student: str, budget: str) -> dict[str, int]:
    """Networks are built to be counted: only where a claim asks."""
    from xkd_bench.stages.cost import inference_cost

    return inference_cost(method, student, budget)


def _reaching(found: "Results", budget: str | None, out: Path) -> str:
    """What the commands that fill gaps need, so that what they make counts here: the budget and the folder.

    Records of `smoke` do not hold back those of `laptop`, which is what the commands run if nothing is said.
    """
    counts = budget or ("paper" if found.budget == "paper" else "laptop")
    words = [f"--budget {counts}"] * (counts != "laptop") + [f"--out {quote(str(out))}"] * (str(out) != "results")
    return "".join(f" {word}" for word in words)


def of_budget(frame: "pd.DataFrame", found: "Results") -> "pd.DataFrame":
    """Rows of the budget that conditions were made of: budgets never mix."""
    return frame if frame.empty else frame[frame["budget"] == found.budget]


def _table(path: Path, columns: Sequence[str] = ()) -> Any:
    """A table that has these columns."""
    import pandas as pd

    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path} cannot be read as CSV: {why}") from error
    if lacking := [name for name in columns if name not in table]:
        raise UsageError(f"{path} lacks the column{'s' * (len(lacking) > 1)} {', '.join(lacking)}")
    return table
