"""The command line: parses, calls, prints. One file a command, imported when it is called; what is heavy, when needed.

The page of --help is of the names and summaries below: it imports none of the commands.
"""

import logging
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xkd_bench import __version__
from xkd_bench.errors import TrainingError, UsageError

# In the order of --help: the first line of each command's docstring, which a test compares. A new command is a file
# with a function of its name, and a line here.
SUMMARIES = {
    "run": "Run methods under a protocol beside their controls and references, and write the comparison into --out.",
    "sweep": "Run a grid of runs, checked as a whole before the first is begun, and write its tables into --out.",
    "list": "List the names that `run` takes.",
    "show": "Show one record: what was run, on what, with what, and every score. Without a key, list the records.",
    "table": "Rebuild every table and plot from the store: one for each task, protocol and budget.",
    "gap": "Estimate the gap between two modalities: distances, alignment and capacity, each with its uncertainty.",
    "claims": "Test every claim of the papers, on their printed numbers and on the records here.",
    "report": "Write one HTML page of every comparison, gap and claim here; figures, tables and numbers lie beside it.",
    "bench": "Measure speed and memory against bare computations and other libraries, as ratios in one run.",
    "data": "Data of the tasks: list, prepare, check, show.",
}


def command(name: str) -> Any:
    """The command of this name, with its arguments and options; its file is imported now."""
    stem = {"list": "list_"}.get(name, name)
    module = import_module(f"xkd_bench.cli.{stem}")
    alone = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    if hasattr(module, "app"):  # several commands under one name
        alone.add_typer(module.app, name=name)
    else:
        alone.command(name, cls=getattr(module, "Command", None))(getattr(module, stem))
    return typer.main.get_group(alone).commands[name]


class _Group(TyperGroup):
    """Commands that are names and summaries until one is called."""

    def get_help_option(self, ctx: Any) -> Any:
        """The option --help, which is False where it is not given: of None, Typer asks pydantic if it is a bool."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        name, _, rest = super().resolve_command(ctx, args)
        return name, command(name) if name else None, rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the page as Typer does, without what Typer imports for it: Markdown, and colours of program text."""
        from rich.console import Console
        from rich.padding import Padding
        from rich.panel import Panel
        from rich.table import Table

        console = Console(markup=False, highlight=False)
        console.print(Padding(" ".join(["Usage:", ctx.command_path, *self.collect_usage_pieces(ctx)]), 1), style="bold")
        console.print(Padding(self.help or "", (0, 1, 1, 1)))
        options = [record for option in self.get_params(ctx) if (record := option.get_help_record(ctx))]
        for title, rows in (("Options", options), ("Commands", list(SUMMARIES.items()))):
            table = Table.grid(padding=(0, 2, 0, 0))
            table.add_column(style="bold cyan", no_wrap=True)
            for row in rows:
                table.add_row(*row)
            console.print(Panel(table, title=title, title_align="left", border_style="dim"))


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Evaluate cross-modality knowledge distillation: methods, controls, fixed protocols, honest tables.",
)
for _name, _summary in SUMMARIES.items():
    app.command(_name, help=_summary)(lambda: None)


@app.callback(invoke_without_command=True)
def _version(show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False) -> None:
    if show:
        typer.echo(f"xkd-bench {__version__}")
        raise typer.Exit


STOPPED = 130
"""The exit code of a program that Ctrl-C ended."""
_WordsError: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
"""What Typer raises at words that are no command: a class of Click, or of the copy of it that Typer brings."""


def main() -> None:
    """Entry point: what the user can mend is one line and an exit code, never a traceback."""
    logging.basicConfig(format="xkd-bench: %(message)s", level=logging.WARNING)
    try:
        code = app(prog_name="xkd-bench", standalone_mode=False)
    except (UsageError, TrainingError) as error:
        typer.echo(f"xkd-bench: {error}", err=True)
        code = error.exit_code
    except _WordsError as error:
        code = getattr(error, "exit_code", UsageError.exit_code)
        if line := _words_line(error):
            typer.echo(line, err=True)
    except typer.Abort:
        code = STOPPED
    if code == STOPPED:
        typer.echo("xkd-bench: stopped; the same command does the rest", err=True)
    sys.exit(code)


def _words_line(error: Any) -> str:
    """One line for words that are no command; for no words at all, the help, which Typer may print by itself."""
    context: Any = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        return str(context.get_help())
    said = " ".join(error.format_message().split()).removesuffix(".")
    where = f"; see {context.command_path} --help" if context else ""
    return f"xkd-bench: {said[:1].lower()}{said[1:]}{where}"
