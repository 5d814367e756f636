"""What several commands share: options, the reading of their words, and the writing of tables."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from xkd_bench.errors import UsageError
from xkd_bench.seeds import seed_list

Out = Annotated[Path, typer.Option("--out", help="Results folder.", show_default=True)]
Json = Annotated[bool, typer.Option("--json", help="Print the table as JSON, for machines.")]
Seeds = Annotated[
    str | None, typer.Option("--seeds", help="How many (3), or which (0,1,7); the budget's, if not given.")
]
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


def groups(frame: Any, what: str, told_apart_by: str = "") -> Iterator[tuple[str, Any]]:
    """The tables that scores make, with their files' names: one for each protocol, task, budget and version of data."""
    parts = [part.reset_index(drop=True) for _, part in frame.groupby(["protocol", "task", "budget", "data_digest"])]
    names = [file_name(part, what, told_apart_by) for part in parts]
    for part, name in zip(parts, names, strict=True):
        # The same task with other data: a folder that changed, another version.
        yield name + (f"-{part.data_digest[0][:6]}" if names.count(name) > 1 else ""), part


def publish(frame: Any, out: Path, name: str, command: str, shown: bool) -> list[dict[str, Any]]:
    """Write the tables and plots of a comparison, show the table, and return its rows for machines."""
    from rich.console import Console

    from xkd_bench import report
    from xkd_bench.analysis.compare import summarise
    from xkd_bench.cli.dense import beside
    from xkd_bench.report.tables import terminal

    first = frame.iloc[0]
    files = report.write(frame, out / "tables", name, selection_rule=SELECTION, command=command)
    files += beside(frame, out, name)
    if shown:
        console = Console()
        console.print(terminal(frame, SELECTION))
        console.print("written: " + "  ".join(str(f) for f in files), style="dim", highlight=False)
    named = summarise(frame).assign(protocol=first.protocol, task=first.task, budget=first.budget)
    rows: list[dict[str, Any]] = json.loads(named.to_json(orient="records"))
    return rows


def named(flag: str, given: Sequence[str], form: str) -> dict[str, str]:
    """Names and values of the words NAME=VALUE of an option that may be repeated. form: what they are, with an
    example, for the UsageError where they are not."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"{flag} {text}: {form}")
        found[name.strip()] = value
    return found


def parse_options(given: Sequence[str]) -> dict[str, str]:
    """A method's options from the words of --option."""
    return named("--option", given, "an option is key=value, such as --option tau=0.2")


def parse_value(text: str) -> Any:
    """A number, a list, true ... as TOML has them, or else the text itself."""
    import tomllib

    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def parse_recipe(given: Sequence[str]) -> dict[str, Any]:
    """Changes of a budget from the words of --recipe."""
    changes = named("--recipe", given, "a change is FIELD=VALUE, such as --recipe distil.ema=0.999")
    return {name: parse_value(value) for name, value in changes.items()}


def parse_seeds(text: str | None, budget: str) -> list[int]:
    """The seeds that --seeds names: so many, or these; the budget's where it is not given."""
    from protocols import budget_names, load_budget
    from xkd_bench.errors import nearest

    if budget not in budget_names():
        raise nearest("budget", budget, list(budget_names()))
    if text is None:
        return list(range(load_budget(budget).seeds))
    try:
        numbers = [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(f"--seeds {text}: give a number of seeds (3) or a list of them (0,1,7)") from None
    try:
        return seed_list(numbers if "," in text else numbers[0])
    except UsageError as error:
        raise UsageError(f"--seeds {text}: {error}") from error


def seeds_words(seeds: Sequence[int] | None, budget: str) -> list[str]:
    """The words of --seeds that say these, if they are not the budget's."""
    from protocols import load_budget

    if seeds is None or list(seeds) == list(range(load_budget(budget).seeds)):
        return []
    return ["--seeds " + ",".join(map(str, seeds)) + ("," if len(seeds) == 1 else "")]
