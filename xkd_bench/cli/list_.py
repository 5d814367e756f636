"""`xkd-bench list`: the names that other commands take."""

import sys
from typing import Annotated, Any, Literal, get_args

import typer
from typer.core import TyperCommand

Listed = Literal["tasks", "methods", "protocols", "budgets", "teachers", "students", "sweeps"]


class Command(TyperCommand):
    """Takes a right word as it is: Typer would import pydantic to check it, which takes longer than the listing."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if len(args) == 1 and args[0] in get_args(Listed):
            ctx.params["what"] = args.pop()
            return []
        return super().parse_args(ctx, args)


def list_(what: Annotated[Listed, typer.Argument(help="What to list.")]) -> None:
    """List the names that `run` takes."""
    from rich.console import Console
    from rich.table import Table

    rows = _listing(what)
    told = {origin for *_, origin in rows} != {"xkd-bench"}  # whose it is, where it is not all ours
    table = Table("name", "what it is", *["from"] * told, box=None, header_style="bold", padding=(0, 2, 0, 0))
    for *row, origin in rows:
        table.add_row(*row, *[origin] * told)
    # In a pipe a row is a line: whoever filters it should find the whole.
    piped = not sys.stdout.isatty()
    Console(width=500 if piped else None, markup=False, emoji=False).print(table, soft_wrap=piped)


def _listing(what: Listed) -> list[tuple[str, str, str]]:
    if what in ("tasks", "methods"):
        from xkd_bench.registry import entries

        return [(e.name, e.summary, e.origin) for e in entries(what).values()]
    if what in ("protocols", "budgets"):
        import protocols

        if what == "protocols":
            return [(p.name, p.summary, p.source) for p in map(protocols.load_protocol, protocols.protocol_names())]
        return [(b.name, b.summary, b.source) for b in map(protocols.load_budget, protocols.budget_names())]
    if what == "sweeps":
        from xkd_bench.suite.grid import load_sweep, sweep_names

        return [(s.name, s.summary, s.source) for s in map(load_sweep, sweep_names())]
    from xkd_bench import catalogue

    ours = catalogue.TEACHERS | catalogue.DENSE_TEACHERS if what == "teachers" else catalogue.STUDENTS
    return [(name, summary, "xkd-bench") for name, summary in (ours | catalogue.SEGMENTERS).items()]
