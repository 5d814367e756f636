"""What the user sees while runs go on: one bar for all runs, one for the stage, with the loss and the time left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class RunProgress:
    """Two bars on a terminal; a line a run where the output is no terminal."""

    def __init__(self, console: Console, bars: Progress) -> None:
        self.console, self.bars = console, bars
        self.runs = bars.add_task("runs", total=None, note="")
        self.stage = bars.add_task("", total=None, note="", visible=False)
        self.failed = 0
        self._name = ""

    def expect(self, total: int) -> None:
        """So many runs are to be done."""
        self.bars.reset(self.runs, total=total)

    def report(self, stage: str, done: int, total: int, note: str) -> None:
        """What `Runner` calls as a stage goes on."""
        if stage != self._name:
            self._name = stage
            self.bars.reset(self.stage, total=total, description=f"  {stage}", visible=True)
        self.bars.update(self.stage, completed=done, total=total, note=note)

    def begin(self, label: str) -> None:
        """A run begins."""
        self._name = ""
        self.bars.update(self.runs, note=label)
        self.bars.update(self.stage, visible=False)

    def end(self, label: str, error: str | None = None) -> None:
        """A run ended, well or with an error."""
        self.failed += error is not None
        self.bars.update(self.runs, description=f"runs, {self.failed} failed" if self.failed else "runs", advance=1)
        if error is None:
            self.console.print(f"[green]done[/green] {escape(label)}", highlight=False)
        else:
            self.console.print(f"[red]failed[/red] {escape(f'{label}: {error}')}", highlight=False)


@contextmanager
def progress(quiet: bool) -> Iterator[RunProgress]:
    """Progress on the standard error stream, so that the standard output holds the result alone."""
    console = Console(stderr=True, quiet=quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        yield RunProgress(console, bars)


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner that names the step under way; call what it yields with each step's name."""
    console = Console(stderr=True)
    with console.status(what) as status:
        yield lambda name: status.update(f"{what} {name}")
