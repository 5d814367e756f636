"""What several commands share: options, the reading of their words, and the writing of tables."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from xkd_bench.errors import UsageError

Out = Annotated[Path, typer.Option("--out", help="Results folder.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print the table as JSON, for machines.")]
SELECTION = "hyper-parameters chosen on validation data only"


def no_records(out: Path) -> UsageError:
    """What to say of a store with nothing in it."""
    return UsageError(f"no records in {out / 'runs'}: run xkd-bench run first, or give another --out")


def file_name(frame: Any, what: str, told_apart_by: str) -> str:
    """A file name for a table: protocol, task, budget, what is in it, and a short digest of what tells it apart."""
    import re

    from xkd_bench.spec import digest

    first = frame.iloc[0]
    task = first.task.rstrip("/").rpartition("/")[2] if "/" in first.task else first.task
    words = [first.protocol, task, first.budget, what] + ([digest(told_apart_by)[:6]] if told_apart_by else [])
    return re.sub(r"[^A-Za-z0-9.+_-]+", "-", "-".join(words))


def publish(frame: Any, out: Path, name: str, command: str, shown: bool) -> list[dict[str, Any]]:
    """Write the tables and plots of a comparison, show the table, and return its rows for machines."""
    from rich.console import Console

    from xkd_bench import report
    from xkd_bench.analysis.compare import summarise
    from xkd_bench.report.tables import terminal

    first = frame.iloc[0]
    files = report.write(frame, out / "tables", name, selection_rule=SELECTION, command=command)
    if shown:
        console = Console()
        console.print(terminal(frame, SELECTION))
        console.print("written: " + "  ".join(str(f) for f in files), style="dim", highlight=False)
    named = summarise(frame).assign(protocol=first.protocol, task=first.task, budget=first.budget)
    rows: list[dict[str, Any]] = json.loads(named.to_json(orient="records"))
    return rows


def parse_options(given: Sequence[str]) -> dict[str, str]:
    """A method's options from the words of --option."""
    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise UsageError(f"--option {text}: an option is key=value, such as --option tau=0.2")
        options[key] = value
    return options


def parse_seeds(text: str | None, budget: str) -> list[int]:
    """The seeds that --seeds names: so many, or these; the budget's where it is not given."""
    from protocols import budget_names, load_budget
    from xkd_bench.errors import nearest

    if budget not in budget_names():
        raise nearest("budget", budget, list(budget_names()))
    if text is None:
        return list(range(load_budget(budget).seeds))
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--seeds {text}: give a number of seeds (3) or a list of them (0,1,7)") from None
    seeds = list(range(numbers[0])) if len(numbers) == 1 and "," not in text else numbers
    if not seeds or min(seeds) < 0 or len(set(seeds)) != len(seeds):
        raise UsageError(f"--seeds {text}: seeds are 0 or more, at least one, without repeats")
    return seeds
