"""The command line: parses, calls, prints. One file a command; everything heavy is imported when a command needs it."""

import logging
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from xkd_bench import __version__
from xkd_bench.cli import bench, claims, data, gap, list_, report, run, show, sweep, table
from xkd_bench.errors import TrainingError, UsageError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Evaluate cross-modality knowledge distillation: methods, controls, fixed protocols, honest tables.",
)

# In the order of --help. A new command is a file, its name in the import above, and a line here.
COMMANDS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "sweep": sweep.sweep,
    "list": list_.list_,
    "show": show.show,
    "table": table.table,
    "gap": gap.gap,
    "claims": claims.claims,
    "report": report.report,
    "bench": bench.bench,
}
for _name, _command in COMMANDS.items():
    app.command(_name)(_command)
app.add_typer(data.app, name="data")


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
